// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening an envelope on a copy of the state. Nothing is derived from a header that did not open,
//! and nothing is kept of a content that did not.

use waxwing_crypto::DhSecret;
use waxwing_identity::Day;
use waxwing_proto::limits::{CHAIN_LENGTH_MAX, SKIPPED_KEYS_PER_SESSION_MAX, TAG_WINDOW};

use super::header::{Header, HeaderKeys};
use super::message_key::MessageKey;
use super::padding::{Receipt, Unpadded, unpad};
use super::skipped::SkippedRow;
use super::state::{ReceivingChain, State};
use crate::envelope::Envelope;
use crate::tags::TagChanges;
use crate::{RatchetError, SkippedId};

/// What opening an envelope yields.
pub(crate) struct Received {
    pub(crate) state: State,
    pub(crate) unpadded: Unpadded,
    /// Where the envelope stood: its chain's step and its number.
    pub(crate) position: SkippedId,
    /// The oldest first; at most `SKIPPED_KEYS_PER_SESSION_MAX`.
    pub(crate) skipped_added: Vec<SkippedRow>,
    pub(crate) changes: TagChanges,
}

/// Which of the two receiving header keys opened a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderChain {
    Current,
    Next,
}

impl State {
    /// Opens the header under the current or the next receiving header key.
    pub(crate) fn open_header(&self, envelope: &Envelope<'_>) -> Option<(HeaderChain, Header)> {
        let current = self
            .receiving
            .as_ref()
            .and_then(|chain| chain.header.open(envelope.header()))
            .map(|header| (HeaderChain::Current, header));
        current.or_else(|| {
            let header = self.receiving_next.open(envelope.header())?;
            Some((HeaderChain::Next, header))
        })
    }

    /// Opens an envelope whose key was skipped before. Its header is associated data only.
    pub(crate) fn receive_skipped(
        &self,
        envelope: &Envelope<'_>,
        row: &SkippedRow,
    ) -> Result<Received, RatchetError> {
        if row.tag() != envelope.tag() {
            return Err(RatchetError::WrongSkippedKey);
        }
        let unpadded = self.open_content(envelope, row.attempt())?;
        Ok(Received {
            state: self.duplicate(),
            unpadded,
            position: row.id(),
            skipped_added: Vec::new(),
            changes: TagChanges {
                removed: vec![envelope.tag()],
                skipped_removed: Some(row.id()),
                ..TagChanges::default()
            },
        })
    }

    /// Opens an envelope of the current chain or of the peer's next step, which is made against
    /// `own`.
    pub(crate) fn receive(
        &self,
        own: Option<&DhSecret>,
        envelope: &Envelope<'_>,
        today: Day,
    ) -> Result<Received, RatchetError> {
        // SES-26, SES-30, SES-36.
        let (chain, header) = self.open_header(envelope).ok_or(RatchetError::UnknownTag)?;
        if header.n >= CHAIN_LENGTH_MAX || header.pn > CHAIN_LENGTH_MAX {
            return Err(RatchetError::TooFarAhead);
        }
        // This version runs no KEM epochs, so an honest peer has none to mix.
        if header.mix != 0 {
            return Err(RatchetError::Malformed("epoch"));
        }
        let mut state = self.duplicate();
        let mut skipped = Skipped::new(today);
        match chain {
            HeaderChain::Current => {
                if header.ratchet_key != self.remote {
                    return Err(RatchetError::PeerDiverged);
                }
            }
            HeaderChain::Next => {
                let own = own.ok_or(RatchetError::PeerDiverged)?;
                skipped.end_chain(state.receiving.take(), header.pn)?;
                state.follow_step(own, header.ratchet_key)?;
                skipped.begin_window(&state.receiving_next, state.next_receiving_step());
            }
        }
        let receiving = state.receiving.as_mut().ok_or(RatchetError::UnknownTag)?;
        let key = skipped.advance(receiving, header.n, envelope)?;
        let unpadded = self.open_content(envelope, key)?;
        receiving.newest = Some(Receipt {
            n: header.n,
            hash: envelope.hash(),
        });
        let position = SkippedId {
            step: receiving.step,
            n: header.n,
        };
        let (skipped_added, changes) = skipped.finish();
        Ok(Received {
            state,
            unpadded,
            position,
            skipped_added,
            changes,
        })
    }

    fn open_content(
        &self,
        envelope: &Envelope<'_>,
        key: MessageKey,
    ) -> Result<Unpadded, RatchetError> {
        let ad = envelope.content_ad(&self.id);
        let padded = key.open(envelope.salt(), &ad, envelope.ciphertext())?;
        unpad(&padded)
    }
}

/// The skipped keys and tag changes of one opening.
struct Skipped {
    today: Day,
    rows: Vec<SkippedRow>,
    changes: TagChanges,
}

impl Skipped {
    fn new(today: Day) -> Self {
        Self {
            today,
            rows: Vec::new(),
            changes: TagChanges::default(),
        }
    }

    /// The peer's old chain has `pn` messages: what is missing of it becomes skipped rows, its
    /// tags beyond `pn` go, and its chain key is wiped.
    fn end_chain(&mut self, chain: Option<ReceivingChain>, pn: u32) -> Result<(), RatchetError> {
        // SES-28.
        const MALFORMED: RatchetError = RatchetError::Malformed("chain length");
        let Some(mut chain) = chain else {
            return if pn == 0 { Ok(()) } else { Err(MALFORMED) };
        };
        if pn < chain.n {
            return Err(MALFORMED);
        }
        let window = chain.n.saturating_add(TAG_WINDOW).min(CHAIN_LENGTH_MAX);
        self.skip_to(&mut chain, pn);
        let tags = chain.header.tags();
        for n in pn..window {
            self.changes.removed.push(tags.tag(n));
        }
        Ok(())
    }

    /// The key of number `n` in the current chain; the keys before it become skipped rows.
    fn advance(
        &mut self,
        chain: &mut ReceivingChain,
        n: u32,
        envelope: &Envelope<'_>,
    ) -> Result<MessageKey, RatchetError> {
        if n < chain.n {
            return Err(RatchetError::Replay);
        }
        let tags = chain.header.tags();
        if tags.tag(n) != envelope.tag() {
            return Err(RatchetError::Malformed("routing tag"));
        }
        let old_window = chain.n.saturating_add(TAG_WINDOW);
        self.skip_to(chain, n);
        let (key, next) = chain.key.advance(n);
        chain.key = next;
        chain.n = n.saturating_add(1);
        self.changes.removed.push(envelope.tag());
        let new_window = chain.n.saturating_add(TAG_WINDOW).min(CHAIN_LENGTH_MAX);
        for ahead in old_window.max(chain.n)..new_window {
            let position = SkippedId {
                step: chain.step,
                n: ahead,
            };
            self.changes.added.push((tags.tag(ahead), position));
        }
        Ok(key)
    }

    /// The keys of `chain` up to `end` (exclusive) become skipped rows.
    fn skip_to(&mut self, chain: &mut ReceivingChain, end: u32) {
        if chain.n >= end {
            return;
        }
        let tags = chain.header.tags();
        for n in chain.n..end {
            let (key, next) = chain.key.advance(n);
            chain.key = next;
            let id = SkippedId {
                step: chain.step,
                n,
            };
            let tag = tags.tag(n);
            self.rows.push(SkippedRow::new(id, self.today, tag, key));
        }
        chain.n = end;
    }

    /// The tags of the peer's next chain.
    fn begin_window(&mut self, header: &HeaderKeys, step: u32) {
        let tags = header.tags();
        for n in 0..TAG_WINDOW {
            let position = SkippedId { step, n };
            self.changes.added.push((tags.tag(n), position));
        }
    }

    /// The rows to keep, the newest of them at most, and what changes in the tag table.
    fn finish(mut self) -> (Vec<SkippedRow>, TagChanges) {
        // SES-37.
        let excess = self.rows.len().saturating_sub(SKIPPED_KEYS_PER_SESSION_MAX);
        for row in self.rows.drain(..excess) {
            self.changes.dropped.push(row.tag());
        }
        self.changes.skipped_added = self
            .rows
            .iter()
            .map(|row| (row.id(), row.tag(), row.day()))
            .collect();
        (self.rows, self.changes)
    }
}
