// SPDX-License-Identifier: Apache-2.0 OR MIT
//! KEM epochs (ML-KEM-768): the post-quantum half of the ratchet.
//!
//! Epochs are numbered from 1 and run one at a time. The responder owns the odd ones, the initiator
//! the even ones. The owner sends an encapsulation key; the other side encapsulates and answers with
//! the ciphertext and a confirmation; the owner checks it and mixes the secret into the root at its
//! own next step, which names the epoch in every header of its chain; the other side, which has the
//! secret since it made it, mixes when it opens such a header. Nobody else decides, so no epoch can
//! be known to one side only (Signal's ML-KEM Braid, section 2, asks the same of a sender).

use std::sync::{Arc, OnceLock};

use rand_core::CryptoRng;
use waxwing_crypto::backend::{KemKey, ParameterSet};
use waxwing_crypto::{KemSecret768, Secret, kdf, kem, labels};

use super::kem_row::{KemChanges, KemRowId};
use super::slack::{Slack, UnitsItem};
use super::units::{CONFIRMATION_LENGTH, Part, UnitMap, Units};
use crate::{RatchetError, Role, SessionId};

/// The secret of an epoch that both sides have, until it is mixed.
pub(crate) struct EpochSecret {
    pub(crate) shared: Secret<32>,
    pub(crate) key_hash: [u8; 32],
    pub(crate) ciphertext_hash: [u8; 32],
}

/// What the side that does not own the epoch sends.
pub(crate) struct Answer {
    pub(crate) secret: EpochSecret,
    /// Ciphertext and confirmation.
    pub(crate) bytes: Vec<u8>,
}

/// The key that the owner sends.
pub(crate) struct OfferedKey {
    secret: KemSecret768,
    /// In the form to compute with, from the first use on.
    key: OnceLock<Box<dyn KemKey>>,
    /// The encapsulation key.
    bytes: OnceLock<Vec<u8>>,
}

impl OfferedKey {
    pub(crate) const fn new(secret: KemSecret768) -> Self {
        Self {
            secret,
            key: OnceLock::new(),
            bytes: OnceLock::new(),
        }
    }

    fn key(&self) -> &dyn KemKey {
        self.key.get_or_init(|| self.secret.prepare()).as_ref()
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get_or_init(|| self.key().encapsulation_key())
    }
}

/// How far the epoch is.
pub(crate) enum Phase {
    /// The owner has made no key, or no unit of it has arrived.
    Idle,
    /// The owner: its key is on the way, and perhaps units of the answer have arrived.
    Offering(Arc<OfferedKey>, Arc<Units>),
    /// The owner: the answer is checked; the next own step mixes.
    Ready(Arc<EpochSecret>),
    /// The other side: units of the key have arrived, perhaps all.
    Collecting(Arc<Units>),
    /// The other side: its answer is on the way; the owner's step mixes.
    Answering(Arc<Answer>),
}

/// How far the KEM epoch under way is on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EpochPhase {
    /// This side owns it and has made no key, or no unit of the peer's key has arrived.
    Idle,
    /// This side's key is on the way.
    Offering,
    /// The answer was checked: this side's next step mixes.
    Ready,
    /// Units of the peer's key have arrived.
    Collecting,
    /// This side's answer is on the way: the peer's step mixes.
    Answering,
}

/// The epochs of one session. The small fields are part of the hot state, the phase has rows of
/// its own.
pub(crate) struct Epochs {
    /// The epoch under way, from 1. All before it are mixed and wiped.
    pub(crate) number: u32,
    /// The unit to send next.
    pub(crate) cursor: u8,
    /// Units of what this side sends that the peer has said it holds.
    pub(crate) held_by_peer: UnitMap,
    /// A check failed: there are no more epochs in this session, and a new one is due.
    pub(crate) failed: bool,
    pub(crate) phase: Phase,
}

impl EpochSecret {
    fn new(shared: Secret<32>, key: &[u8], ciphertext: &[u8]) -> Self {
        Self {
            shared,
            key_hash: kdf::sha256(&[key]),
            ciphertext_hash: kdf::sha256(&[ciphertext]),
        }
    }

    /// `Name(ss, "kem", th || e || SHA-256(ek) || SHA-256(ct), 32)`.
    fn confirmation(&self, session: &SessionId, epoch: u32) -> [u8; CONFIRMATION_LENGTH] {
        // SES-92.
        let context = [
            session.as_bytes().as_slice(),
            &epoch.to_be_bytes(),
            &self.key_hash,
            &self.ciphertext_hash,
        ]
        .concat();
        kdf::name(&self.shared, labels::KEM_CONFIRMATION, &context)
    }
}

impl Epochs {
    /// Before the first epoch.
    pub(crate) const fn first() -> Self {
        Self {
            number: 1,
            cursor: 0,
            held_by_peer: UnitMap::new(0),
            failed: false,
            phase: Phase::Idle,
        }
    }

    pub(crate) const fn phase(&self) -> EpochPhase {
        match self.phase {
            Phase::Idle => EpochPhase::Idle,
            Phase::Offering(..) => EpochPhase::Offering,
            Phase::Ready(_) => EpochPhase::Ready,
            Phase::Collecting(_) => EpochPhase::Collecting,
            Phase::Answering(_) => EpochPhase::Answering,
        }
    }

    /// Whether this side owns the epoch under way.
    pub(crate) const fn is_own(&self, role: Role) -> bool {
        // SES-90.
        let odd = self.number & 1 == 1;
        match role {
            Role::Responder => odd,
            Role::Initiator => !odd,
        }
    }

    /// What this side sends in the epoch under way, and what it receives.
    const fn parts(&self, role: Role) -> (Part, Part) {
        if self.is_own(role) {
            (Part::Key, Part::Answer)
        } else {
            (Part::Answer, Part::Key)
        }
    }

    /// Begins what is due before a sending: the owner's key, or the other side's answer. Only where
    /// the slack has room for a unit of it, so that nothing is made that cannot leave.
    pub(crate) fn prepare<R: CryptoRng + ?Sized>(
        &mut self,
        role: Role,
        session: &SessionId,
        has_room: bool,
        rng: &mut R,
        changes: &mut KemChanges,
    ) -> Result<(), RatchetError> {
        // SES-91, SES-92.
        if self.failed || !has_room {
            return Ok(());
        }
        match &self.phase {
            Phase::Idle if self.is_own(role) => {
                let secret = KemSecret768::generate(rng);
                changes.put_offer(self.number, &secret);
                let offered = Arc::new(OfferedKey::new(secret));
                self.phase = Phase::Offering(offered, Arc::new(Units::new(Part::Answer)));
            }
            Phase::Collecting(key) if key.is_complete() => {
                let (mut bytes, shared) =
                    kem::encapsulate(ParameterSet::MlKem768, key.bytes(), rng)?;
                let secret = EpochSecret::new(shared, key.bytes(), &bytes);
                bytes.extend_from_slice(&secret.confirmation(session, self.number));
                changes.delete_runs(key);
                changes.put_answer(self.number, &secret, &bytes);
                self.phase = Phase::Answering(Arc::new(Answer { secret, bytes }));
            }
            _ => {}
        }
        Ok(())
    }

    /// What this side sends in the epoch under way.
    pub(crate) fn sending(&self) -> Option<(Part, &[u8])> {
        match &self.phase {
            Phase::Offering(offered, _) => Some((Part::Key, offered.bytes())),
            Phase::Answering(answer) => Some((Part::Answer, &answer.bytes)),
            Phase::Idle | Phase::Ready(_) | Phase::Collecting(_) => None,
        }
    }

    /// The units that this side holds and has not said that it needs no more.
    pub(crate) fn held(&self) -> Option<UnitMap> {
        let held = match &self.phase {
            Phase::Offering(_, units) | Phase::Collecting(units) => units.held(),
            Phase::Idle | Phase::Ready(_) | Phase::Answering(_) => UnitMap::default(),
        };
        (!held.is_empty()).then_some(held)
    }

    /// What an opened envelope carried. Items of another epoch are late, and stepped over.
    ///
    /// # Errors
    /// [`RatchetError::Malformed`] for units that the part does not have.
    pub(crate) fn receive(
        &mut self,
        role: Role,
        session: &SessionId,
        slack: &Slack<'_>,
        changes: &mut KemChanges,
    ) -> Result<(), RatchetError> {
        // SES-93, SES-94, SES-96.
        if self.failed {
            return Ok(());
        }
        if let Some(item) = &slack.held
            && item.epoch == self.number
        {
            self.held_by_peer = self.held_by_peer.union(item.held);
        }
        let mut completed = false;
        for item in &slack.units {
            if item.epoch == self.number {
                completed |= self.collect(role, item, changes)?;
            }
        }
        if completed {
            self.check_key(changes);
            self.check_answer(session, changes);
        }
        Ok(())
    }

    /// Takes a run of units. Returns whether the part became whole by it.
    fn collect(
        &mut self,
        role: Role,
        item: &UnitsItem<'_>,
        changes: &mut KemChanges,
    ) -> Result<bool, RatchetError> {
        let (sent, received) = self.parts(role);
        let mut units = match &self.phase {
            Phase::Idle if received == Part::Key => Units::new(Part::Key),
            Phase::Collecting(units) | Phase::Offering(_, units) if !units.is_complete() => {
                units.duplicate()
            }
            // Not begun, or not needed any more. The layout counts all the same.
            _ => return received.check_run(item.first, item.bytes).map(|()| false),
        };
        for run in units.take(item.first, item.bytes)? {
            changes.put_run(self.number, &run);
        }
        let completed = units.is_complete();
        let units = Arc::new(units);
        self.phase = match &self.phase {
            Phase::Offering(offered, _) => {
                // Who answers has the whole key.
                self.held_by_peer = UnitMap::all_of(sent);
                Phase::Offering(Arc::clone(offered), units)
            }
            _ => Phase::Collecting(units),
        };
        Ok(completed)
    }

    /// The other side: FIPS 203, section 7.2, as soon as the key is whole.
    fn check_key(&mut self, changes: &mut KemChanges) {
        let Phase::Collecting(units) = &self.phase else {
            return;
        };
        if units.is_complete() && kem::check(ParameterSet::MlKem768, units.bytes()).is_err() {
            changes.delete_runs(units);
            self.fail();
        }
    }

    /// The owner: decapsulates and checks the confirmation, as soon as the answer is whole.
    /// Decapsulation never fails by itself; a wrong ciphertext shows here and nowhere later.
    fn check_answer(&mut self, session: &SessionId, changes: &mut KemChanges) {
        let Phase::Offering(offered, units) = &self.phase else {
            return;
        };
        if !units.is_complete() {
            return;
        }
        changes.delete_runs(units);
        match open_answer(offered, units, session, self.number) {
            Some(secret) => {
                changes.put_ready(self.number, &secret);
                self.phase = Phase::Ready(Arc::new(secret));
            }
            None => {
                changes.delete(KemRowId::SECRET);
                self.fail();
            }
        }
    }

    fn fail(&mut self) {
        // SES-100.
        self.failed = true;
        self.phase = Phase::Idle;
    }

    /// What the own step mixes, if anything: only an epoch that this side owns and has checked.
    pub(crate) fn to_mix(&self) -> Option<(u32, &EpochSecret)> {
        // SES-97.
        match &self.phase {
            Phase::Ready(secret) => Some((self.number, secret.as_ref())),
            _ => None,
        }
    }

    /// What the peer's step mixes, when its header names `mix`.
    ///
    /// # Errors
    /// [`RatchetError::Malformed`] where an honest owner could not have named it.
    pub(crate) fn named(&self, mix: u32) -> Result<Option<&EpochSecret>, RatchetError> {
        // SES-98, SES-26.
        match &self.phase {
            _ if mix == 0 => Ok(None),
            Phase::Answering(answer) if mix == self.number => Ok(Some(&answer.secret)),
            _ => Err(RatchetError::Malformed("epoch")),
        }
    }

    /// The epoch under way was mixed: its secrets are wiped and the next one may begin.
    pub(crate) fn advance(&mut self, changes: &mut KemChanges) {
        // SES-99.
        changes.delete(KemRowId::SECRET);
        *self = Self {
            number: self.number.saturating_add(1),
            ..Self::first()
        };
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            number: self.number,
            cursor: self.cursor,
            held_by_peer: self.held_by_peer,
            failed: self.failed,
            phase: match &self.phase {
                Phase::Idle => Phase::Idle,
                Phase::Offering(offered, units) => {
                    Phase::Offering(Arc::clone(offered), Arc::clone(units))
                }
                Phase::Ready(secret) => Phase::Ready(Arc::clone(secret)),
                Phase::Collecting(units) => Phase::Collecting(Arc::clone(units)),
                Phase::Answering(answer) => Phase::Answering(Arc::clone(answer)),
            },
        }
    }
}

fn open_answer(
    offered: &OfferedKey,
    units: &Units,
    session: &SessionId,
    epoch: u32,
) -> Option<EpochSecret> {
    let (ciphertext, confirmation) = units
        .bytes()
        .split_at_checked(KemSecret768::CIPHERTEXT_LENGTH)?;
    let shared = offered.key().decapsulate(ciphertext).ok()?;
    let secret = EpochSecret::new(shared, offered.bytes(), ciphertext);
    let expected = Secret::copy_of(&secret.confirmation(session, epoch));
    let received = Secret::from_slice(confirmation)?;
    expected.equals(&received).then_some(secret)
}
