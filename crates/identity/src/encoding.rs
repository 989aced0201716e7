// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fixed layouts: big-endian integers, fixed arrays and length-prefixed bytes, read and written in
//! one way only. A reader never allocates more than the bound that its caller names, and what it
//! accepts encodes to the same bytes again.

/// Bytes that do not follow their layout. Holds nothing of the bytes themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The bytes end before the layout does.
    #[error("the bytes end too early")]
    Truncated,
    /// The layout ends before the bytes do.
    #[error("there are bytes after the end")]
    Trailing,
    /// The bytes begin with another label: they are something else, or a later version of it.
    #[error("the bytes do not begin with the expected label")]
    Label,
    /// A count, length or size is over its bound.
    #[error("a length is over its limit")]
    Limit,
    /// A value that its field does not allow.
    #[error("a field holds a value that it does not allow")]
    Value,
    /// The value could have been written in another way; only one way is accepted.
    #[error("the bytes are not in canonical form")]
    NotCanonical,
}

impl LayoutError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "layout_truncated",
            Self::Trailing => "layout_trailing",
            Self::Label => "layout_label",
            Self::Limit => "layout_limit",
            Self::Value => "layout_value",
            Self::NotCanonical => "layout_not_canonical",
        }
    }
}

/// Takes a fixed layout apart, front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes, borrowed.
    ///
    /// # Errors
    /// [`LayoutError::Truncated`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], LayoutError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(LayoutError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Everything that is left, borrowed.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`LayoutError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], LayoutError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(LayoutError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`LayoutError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, LayoutError> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// [`LayoutError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, LayoutError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// [`LayoutError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, LayoutError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// [`LayoutError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, LayoutError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes behind a two-byte length, at most `length_max` of them.
    ///
    /// # Errors
    /// [`LayoutError::Limit`] before anything is taken, or [`LayoutError::Truncated`].
    pub fn prefixed(&mut self, length_max: usize) -> Result<&'a [u8], LayoutError> {
        let length = usize::from(self.u16()?);
        if length > length_max {
            return Err(LayoutError::Limit);
        }
        self.take(length)
    }

    /// UTF-8 text behind a two-byte length, at most `length_max` bytes.
    ///
    /// # Errors
    /// As [`Reader::prefixed`], and [`LayoutError::Value`] for what is not UTF-8.
    pub fn text(&mut self, length_max: usize) -> Result<&'a str, LayoutError> {
        core::str::from_utf8(self.prefixed(length_max)?).map_err(|_| LayoutError::Value)
    }

    /// Steps over a label.
    ///
    /// # Errors
    /// [`LayoutError::Label`] for any other bytes, too few included.
    pub fn label(&mut self, label: &[u8]) -> Result<(), LayoutError> {
        self.rest = self.rest.strip_prefix(label).ok_or(LayoutError::Label)?;
        Ok(())
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`LayoutError::Trailing`] where bytes are left.
    pub const fn finish(self) -> Result<(), LayoutError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(LayoutError::Trailing)
        }
    }
}

/// Puts a fixed layout together, front to back.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins with nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Begins with a label.
    #[must_use]
    pub fn labelled(label: &[u8]) -> Self {
        Self::new().raw(label)
    }

    /// Bytes as they are. The layout must make their number known to the reader.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One byte.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    /// Two bytes, big-endian.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// Four bytes, big-endian.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// Bytes behind a two-byte length.
    ///
    /// # Errors
    /// [`LayoutError::Limit`] for more than 65535 bytes.
    pub fn prefixed(self, bytes: &[u8]) -> Result<Self, LayoutError> {
        let length = u16::try_from(bytes.len()).map_err(|_| LayoutError::Limit)?;
        Ok(self.u16(length).raw(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_are_checked_before_bytes_are_taken() {
        let mut reader = Reader::new(&[0, 5, 1, 2]);
        assert_eq!(reader.clone().prefixed(4), Err(LayoutError::Limit));
        assert_eq!(reader.prefixed(5), Err(LayoutError::Truncated));
        assert_eq!(Reader::new(&[0]).u16(), Err(LayoutError::Truncated));
        assert_eq!(Reader::new(&[0]).finish(), Err(LayoutError::Trailing));
        assert_eq!(Reader::new(b"ab").label(b"abc"), Err(LayoutError::Label));
        assert_eq!(Reader::new(&[0, 1, 0xff]).text(9), Err(LayoutError::Value));
        assert!(Writer::new().prefixed(&vec![0; 65_536]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(a: u8, b: u16, c: u32, d: u64, e: [u8; 7], f in "\\PC{0,40}") {
            let bytes = Writer::labelled(b"label\0")
                .u8(a).u16(b).u32(c).u64(d).raw(&e).prefixed(f.as_bytes()).unwrap()
                .into_bytes();
            let mut reader = Reader::new(&bytes);
            reader.label(b"label\0").unwrap();
            prop_assert_eq!(reader.u8(), Ok(a));
            prop_assert_eq!(reader.u16(), Ok(b));
            prop_assert_eq!(reader.u32(), Ok(c));
            prop_assert_eq!(reader.u64(), Ok(d));
            prop_assert_eq!(reader.array::<7>(), Ok(e));
            prop_assert_eq!(reader.text(f.len()), Ok(f.as_str()));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
