// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The forms in which a byte string is searched for: as it is, base64, hex and UTF-16.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};

/// Forms shorter than this are left out: they would be found by chance.
pub(crate) const LENGTH_MIN: usize = 8;

/// A form with its bytes.
pub(crate) type Form = (&'static str, Vec<u8>);

/// The forms of any byte string.
pub(crate) fn of_bytes(bytes: &[u8]) -> Vec<Form> {
    let mut forms = vec![
        ("raw", bytes.to_vec()),
        ("hex", HEXLOWER.encode(bytes).into_bytes()),
        ("hex, upper case", HEXUPPER.encode(bytes).into_bytes()),
    ];
    for shift in 0..3 {
        forms.push(("base64", base64_within(&BASE64_NOPAD, bytes, shift)));
        forms.push(("base64url", base64_within(&BASE64URL_NOPAD, bytes, shift)));
    }
    distinct(forms)
}

/// The forms of a text: those of its bytes, and UTF-16 in both orders.
pub(crate) fn of_text(text: &str) -> Vec<Form> {
    let mut forms = of_bytes(text.as_bytes());
    let little = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    forms.push(("UTF-16, little-endian", little));
    forms.push(("UTF-16, big-endian", big));
    distinct(forms)
}

/// The base64 digits that depend on `bytes` alone when `shift` other bytes stand before them.
pub(crate) fn base64_within(encoding: &Encoding, bytes: &[u8], shift: usize) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(bytes);
    let digits = encoding.encode(&shifted).into_bytes();
    let first = shift.saturating_mul(8).div_ceil(6);
    let end = shifted.len().saturating_mul(8).checked_div(6).unwrap_or(0);
    digits.get(first..end).unwrap_or_default().to_vec()
}

fn distinct(forms: Vec<Form>) -> Vec<Form> {
    let mut kept: Vec<Form> = Vec::with_capacity(forms.len());
    for (name, bytes) in forms {
        if bytes.len() >= LENGTH_MIN && kept.iter().all(|(_, known)| *known != bytes) {
            kept.push((name, bytes));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, BASE64URL};

    const TEXT: &str = "lunch at the usual place?>>>";

    fn names(haystack: &[u8]) -> Vec<&'static str> {
        let forms = of_text(TEXT);
        let found = forms
            .iter()
            .filter(|(_, form)| haystack.windows(form.len()).any(|at| at == form));
        found.map(|(name, _)| *name).collect()
    }

    /// Standard and URL alphabets differ in two digits only; a form without them stands for both.
    #[test]
    fn base64_is_found_at_every_alignment_in_both_alphabets() {
        for before in ["", "a", "ab", "abc", "abcd"] {
            for after in ["", "z", "zy"] {
                let whole = format!("{before}{TEXT}{after}");
                for text in [
                    BASE64.encode(whole.as_bytes()),
                    BASE64URL.encode(whole.as_bytes()),
                ] {
                    let found = names(text.as_bytes());
                    assert_eq!(found.len(), 1, "{before}|{after}: {found:?} in {text}");
                    assert!(found.iter().all(|name| name.starts_with("base64")));
                }
            }
        }
    }

    #[test]
    fn hex_and_utf_16_are_found_in_both_ways() {
        let utf_16: Vec<u16> = TEXT.encode_utf16().collect();
        let little: Vec<u8> = utf_16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = utf_16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(names(TEXT.as_bytes()), ["raw"]);
        assert_eq!(names(HEXLOWER.encode(TEXT.as_bytes()).as_bytes()), ["hex"]);
        assert_eq!(
            names(HEXUPPER.encode(TEXT.as_bytes()).as_bytes()),
            ["hex, upper case"]
        );
        assert_eq!(names(&little), ["UTF-16, little-endian"]);
        assert_eq!(names(&big), ["UTF-16, big-endian"]);
        assert!(names(b"nothing of that kind").is_empty());
    }

    #[test]
    fn short_and_equal_forms_are_left_out() {
        assert!(
            of_bytes(b"abc")
                .iter()
                .all(|(_, bytes)| bytes.len() >= LENGTH_MIN)
        );
        let digits = of_bytes(&[0x11; 16]);
        assert_eq!(
            digits
                .iter()
                .filter(|(name, _)| name.starts_with("hex"))
                .count(),
            1
        );
    }
}
