// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The hot state of a session: everything that changes with a message, and nothing else.
//!
//! The steps of the root alternate: odd ones are the initiator's, even ones the responder's. At any
//! time either this side made the last step (`sending` is there, and the peer's next step is
//! possible) or the peer did (`sending` is gone; sending makes a step first). Steps are made when
//! a message is sent, never before.

use std::sync::Arc;

use waxwing_crypto::{DhSecret, Secret};

use super::chain_key::ChainKey;
use super::header::{Header, HeaderKeys};
use super::kem::Epochs;
use super::kem_row::KemChanges;
use super::root_key::{RootKey, StepContext};
use super::slack::Receipt;
use crate::{HandshakeId, RatchetError, Role, SessionId};

/// The chain that this side sends in: since its last step, until the peer's next.
pub(crate) struct SendingChain {
    /// Wiped with the chain, when the peer's step against it has been opened.
    pub(crate) ratchet: Arc<DhSecret>,
    pub(crate) key: ChainKey,
    /// The number of the next message.
    pub(crate) n: u32,
    /// The length of this side's chain before this one.
    pub(crate) pn: u32,
    /// The KEM epoch that the chain's step mixed in; 0 where none.
    pub(crate) mix: u32,
    pub(crate) header: HeaderKeys,
}

/// The chain of the peer's last step.
pub(crate) struct ReceivingChain {
    pub(crate) step: u32,
    pub(crate) key: ChainKey,
    /// The number of the next message that the chain key gives.
    pub(crate) n: u32,
    pub(crate) mix: u32,
    pub(crate) header: HeaderKeys,
    /// The highest number opened so far, for the acknowledgement.
    pub(crate) newest: Option<Receipt>,
}

/// Continuity secrets, for the handshake that will continue this session.
#[derive(Default)]
pub(crate) struct Continuity {
    /// Of the peer's last step that was processed.
    pub(crate) peer: Option<Secret<32>>,
    /// Of the own last step.
    pub(crate) own: Option<Secret<32>>,
    /// Of the last own step that the peer has proved to have processed.
    pub(crate) proved: Option<Secret<32>>,
}

/// See the module.
pub(crate) struct State {
    pub(crate) id: SessionId,
    pub(crate) handshake: HandshakeId,
    pub(crate) role: Role,
    pub(crate) predecessor: [u8; 32],
    pub(crate) attempt: u32,
    /// Seconds since the Unix epoch.
    pub(crate) created_at: u64,
    /// The last step that either side made, as far as this side knows.
    pub(crate) step: u32,
    pub(crate) root: RootKey,
    pub(crate) sending: Option<SendingChain>,
    /// The header keys of the own next chain.
    pub(crate) sending_next: HeaderKeys,
    /// The length of the own last chain that has ended.
    pub(crate) previous_length: u32,
    /// The peer's ratchet key.
    pub(crate) remote: [u8; 32],
    pub(crate) receiving: Option<ReceivingChain>,
    /// The header keys of the peer's next chain.
    pub(crate) receiving_next: HeaderKeys,
    pub(crate) continuity: Continuity,
    pub(crate) epochs: Epochs,
}

impl State {
    /// The step that the peer makes next.
    pub(crate) fn next_receiving_step(&self) -> u32 {
        match &self.receiving {
            Some(chain) => chain.step.saturating_add(2),
            None => self.role.first_step_of_peer(),
        }
    }

    /// Makes the own next step with a fresh ratchet key. An own epoch that is ready is mixed.
    pub(crate) fn make_step(
        &mut self,
        ratchet: DhSecret,
        changes: &mut KemChanges,
    ) -> Result<(), RatchetError> {
        // SES-24, SES-25, SES-27, SES-97.
        let dh = ratchet.agree(&self.remote)?;
        let number = self
            .step
            .checked_add(1)
            .ok_or(RatchetError::ChainExhausted)?;
        let mix = self.epochs.to_mix();
        let step = self.root.step(
            &dh,
            &StepContext {
                session: &self.id,
                step: number,
                mix,
                new: ratchet.public(),
                remote: &self.remote,
            },
        );
        let mix = mix.map_or(0, |(epoch, _)| epoch);
        if mix != 0 {
            self.epochs.advance(changes);
        }
        self.step = number;
        self.root = step.root;
        self.continuity.own = Some(step.continuity);
        self.sending = Some(SendingChain {
            ratchet: Arc::new(ratchet),
            key: step.chain,
            n: 0,
            pn: self.previous_length,
            mix,
            header: core::mem::replace(&mut self.sending_next, step.next_header),
        });
        Ok(())
    }

    /// Follows the peer's next step, which it made against `own` with the key and the epoch that
    /// its header names. The own ratchet secret and sending chain are wiped.
    pub(crate) fn follow_step(
        &mut self,
        own: &DhSecret,
        header: &Header,
        changes: &mut KemChanges,
    ) -> Result<(), RatchetError> {
        // SES-29, SES-98.
        let (remote, mix) = (header.ratchet_key, header.mix);
        let secret = self.epochs.named(mix)?;
        let dh = own.agree(&remote)?;
        let number = self.step.checked_add(1).ok_or(RatchetError::TooFarAhead)?;
        let step = self.root.step(
            &dh,
            &StepContext {
                session: &self.id,
                step: number,
                mix: secret.map(|secret| (mix, secret)),
                new: &remote,
                remote: own.public(),
            },
        );
        if mix != 0 {
            self.epochs.advance(changes);
        }
        self.step = number;
        self.root = step.root;
        self.remote = remote;
        if let Some(chain) = self.sending.take() {
            self.previous_length = chain.n;
        }
        // The peer's step proves that it has processed the own one before it.
        self.continuity.proved = self.continuity.own.as_ref().map(Secret::duplicate);
        self.continuity.peer = Some(step.continuity);
        self.receiving = Some(ReceivingChain {
            step: number,
            key: step.chain,
            n: 0,
            mix,
            header: core::mem::replace(&mut self.receiving_next, step.next_header),
            newest: None,
        });
        Ok(())
    }

    /// A second copy, on which a message is tried.
    pub(crate) fn duplicate(&self) -> Self {
        let copy = |secret: &Option<Secret<32>>| secret.as_ref().map(Secret::duplicate);
        Self {
            id: self.id,
            handshake: self.handshake,
            role: self.role,
            predecessor: self.predecessor,
            attempt: self.attempt,
            created_at: self.created_at,
            step: self.step,
            root: self.root.duplicate(),
            sending: self.sending.as_ref().map(SendingChain::duplicate),
            sending_next: self.sending_next.duplicate(),
            previous_length: self.previous_length,
            remote: self.remote,
            receiving: self.receiving.as_ref().map(ReceivingChain::duplicate),
            receiving_next: self.receiving_next.duplicate(),
            continuity: Continuity {
                peer: copy(&self.continuity.peer),
                own: copy(&self.continuity.own),
                proved: copy(&self.continuity.proved),
            },
            epochs: self.epochs.duplicate(),
        }
    }
}

impl SendingChain {
    fn duplicate(&self) -> Self {
        Self {
            ratchet: Arc::clone(&self.ratchet),
            key: self.key.duplicate(),
            n: self.n,
            pn: self.pn,
            mix: self.mix,
            header: self.header.duplicate(),
        }
    }
}

impl ReceivingChain {
    fn duplicate(&self) -> Self {
        Self {
            step: self.step,
            key: self.key.duplicate(),
            n: self.n,
            mix: self.mix,
            header: self.header.duplicate(),
            newest: self.newest,
        }
    }
}
