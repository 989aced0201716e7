// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening an envelope on a copy of the state. Nothing is derived from a header that did not open,
//! and nothing is kept of a content that did not.

use core::ops::Range;

use waxwing_crypto::{DhSecret, SecretBytes};
use waxwing_identity::Day;
use waxwing_proto::limits::{CHAIN_LENGTH_MAX, SKIPPED_KEYS_PER_SESSION_MAX};

use super::header::{Header, HeaderKeys};
use super::kem_row::KemChanges;
use super::message_key::MessageKey;
use super::padding;
use super::skipped::SkippedRow;
use super::slack::{self, Receipt};
use super::state::{ReceivingChain, State};
use crate::envelope::Envelope;
use crate::tags::{TagChanges, window_end};
use crate::{RatchetError, SkippedId};

/// What opening an envelope yields.
pub(crate) struct Received {
    pub(crate) state: State,
    pub(crate) content: SecretBytes,
    /// The acknowledgement that travelled with it.
    pub(crate) receipt: Option<Receipt>,
    /// Where the envelope stood: its chain's step and its number.
    pub(crate) position: SkippedId,
    /// The oldest first; at most `SKIPPED_KEYS_PER_SESSION_MAX`.
    pub(crate) skipped_added: Vec<SkippedRow>,
    pub(crate) changes: TagChanges,
    pub(crate) kem: KemChanges,
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
        let mut state = self.duplicate();
        let mut kem = KemChanges::default();
        let (content, receipt) = state.open_content(envelope, row.attempt(), &mut kem)?;
        Ok(Received {
            state,
            content,
            receipt,
            position: row.id(),
            skipped_added: Vec::new(),
            changes: TagChanges {
                removed: vec![envelope.tag()],
                skipped_removed: Some(row.id()),
                ..TagChanges::default()
            },
            kem,
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
        let mut state = self.duplicate();
        let mut kem = KemChanges::default();
        let mut skipped = Skipped::new(today);
        match chain {
            HeaderChain::Current => {
                if header.ratchet_key != self.remote {
                    return Err(RatchetError::PeerDiverged);
                }
                if state.receiving.as_ref().map(|chain| chain.mix) != Some(header.mix) {
                    return Err(RatchetError::Malformed("epoch"));
                }
            }
            HeaderChain::Next => {
                let own = own.ok_or(RatchetError::PeerDiverged)?;
                skipped.end_chain(state.receiving.take(), header.pn)?;
                state.follow_step(own, &header, &mut kem)?;
                skipped.begin_window(&state);
            }
        }
        let receiving = state.receiving.as_mut().ok_or(RatchetError::UnknownTag)?;
        let key = skipped.advance(receiving, header.n, envelope)?;
        receiving.newest = Some(Receipt {
            n: header.n,
            hash: envelope.hash(),
        });
        let position = SkippedId {
            step: receiving.step,
            n: header.n,
        };
        let (content, receipt) = state.open_content(envelope, key, &mut kem)?;
        let (skipped_added, changes) = skipped.finish();
        Ok(Received {
            state,
            content,
            receipt,
            position,
            skipped_added,
            changes,
            kem,
        })
    }

    /// Opens the content and takes what travelled in its slack.
    fn open_content(
        &mut self,
        envelope: &Envelope<'_>,
        key: MessageKey,
        kem: &mut KemChanges,
    ) -> Result<(SecretBytes, Option<Receipt>), RatchetError> {
        let ad = envelope.content_ad(&self.id);
        let mut padded = key.open(envelope.salt(), ad.as_ref(), envelope.ciphertext())?;
        let (content, slack) = padding::split(&padded)?;
        let length = content.len();
        let slack = slack::read(slack)?;
        self.epochs.receive(self.role, &self.id, &slack, kem)?;
        let receipt = slack.receipt;
        padding::keep_content(&mut padded, length);
        Ok((padded, receipt))
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
        let window = window_end(chain.n);
        self.skip_to(&mut chain, pn);
        self.changes.removed.extend(chain.header.tags(pn..window));
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
        if chain.header.tag(n) != envelope.tag() {
            return Err(RatchetError::Malformed("routing tag"));
        }
        let old_window = window_end(chain.n);
        self.skip_to(chain, n);
        let (key, next) = chain.key.advance(n);
        chain.key = next;
        chain.n = n.saturating_add(1);
        self.changes.removed.push(envelope.tag());
        let new_window = window_end(chain.n);
        self.add_window(
            chain.step,
            &chain.header,
            old_window.max(chain.n)..new_window,
        );
        Ok(key)
    }

    /// The keys of `chain` up to `end` (exclusive) become skipped rows.
    fn skip_to(&mut self, chain: &mut ReceivingChain, end: u32) {
        if chain.n >= end {
            return;
        }
        let numbers = chain.n..end;
        for (n, tag) in numbers.clone().zip(chain.header.tags(numbers)) {
            let (key, next) = chain.key.advance(n);
            chain.key = next;
            let id = SkippedId {
                step: chain.step,
                n,
            };
            self.rows.push(SkippedRow::new(id, self.today, tag, key));
        }
        chain.n = end;
    }

    /// The tags of the peer's next chain.
    fn begin_window(&mut self, state: &State) {
        let step = state.next_receiving_step();
        self.add_window(step, &state.receiving_next, 0..window_end(0));
    }

    fn add_window(&mut self, step: u32, header: &HeaderKeys, numbers: Range<u32>) {
        let tags = numbers.clone().zip(header.tags(numbers));
        let added = tags.map(|(n, tag)| (tag, SkippedId { step, n }));
        self.changes.added.extend(added);
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
