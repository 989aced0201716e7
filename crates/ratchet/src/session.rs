// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A session: the double ratchet between two devices, with encrypted headers and routing tags.
//!
//! [`Session::encrypt`] and [`Session::decrypt`] are functions of the state: they leave it as it is
//! and return the next one. The caller commits that, with everything else that came of the
//! message, in one batch, and only then lets the envelope out or shows the content. What fails or
//! crashes in between has never happened.

pub(crate) mod chain_key;
pub(crate) mod header;
pub(crate) mod kem;
pub(crate) mod kem_row;
pub(crate) mod message_key;
pub(crate) mod padding;
pub(crate) mod receive;
pub(crate) mod root_key;
pub(crate) mod skipped;
pub(crate) mod slack;
pub(crate) mod state;
mod state_row;
mod units;

use core::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use waxwing_crypto::{DhSecret, SecretBytes};
use waxwing_proto::limits::CHAIN_LENGTH_MAX;

use self::header::{Header, SEALED_HEADER_LENGTH};
use self::kem::EpochPhase;
use self::kem_row::{KemChanges, KemRowId};
use self::message_key::SALT_LENGTH;
use self::receive::Received;
use self::skipped::SkippedRow;
use self::slack::SlackWriter;
use self::state::State;
use crate::envelope::{self, ContentAd, Envelope};
use crate::tags::TagChanges;
use crate::{HandshakeId, RatchetError, SessionId, SkippedId, day};

/// Which side of the handshake a device was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It made the handshake; its steps are the odd ones.
    Initiator,
    /// It answered; its steps are the even ones.
    Responder,
}

impl Role {
    pub(crate) const fn first_step_of_peer(self) -> u32 {
        match self {
            Self::Initiator => 2,
            Self::Responder => 1,
        }
    }

    const fn to_byte(self) -> u8 {
        match self {
            Self::Initiator => 0,
            Self::Responder => 1,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Initiator),
            1 => Some(Self::Responder),
            _ => None,
        }
    }
}

/// One session with one device of a peer. Wiped on drop.
///
/// Cheap to keep in memory: its hot state is at most 1 KiB; an unanswered initiator's session also
/// holds its prefix, some 3 to 11 KiB, which is a row of its own.
pub struct Session {
    state: State,
    /// Repeated byte for byte until the peer has answered.
    prefix: Option<Arc<[u8]>>,
}

/// An envelope, and the state after it.
pub struct Sealed {
    /// What is sent, once the rest is durable.
    pub envelope: Vec<u8>,
    /// The next state. Its hot row must be durable before `envelope` leaves the device.
    pub session: Session,
    /// What an acknowledgement of this envelope will say, for
    /// [`SentHashes::record`](crate::SentHashes::record).
    pub sent: SentHash,
    /// KEM rows that change with the hot row.
    pub kem: KemChanges,
}

/// The name that a peer's acknowledgement gives to an envelope of ours: where it stood, and 8 bytes
/// of SHA-256 over its salt and its content's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentHash {
    /// Its chain and number.
    pub position: SkippedId,
    /// The first 8 bytes of the hash.
    pub hash: [u8; 8],
}

/// A content, and the state after it.
pub struct Opened {
    /// What the peer sent. Chosen by the peer in every byte.
    pub content: SecretBytes,
    /// The next state. Its hot row is committed together with everything below.
    pub session: Session,
    /// The chain and number in which the content came.
    pub position: SkippedId,
    /// Keys of envelopes that are still under way, oldest first: rows to add.
    pub skipped_added: Vec<SkippedRow>,
    /// The row to remove: its key has been used.
    pub skipped_removed: Option<SkippedId>,
    /// Whether this envelope ended the session's prefix: the prefix row goes, and
    /// [`SessionSet::record_prefix_ended`](crate::SessionSet::record_prefix_ended) is due.
    pub prefix_ended: bool,
    /// KEM rows that change with the hot row.
    pub kem: KemChanges,
    /// Whether this envelope showed that the KEM epoch under way is broken: see
    /// [`Session::epochs_failed`].
    pub epoch_failed: bool,
    /// The newest envelope of the own last chain that the peer had opened, for
    /// [`SentHashes::judge`](crate::SentHashes::judge).
    pub acknowledged: Option<SentHash>,
    /// For [`TagTable::apply`](crate::TagTable::apply), once everything is durable.
    pub changes: TagChanges,
}

impl Session {
    pub(crate) const fn new(state: State, prefix: Option<Arc<[u8]>>) -> Self {
        Self { state, prefix }
    }

    /// Encrypts a content for the peer device. Makes a step first when the peer made the last one.
    ///
    /// # Errors
    /// [`RatchetError::TooLarge`], [`RatchetError::ChainExhausted`] after 1000 envelopes without
    /// an answer, [`RatchetError::Corrupt`] for an unanswered session without its prefix.
    pub fn encrypt<R: CryptoRng + ?Sized>(
        &self,
        content: &[u8],
        rng: &mut R,
    ) -> Result<Sealed, RatchetError> {
        // SES-14, SES-24, ENV-1, ENV-2.
        let mut state = self.state.duplicate();
        let mut kem = KemChanges::default();
        if state.sending.is_none() {
            state.make_step(DhSecret::generate(rng), &mut kem)?;
        }
        let prefix = self.prefix()?;
        let before = prefix.unwrap_or_default();
        let length = padding::length_of(content, before.len())?;
        let State {
            role,
            id,
            step,
            receiving,
            sending,
            epochs,
            ..
        } = &mut state;
        let chain = sending.as_mut().ok_or(RatchetError::Corrupt)?;
        let n = chain.n;
        if n >= CHAIN_LENGTH_MAX {
            return Err(RatchetError::ChainExhausted);
        }

        // Everything is written in its place: the header is filled in when the salt is known, which
        // depends on the padded content behind it.
        let kind = prefix.map_or(envelope::PLAIN, |_| envelope::OPENING);
        let mut out = Vec::with_capacity(
            envelope::OVERHEAD
                .saturating_add(before.len())
                .saturating_add(length),
        );
        out.extend_from_slice(&[envelope::VERSION, kind]);
        out.extend_from_slice(before);
        out.extend_from_slice(chain.header.tag(n).as_bytes());
        let header_at = out.len().saturating_add(SALT_LENGTH);
        let content_at = header_at.saturating_add(SEALED_HEADER_LENGTH);
        out.resize(content_at.saturating_add(length), 0);
        let (head, padded) = out.split_at_mut(content_at);

        let slack = padding::write(content, padded)?;
        let mut slack = SlackWriter::new(slack);
        epochs.prepare(*role, id, slack.has_room_for_unit(), rng, &mut kem)?;
        let receipt = receiving.as_ref().and_then(|chain| chain.newest);
        slack.write(receipt.as_ref(), epochs);

        let header = Header {
            ratchet_key: *chain.ratchet.public(),
            n,
            pn: chain.pn,
            mix: chain.mix,
        };
        let (key, next) = chain.key.advance(n);
        let (salt, tag) = key.seal(padded, rng, |salt| {
            let (before, place) = head.split_at_mut(header_at);
            if let Some(salt_place) = before.last_chunk_mut() {
                *salt_place = *salt;
            }
            place.copy_from_slice(&chain.header.seal(&header, salt, before)?);
            Ok(ContentAd::new(id, head))
        })?;
        out.extend_from_slice(&tag);
        chain.key = next;
        chain.n = n.saturating_add(1);
        let sent = SentHash {
            position: SkippedId { step: *step, n },
            hash: envelope::hash(&salt, &tag),
        };
        Ok(Sealed {
            envelope: out,
            session: Self::new(state, self.prefix.clone()),
            sent,
            kem,
        })
    }

    /// Decrypts an envelope of the peer device. `skipped` is the row that
    /// [`find`](crate::find) named, where it named one; `now` is in
    /// seconds since the Unix epoch.
    ///
    /// The attacker controls every byte of the envelope. Work before authentication is at most two
    /// header openings; after a header has opened, which only the peer can make, at most 2000 key
    /// derivations and one key agreement.
    ///
    /// # Errors
    /// Any of the family "whoever made the envelope" of [`RatchetError`], or
    /// [`RatchetError::WrongSkippedKey`]. Nothing has changed then.
    pub fn decrypt(
        &self,
        envelope: &Envelope<'_>,
        skipped: Option<&SkippedRow>,
        now: u64,
    ) -> Result<Opened, RatchetError> {
        // SES-38.
        let received = match skipped {
            Some(row) => self.state.receive_skipped(envelope, row)?,
            None => {
                let own = self
                    .state
                    .sending
                    .as_ref()
                    .map(|chain| chain.ratchet.as_ref());
                self.state.receive(own, envelope, day(now))?
            }
        };
        let prefix_ended = self.prefix_ended();
        let had_failed = self.state.epochs.failed;
        let mut opened = Opened::new(received, self.prefix.clone(), prefix_ended);
        opened.epoch_failed &= !had_failed;
        Ok(opened)
    }

    /// Whether one of this session's header keys opens the envelope's header: the trial behind the
    /// tag table.
    #[must_use]
    pub fn opens_header(&self, envelope: &Envelope<'_>) -> bool {
        self.state.open_header(envelope).is_some()
    }

    /// The hot row: secret bytes for the sealed store, rewritten with each message. At most 1 KiB.
    #[must_use]
    pub fn hot_row(&self) -> SecretBytes {
        self.state.encode()
    }

    /// The prefix row: not secret, written once, deleted when the prefix has ended.
    #[must_use]
    pub fn prefix_row(&self) -> Option<&[u8]> {
        self.prefix.as_deref()
    }

    /// Puts a session together from its rows; `kem` are all its KEM rows, in any order.
    ///
    /// # Errors
    /// [`RatchetError::Corrupt`] or [`RatchetError::UnsupportedFormat`].
    pub fn restore<'a>(
        hot: &[u8],
        prefix: Option<&[u8]>,
        kem: impl IntoIterator<Item = (KemRowId, &'a [u8])>,
    ) -> Result<Self, RatchetError> {
        let mut state = State::decode(hot)?;
        state.epochs.restore(state.role, kem)?;
        let session = Self::new(state, prefix.map(Arc::from));
        session.prefix()?;
        Ok(session)
    }

    /// The session that a hot row belongs to, so that its other rows can be found.
    ///
    /// # Errors
    /// [`RatchetError::Corrupt`] or [`RatchetError::UnsupportedFormat`].
    pub fn id_of(hot: &[u8]) -> Result<SessionId, RatchetError> {
        State::decode(hot).map(|state| state.id)
    }

    /// The names of all KEM rows that are stored for this state, to delete with the session.
    #[must_use]
    pub fn kem_rows(&self) -> Vec<KemRowId> {
        self.state.epochs.rows()
    }

    /// The prefix that the next envelope carries.
    fn prefix(&self) -> Result<Option<&[u8]>, RatchetError> {
        let needed = self.state.role == Role::Initiator && !self.has_heard_peer();
        match (needed, &self.prefix) {
            (true, Some(prefix)) => Ok(Some(prefix)),
            (true, None) => Err(RatchetError::Corrupt),
            (false, _) => Ok(None),
        }
    }

    /// The session's name, the same on both sides.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.state.id
    }

    /// The handshake that made it.
    #[must_use]
    pub const fn handshake_id(&self) -> HandshakeId {
        self.state.handshake
    }

    /// Which side of the handshake this device was.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.state.role
    }

    /// Orders sessions with the same predecessor.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.state.attempt
    }

    /// The session that this one continues; all zeros for none.
    #[must_use]
    pub const fn predecessor(&self) -> &[u8; 32] {
        &self.state.predecessor
    }

    /// When it was made on this device, in seconds since the Unix epoch.
    #[must_use]
    pub const fn created_at(&self) -> u64 {
        self.state.created_at
    }

    /// Whether an envelope of the peer was opened in it.
    #[must_use]
    pub const fn has_heard_peer(&self) -> bool {
        self.state.receiving.is_some()
    }

    /// Whether no handshake travels in it any more, as far as this side can know: the initiator has
    /// opened step 2, the responder step 3.
    #[must_use]
    pub fn prefix_ended(&self) -> bool {
        let heard = self.state.receiving.as_ref().map_or(0, |chain| chain.step);
        match self.state.role {
            Role::Initiator => heard >= 2,
            Role::Responder => heard >= 3,
        }
    }

    /// How many envelopes the own chain can still send before the peer must answer.
    #[must_use]
    pub fn envelopes_left(&self) -> u32 {
        let sent = self.state.sending.as_ref().map_or(0, |chain| chain.n);
        CHAIN_LENGTH_MAX.saturating_sub(sent)
    }

    /// How many KEM epochs were mixed into the root: each heals from every compromise before it
    /// began, one by a quantum computer included.
    #[must_use]
    pub const fn epochs_mixed(&self) -> u32 {
        self.state.epochs.number.saturating_sub(1)
    }

    /// How far the KEM epoch under way is on this side.
    #[must_use]
    pub const fn epoch_phase(&self) -> EpochPhase {
        self.state.epochs.phase()
    }

    /// Whether a KEM epoch is broken: the peer sent a key that FIPS 203 refuses, or an answer that
    /// does not confirm. Contents go on, without further epochs; a new session is due.
    #[must_use]
    pub const fn epochs_failed(&self) -> bool {
        self.state.epochs.failed
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }
}

impl Opened {
    pub(crate) fn new(
        received: Received,
        prefix: Option<Arc<[u8]>>,
        prefix_had_ended: bool,
    ) -> Self {
        let mut session = Session::new(received.state, prefix);
        if session.has_heard_peer() {
            session.prefix = None;
        }
        let position = received.position;
        // A message of step s acknowledges the receiver's own step s - 1.
        let acknowledged = received.receipt.map(|receipt| SentHash {
            position: SkippedId {
                step: position.step.saturating_sub(1),
                n: receipt.n,
            },
            hash: receipt.hash,
        });
        Self {
            content: received.content,
            prefix_ended: session.prefix_ended() && !prefix_had_ended,
            position,
            skipped_added: received.skipped_added,
            skipped_removed: received.changes.skipped_removed,
            kem: received.kem,
            epoch_failed: session.state.epochs.failed,
            acknowledged,
            changes: received.changes,
            session,
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("session", &self.session)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("session", &self.session)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.state.id)
            .field("role", &self.state.role)
            .finish_non_exhaustive()
    }
}
