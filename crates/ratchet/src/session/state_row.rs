// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The hot state as a sealed row: a format byte, fixed fields in a fixed order, and one byte of
//! flags for what may be absent. At most 1 KiB. Strict: what is read encodes to the same bytes.

use std::sync::Arc;

use waxwing_crypto::{DhSecret, Secret, SecretBytes};
use waxwing_identity::encoding::Reader;
use waxwing_proto::limits::{CHAIN_LENGTH_MAX, SESSION_STATE_SIZE_MAX};

use super::chain_key::ChainKey;
use super::header::HeaderKeys;
use super::kem::Epochs;
use super::root_key::RootKey;
use super::slack::Receipt;
use super::state::{Continuity, ReceivingChain, SendingChain, State};
use super::units::UnitMap;
use crate::{HandshakeId, RatchetError, Role, SessionId};

/// Without epochs: read, and written again in the newest format. So is the next.
const FORMAT_1: u8 = 1;
/// The newest envelope that was opened is named by another hash, which nobody asks for any more.
const FORMAT_3: u8 = 3;
const FORMAT: u8 = 4;

const SENDING: u8 = 1;
const RECEIVING: u8 = 1 << 1;
const NEWEST: u8 = 1 << 2;
const CONTINUITY_PEER: u8 = 1 << 3;
const CONTINUITY_OWN: u8 = 1 << 4;
const CONTINUITY_PROVED: u8 = 1 << 5;
const ALL_FLAGS: u8 = (1 << 6) - 1;

impl State {
    fn flags(&self) -> u8 {
        let newest = self.receiving.as_ref().is_some_and(|c| c.newest.is_some());
        [
            (self.sending.is_some(), SENDING),
            (self.receiving.is_some(), RECEIVING),
            (newest, NEWEST),
            (self.continuity.peer.is_some(), CONTINUITY_PEER),
            (self.continuity.own.is_some(), CONTINUITY_OWN),
            (self.continuity.proved.is_some(), CONTINUITY_PROVED),
        ]
        .into_iter()
        .filter(|(present, _)| *present)
        .fold(0, |flags, (_, flag)| flags | flag)
    }

    /// The bytes for the sealed store.
    pub(crate) fn encode(&self) -> SecretBytes {
        // The capacity is never exceeded, so no half-written copy is left behind by growing.
        let mut row = SecretBytes::with_capacity(SESSION_STATE_SIZE_MAX);
        row.extend_from_slice(&[FORMAT, self.flags(), self.role.to_byte()]);
        row.extend_from_slice(self.id.as_bytes());
        row.extend_from_slice(self.handshake.as_bytes());
        row.extend_from_slice(&self.predecessor);
        row.extend_from_slice(&self.attempt.to_be_bytes());
        row.extend_from_slice(&self.created_at.to_be_bytes());
        row.extend_from_slice(&self.step.to_be_bytes());
        row.extend_from_slice(self.root.expose());
        row.extend_from_slice(&self.previous_length.to_be_bytes());
        row.extend_from_slice(&self.remote);
        put_header(&mut row, &self.sending_next);
        put_header(&mut row, &self.receiving_next);
        if let Some(chain) = &self.sending {
            row.extend_from_slice(chain.ratchet.expose().expose());
            row.extend_from_slice(chain.ratchet.public());
            row.extend_from_slice(chain.key.expose());
            for field in [chain.n, chain.pn, chain.mix] {
                row.extend_from_slice(&field.to_be_bytes());
            }
            put_header(&mut row, &chain.header);
        }
        if let Some(chain) = &self.receiving {
            row.extend_from_slice(chain.key.expose());
            for field in [chain.step, chain.n, chain.mix] {
                row.extend_from_slice(&field.to_be_bytes());
            }
            put_header(&mut row, &chain.header);
            if let Some(newest) = &chain.newest {
                row.extend_from_slice(&newest.n.to_be_bytes());
                row.extend_from_slice(&newest.hash);
            }
        }
        let Continuity { peer, own, proved } = &self.continuity;
        for secret in [peer, own, proved].into_iter().flatten() {
            row.extend_from_slice(secret.expose());
        }
        put_epochs(&mut row, &self.epochs);
        row
    }

    /// Reads what [`State::encode`] wrote.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, RatchetError> {
        match row.first() {
            Some(&(FORMAT_1 | FORMAT_3 | FORMAT)) if row.len() <= SESSION_STATE_SIZE_MAX => {
                read(Reader::new(row)).ok_or(RatchetError::Corrupt)
            }
            Some(&(FORMAT_1 | FORMAT_3 | FORMAT)) | None => Err(RatchetError::Corrupt),
            Some(format) => Err(RatchetError::UnsupportedFormat(*format)),
        }
    }
}

fn put_header(row: &mut SecretBytes, keys: &HeaderKeys) {
    for part in keys.expose() {
        row.extend_from_slice(part);
    }
}

/// The phase of the epoch under way has rows of its own.
fn put_epochs(row: &mut SecretBytes, epochs: &Epochs) {
    row.extend_from_slice(&epochs.number.to_be_bytes());
    row.extend_from_slice(&[epochs.cursor, u8::from(epochs.failed)]);
    row.extend_from_slice(&epochs.held_by_peer.bits().to_be_bytes());
}

fn epochs(r: &mut Reader<'_>) -> Option<Epochs> {
    Some(Epochs {
        number: r.u32().ok().filter(|number| *number > 0)?,
        cursor: r.u8().ok()?,
        failed: match r.u8().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        },
        held_by_peer: UnitMap::new(r.u64().ok()?),
        ..Epochs::first()
    })
}

fn read(mut reader: Reader<'_>) -> Option<State> {
    let r = &mut reader;
    let format = r.u8().ok()?;
    let flags = r.u8().ok()?;
    let has = |flag: u8| flags & flag != 0;
    if flags & !ALL_FLAGS != 0 || (has(NEWEST) && !has(RECEIVING)) {
        return None;
    }
    let role = Role::from_byte(r.u8().ok()?)?;
    let id = SessionId::new(r.array().ok()?);
    let handshake = HandshakeId::new(r.array().ok()?);
    let predecessor = r.array().ok()?;
    let attempt = r.u32().ok()?;
    let created_at = r.u64().ok()?;
    let step = r.u32().ok()?;
    let root = RootKey::new(secret(r)?);
    let previous_length = number(r)?;
    let remote = r.array().ok()?;
    let sending_next = header(r)?;
    let receiving_next = header(r)?;
    let sending = if has(SENDING) {
        Some(sending(r)?)
    } else {
        None
    };
    let mut receiving = if has(RECEIVING) {
        Some(receiving(r, has(NEWEST))?)
    } else {
        None
    };
    if format != FORMAT
        && let Some(chain) = &mut receiving
    {
        chain.newest = None;
    }
    let mut continuity = Continuity::default();
    if has(CONTINUITY_PEER) {
        continuity.peer = Some(secret(r)?);
    }
    if has(CONTINUITY_OWN) {
        continuity.own = Some(secret(r)?);
    }
    if has(CONTINUITY_PROVED) {
        continuity.proved = Some(secret(r)?);
    }
    let epochs = if format == FORMAT_1 {
        Epochs::first()
    } else {
        epochs(r)?
    };
    reader.finish().ok()?;
    Some(State {
        id,
        handshake,
        role,
        predecessor,
        attempt,
        created_at,
        step,
        root,
        sending,
        sending_next,
        previous_length,
        remote,
        receiving,
        receiving_next,
        continuity,
        epochs,
    })
}

fn sending(r: &mut Reader<'_>) -> Option<SendingChain> {
    let ratchet = secret(r)?;
    let public = r.array().ok()?;
    Some(SendingChain {
        ratchet: Arc::new(DhSecret::restore(ratchet, public)),
        key: ChainKey::new(secret(r)?),
        n: number(r)?,
        pn: number(r)?,
        mix: r.u32().ok()?,
        header: header(r)?,
    })
}

fn receiving(r: &mut Reader<'_>, has_newest: bool) -> Option<ReceivingChain> {
    let key = ChainKey::new(secret(r)?);
    let step = r.u32().ok()?;
    let n = number(r)?;
    let mix = r.u32().ok()?;
    let header = header(r)?;
    let newest = if has_newest {
        Some(Receipt {
            n: number(r)?,
            hash: r.array().ok()?,
        })
    } else {
        None
    };
    Some(ReceivingChain {
        step,
        key,
        n,
        mix,
        header,
        newest,
    })
}

fn secret(r: &mut Reader<'_>) -> Option<Secret<32>> {
    Secret::from_slice(r.take(32).ok()?)
}

fn header(r: &mut Reader<'_>) -> Option<HeaderKeys> {
    Some(HeaderKeys::from_parts(secret(r)?, secret(r)?))
}

fn number(r: &mut Reader<'_>) -> Option<u32> {
    r.u32().ok().filter(|n| *n <= CHAIN_LENGTH_MAX)
}
