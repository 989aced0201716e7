// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secret bytes of any length: contents, and rows for the sealed store.

use core::fmt;
use core::ops::{Deref, DerefMut};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Secret bytes whose number is not secret. Wiped when dropped, all at once:
/// [`Zeroizing`] wipes a vector byte by byte, which takes longer than opening a short message.
#[derive(Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// None, with room for `capacity`.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Appends bytes within the capacity. Growing moves the bytes and wipes nothing, so it stops a
    /// debug build.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let room = self.0.capacity().saturating_sub(self.0.len());
        debug_assert!(bytes.len() <= room, "a copy of secret bytes is left behind");
        self.0.extend_from_slice(bytes);
    }

    /// Keeps the bytes in a range, at the start, and wipes all others. A range that is not within keeps
    /// nothing.
    pub fn keep(&mut self, range: core::ops::Range<usize>) {
        let length = range.len();
        if range.start > range.end || range.end > self.0.len() {
            self.0.as_mut_slice().zeroize();
            self.0.clear();
            return;
        }
        self.0.copy_within(range, 0);
        if let Some(rest) = self.0.get_mut(length..) {
            rest.zeroize();
        }
        self.0.truncate(length);
    }
}

/// For who wipes them by `zeroize`'s own type.
impl From<SecretBytes> for Zeroizing<Vec<u8>> {
    fn from(mut bytes: SecretBytes) -> Self {
        Self::new(core::mem::take(&mut bytes.0))
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for SecretBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl ZeroizeOnDrop for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secret bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_kept_and_the_rest_is_wiped() {
        let mut bytes = SecretBytes::with_capacity(16);
        bytes.extend_from_slice(b"0123456789");
        bytes.keep(0..10);
        assert_eq!(bytes.as_slice(), b"0123456789");
        bytes.keep(2..5);
        assert_eq!(&*bytes, b"234");
        bytes[0] = b'x';
        assert_eq!(Zeroizing::<Vec<u8>>::from(bytes).as_slice(), b"x34");
        #[allow(clippy::reversed_empty_ranges, reason = "what is looked at")]
        for wrong in [2..11, 11..12, 5..2] {
            let mut bytes = SecretBytes::from(b"0123456789".to_vec());
            bytes.keep(wrong);
            assert!(bytes.is_empty());
        }
        // Nothing of it is as much a part as any.
        let mut bytes = SecretBytes::from(b"0123456789".to_vec());
        bytes.keep(10..10);
        assert!(bytes.is_empty());
        assert_eq!(
            format!("{:?}", SecretBytes::from(vec![7])),
            "1 secret bytes"
        );
    }
}
