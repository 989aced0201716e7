// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Marks in every plaintext, and the search for them in every byte that must not hold one.

use memchr::memmem::Finder;

/// What every message text and private label of a run holds.
pub const MARK: &str = "wx-canary-7f3a91d2";

/// A search for the mark, as it is and in the encodings in which a program leaks.
pub struct Search {
    needles: Vec<(&'static str, Finder<'static>)>,
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

impl Search {
    /// Prepares the search.
    #[must_use]
    pub fn new() -> Self {
        let raw = MARK.as_bytes();
        let mut needles = vec![
            ("raw", raw.to_vec()),
            ("hex", data_encoding::HEXLOWER.encode(raw).into_bytes()),
            ("HEX", data_encoding::HEXUPPER.encode(raw).into_bytes()),
            ("utf-16le", raw.iter().flat_map(|byte| [*byte, 0]).collect()),
            ("utf-16be", raw.iter().flat_map(|byte| [0, *byte]).collect()),
        ];
        // Base64 depends on where in a group of three bytes the mark begins: encode it at each of
        // the three places and keep the digits that only the mark decides.
        for skipped in 0..3_usize {
            let mut shifted = vec![0_u8; skipped];
            shifted.extend_from_slice(raw);
            let (groups, _) = shifted.as_chunks::<3>();
            let encoded = data_encoding::BASE64.encode(groups.as_flattened());
            let from = skipped.saturating_mul(8).div_ceil(6);
            needles.push((
                "base64",
                encoded.get(from..).unwrap_or_default().as_bytes().to_vec(),
            ));
        }
        Self {
            needles: needles
                .into_iter()
                .map(|(name, needle)| (name, Finder::new(&needle).into_owned()))
                .collect(),
        }
    }

    /// In which form the mark is in `bytes`, if it is.
    #[must_use]
    pub fn find_in(&self, bytes: &[u8]) -> Option<&'static str> {
        self.needles
            .iter()
            .find(|(_, finder)| finder.find(bytes).is_some())
            .map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_mark_is_found() {
        let search = Search::new();
        let text = format!("hello {MARK} 0123456789");
        let bytes = text.as_bytes();
        assert_eq!(search.find_in(bytes), Some("raw"));
        let hex = data_encoding::HEXLOWER.encode(bytes);
        assert_eq!(search.find_in(hex.as_bytes()), Some("hex"));
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(search.find_in(&utf16), Some("utf-16le"));
        for skipped in 0..3 {
            let shifted = format!("{}{text}", "x".repeat(skipped));
            let base64 = data_encoding::BASE64.encode(shifted.as_bytes());
            assert_eq!(
                search.find_in(base64.as_bytes()),
                Some("base64"),
                "{skipped}"
            );
        }
    }

    #[test]
    fn other_bytes_are_clean() {
        assert_eq!(Search::new().find_in(&[0x5a; 4096]), None);
    }
}
