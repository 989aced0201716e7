// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Skipped message keys: rows outside the hot state, one for each envelope that is still under way
//! while a later one of its chain, or of a later chain, has arrived.

use waxwing_crypto::{Secret, SecretBytes};
use waxwing_identity::Day;
use waxwing_identity::encoding::Reader;

use super::message_key::MessageKey;
use crate::{RatchetError, SkippedId, Tag};

const FORMAT: u8 = 1;
const ROW_LENGTH: usize = 1 + 4 + Tag::LENGTH + 32;

/// One skipped message key with the tag that its envelope will carry. Wiped on drop.
pub struct SkippedRow {
    id: SkippedId,
    day: Day,
    tag: Tag,
    key: MessageKey,
}

impl SkippedRow {
    pub(crate) const fn new(id: SkippedId, day: Day, tag: Tag, key: MessageKey) -> Self {
        Self { id, day, tag, key }
    }

    /// The row's name within its session.
    #[must_use]
    pub const fn id(&self) -> SkippedId {
        self.id
    }

    /// The day on which the key was skipped. Rows go after the mailbox retention.
    #[must_use]
    pub const fn day(&self) -> Day {
        self.day
    }

    /// The routing tag of the envelope that is missing.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// A copy of the key for one attempt at opening: a forged envelope must not use the key up.
    pub(crate) fn attempt(&self) -> MessageKey {
        MessageKey::new(Secret::copy_of(self.key.expose()))
    }

    /// The bytes for the sealed store. They are secret; seal them at once.
    #[must_use]
    pub fn encode(&self) -> SecretBytes {
        let mut row = SecretBytes::with_capacity(ROW_LENGTH);
        row.extend_from_slice(&[FORMAT]);
        row.extend_from_slice(&self.day.to_be_bytes());
        row.extend_from_slice(self.tag.as_bytes());
        row.extend_from_slice(self.key.expose());
        row
    }

    /// Reads what [`SkippedRow::encode`] wrote, under the name that it was stored by.
    ///
    /// # Errors
    /// [`RatchetError::Corrupt`] or [`RatchetError::UnsupportedFormat`].
    pub fn decode(id: SkippedId, row: &[u8]) -> Result<Self, RatchetError> {
        match row.first() {
            Some(&FORMAT) => Self::read(id, Reader::new(row)).ok_or(RatchetError::Corrupt),
            Some(format) => Err(RatchetError::UnsupportedFormat(*format)),
            None => Err(RatchetError::Corrupt),
        }
    }

    fn read(id: SkippedId, mut reader: Reader<'_>) -> Option<Self> {
        reader.u8().ok()?;
        let day = reader.u32().ok()?;
        let tag = Tag::new(reader.array().ok()?);
        let key = Secret::from_slice(reader.take(32).ok()?)?;
        reader.finish().ok()?;
        Some(Self::new(id, day, tag, MessageKey::new(key)))
    }
}
