// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Padding: observers learn buckets, not lengths, and the slack carries what needs no room.
//!
//! Padded content: `u16(length) || content || items || zeros`. An item is `type (u8) ||
//! u16(length) || bytes`; type 0 ends the list. Type 1 is the acknowledgement (`n`, 8 bytes of a
//! hash). Types 2 and 3 are set aside for units of KEM epochs and for the map of those held. What a
//! version does not know it steps over; an item never makes a bucket larger.

use waxwing_proto::limits::{CONTENT_SIZE_MAX, OPENING_SIZE_MIN};
use zeroize::Zeroizing;

use crate::RatchetError;

const BUCKETS: [usize; 4] = [512, 1024, 2048, 4096];
const LENGTH_PREFIX: usize = 2;
const ITEM_HEADER: usize = 3;
const END: u8 = 0;
const ACKNOWLEDGEMENT: u8 = 1;

/// The newest envelope of the peer's latest chain that was opened: its number and 8 bytes of
/// SHA-256 over the whole envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) n: u32,
    pub(crate) hash: [u8; 8],
}

/// A content and what travelled in its slack.
pub(crate) struct Unpadded {
    pub(crate) content: Zeroizing<Vec<u8>>,
    pub(crate) receipt: Option<Receipt>,
}

/// The bucket that `length` bytes are padded to: 512, 1024, 2048, 4096, then Padmé
/// (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
/// section 4), which leaks O(log log) bits.
pub(crate) fn bucket(length: usize) -> usize {
    // ENV-5.
    BUCKETS
        .into_iter()
        .find(|bucket| length <= *bucket)
        .unwrap_or_else(|| padme(length))
}

fn padme(length: usize) -> usize {
    let exponent = length.max(2).ilog2();
    let significant = exponent.max(1).ilog2().saturating_add(1);
    let unit = 1_usize
        .checked_shl(exponent.saturating_sub(significant))
        .unwrap_or(1);
    length.next_multiple_of(unit)
}

/// How many bytes a padded content has when it travels behind a prefix of `prefix_length` bytes
/// (0 for none). Prefix and content are padded together.
fn padded_length(content_length: usize, prefix_length: usize) -> usize {
    // ENV-6.
    let needed = prefix_length
        .saturating_add(LENGTH_PREFIX)
        .saturating_add(content_length);
    let whole = if prefix_length == 0 {
        bucket(needed)
    } else {
        bucket(needed.max(OPENING_SIZE_MIN))
    };
    whole.saturating_sub(prefix_length)
}

/// Whether some content behind a prefix of this length is padded to this length.
pub(crate) fn is_padded_length(padded: usize, prefix_length: usize) -> bool {
    let whole = padded.saturating_add(prefix_length);
    let large_enough = prefix_length == 0 || whole >= OPENING_SIZE_MIN;
    padded >= LENGTH_PREFIX && large_enough && bucket(whole) == whole
}

/// Pads a content.
pub(crate) fn pad(
    content: &[u8],
    receipt: Option<&Receipt>,
    prefix_length: usize,
) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
    // ENV-3, ENV-7, SES-40.
    if content.len() > CONTENT_SIZE_MAX {
        return Err(RatchetError::TooLarge);
    }
    let length = u16::try_from(content.len()).map_err(|_| RatchetError::TooLarge)?;
    let whole = padded_length(content.len(), prefix_length);
    let mut padded = Zeroizing::new(Vec::with_capacity(whole));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(content);
    if let Some(receipt) = receipt {
        let mut body = receipt.n.to_be_bytes().to_vec();
        body.extend_from_slice(&receipt.hash);
        push_item(&mut padded, whole, ACKNOWLEDGEMENT, &body);
    }
    padded.resize(whole, 0);
    Ok(padded)
}

fn push_item(padded: &mut Vec<u8>, whole: usize, kind: u8, body: &[u8]) {
    let room = whole.saturating_sub(padded.len());
    if let Ok(length) = u16::try_from(body.len())
        && body.len().saturating_add(ITEM_HEADER) <= room
    {
        padded.push(kind);
        padded.extend_from_slice(&length.to_be_bytes());
        padded.extend_from_slice(body);
    }
}

/// Takes a padded content apart. The peer made it, and is authenticated; it is still not trusted.
pub(crate) fn unpad(padded: &[u8]) -> Result<Unpadded, RatchetError> {
    // ENV-4.
    const MALFORMED: RatchetError = RatchetError::Malformed("padding");
    let (length, rest) = padded.split_first_chunk().ok_or(MALFORMED)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length > CONTENT_SIZE_MAX {
        return Err(MALFORMED);
    }
    let (content, mut slack) = rest.split_at_checked(length).ok_or(MALFORMED)?;
    let mut receipt = None;
    while let Some((&kind, after)) = slack.split_first()
        && kind != END
    {
        let (length, after) = after.split_first_chunk().ok_or(MALFORMED)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (body, after) = after.split_at_checked(length).ok_or(MALFORMED)?;
        if kind == ACKNOWLEDGEMENT {
            receipt = Some(read_receipt(body).ok_or(MALFORMED)?);
        }
        slack = after;
    }
    if slack.iter().any(|byte| *byte != 0) {
        return Err(MALFORMED);
    }
    Ok(Unpadded {
        content: Zeroizing::new(content.to_vec()),
        receipt,
    })
}

fn read_receipt(body: &[u8]) -> Option<Receipt> {
    let (n, hash) = body.split_first_chunk()?;
    Some(Receipt {
        n: u32::from_be_bytes(*n),
        hash: hash.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECEIPT: Receipt = Receipt {
        n: 7,
        hash: [1, 2, 3, 4, 5, 6, 7, 8],
    };

    #[test]
    fn buckets_are_those_of_the_design() {
        for (length, expected) in [
            (0, 512),
            (512, 512),
            (513, 1024),
            (4096, 4096),
            (4097, 4352),
            (8193, 8704),
            (61_442, 63_488),
        ] {
            assert_eq!(bucket(length), expected, "{length}");
        }
    }

    #[test]
    fn short_contents_are_all_alike() {
        for length in 1..=300 {
            assert_eq!(pad(&vec![1; length], Some(&RECEIPT), 0).unwrap().len(), 512);
            let prefixed = pad(&vec![1; length], None, 2685).unwrap().len();
            assert_eq!(prefixed, 4096 - 2685);
        }
    }

    #[test]
    fn an_item_never_enlarges_a_bucket() {
        let full = pad(&[1; 510], Some(&RECEIPT), 0).unwrap();
        assert_eq!(full.len(), 512);
        assert!(unpad(&full).unwrap().receipt.is_none());
        let room = pad(&[1; 495], Some(&RECEIPT), 0).unwrap();
        assert_eq!(room.len(), 512);
        assert_eq!(unpad(&room).unwrap().receipt, Some(RECEIPT));
    }

    #[test]
    fn unknown_items_are_stepped_over_and_bad_ones_refused() {
        let mut padded = vec![0, 1, b'x', 200, 0, 2, 9, 9, 1, 0, 12];
        padded.extend_from_slice(&[0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
        let unpadded = unpad(&padded).unwrap();
        assert_eq!(unpadded.content.as_slice(), b"x");
        assert_eq!(unpadded.receipt, Some(RECEIPT));
        for bad in [
            &[][..],
            &[0],
            &[0, 2, b'x'],
            &[0, 0, 1, 0],
            &[0, 0, 1, 0, 9, 0],
            &[0, 0, 1, 0, 1, 0],
            &[0, 0, 0, 1],
        ] {
            assert!(unpad(bad).is_err());
        }
    }

    #[test]
    fn too_large_contents_are_refused() {
        assert!(pad(&vec![0; CONTENT_SIZE_MAX], None, 10_000).is_ok());
        assert!(matches!(
            pad(&vec![0; CONTENT_SIZE_MAX + 1], None, 0),
            Err(RatchetError::TooLarge)
        ));
    }

    proptest! {
        #[test]
        fn what_is_padded_comes_back(
            content in proptest::collection::vec(any::<u8>(), 0..9000),
            prefix_length in prop_oneof![Just(0_usize), 2000_usize..11_000],
        ) {
            let padded = pad(&content, Some(&RECEIPT), prefix_length).unwrap();
            prop_assert!(is_padded_length(padded.len(), prefix_length));
            let unpadded = unpad(&padded).unwrap();
            prop_assert_eq!(unpadded.content.as_slice(), content.as_slice());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = unpad(&bytes);
        }
    }
}
