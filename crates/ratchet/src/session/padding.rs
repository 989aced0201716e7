// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Padding: observers learn buckets, not lengths, and the slack carries what needs no room.
//!
//! Padded content: `u16(length) || content || items || zeros`; the items are those of `slack`.

use waxwing_crypto::SecretBytes;
use waxwing_proto::limits::{CONTENT_SIZE_MAX, OPENING_SIZE_MIN};

use crate::RatchetError;

const BUCKETS: [usize; 4] = [512, 1024, 2048, 4096];
const LENGTH_PREFIX: usize = 2;
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
#[inline]
pub(crate) fn is_padded_length(padded: usize, prefix_length: usize) -> bool {
    let whole = padded.saturating_add(prefix_length);
    let large_enough = prefix_length == 0 || whole >= OPENING_SIZE_MIN;
    padded >= LENGTH_PREFIX && large_enough && bucket(whole) == whole
}

/// The length that a content is padded to.
///
/// # Errors
/// [`RatchetError::TooLarge`].
pub(crate) fn length_of(content: &[u8], prefix_length: usize) -> Result<usize, RatchetError> {
    // ENV-7.
    if content.len() > CONTENT_SIZE_MAX {
        return Err(RatchetError::TooLarge);
    }
    Ok(padded_length(content.len(), prefix_length))
}

/// Writes a content into `padded`, which is all zeros and has the length of [`length_of`]. Returns
/// the slack behind it.
pub(crate) fn write<'a>(
    content: &[u8],
    padded: &'a mut [u8],
) -> Result<&'a mut [u8], RatchetError> {
    // ENV-3.
    let length = u16::try_from(content.len()).map_err(|_| RatchetError::TooLarge)?;
    let (field, rest) = padded
        .split_first_chunk_mut::<LENGTH_PREFIX>()
        .ok_or(RatchetError::TooLarge)?;
    let (place, slack) = rest
        .split_at_mut_checked(content.len())
        .ok_or(RatchetError::TooLarge)?;
    *field = length.to_be_bytes();
    place.copy_from_slice(content);
    Ok(slack)
}

/// Takes a padded content apart into content and slack. The peer made it, and is authenticated; it
/// is still not trusted.
pub(crate) fn split(padded: &[u8]) -> Result<(&[u8], &[u8]), RatchetError> {
    const MALFORMED: RatchetError = RatchetError::Malformed("padding");
    let (length, rest) = padded.split_first_chunk().ok_or(MALFORMED)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length > CONTENT_SIZE_MAX {
        return Err(MALFORMED);
    }
    rest.split_at_checked(length).ok_or(MALFORMED)
}

/// Turns a padded content into the content alone, without another copy of it. What stood behind it
/// is wiped.
pub(crate) fn keep_content(padded: &mut SecretBytes, length: usize) {
    padded.keep(LENGTH_PREFIX..LENGTH_PREFIX.saturating_add(length));
}

#[cfg(test)]
pub(crate) fn pad(content: &[u8], prefix_length: usize) -> Result<Vec<u8>, RatchetError> {
    let mut padded = vec![0; length_of(content, prefix_length)?];
    write(content, &mut padded)?;
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            assert_eq!(pad(&vec![1; length], 0).unwrap().len(), 512);
            let prefixed = pad(&vec![1; length], 2685).unwrap().len();
            assert_eq!(prefixed, 4096 - 2685);
        }
    }

    #[test]
    fn bad_padding_is_refused() {
        for bad in [&[][..], &[0], &[0, 2, b'x']] {
            assert!(split(bad).is_err());
        }
    }

    #[test]
    fn too_large_contents_are_refused() {
        assert!(pad(&vec![0; CONTENT_SIZE_MAX], 10_000).is_ok());
        assert!(matches!(
            pad(&vec![0; CONTENT_SIZE_MAX + 1], 0),
            Err(RatchetError::TooLarge)
        ));
    }

    proptest! {
        #[test]
        fn what_is_padded_comes_back(
            content in proptest::collection::vec(any::<u8>(), 0..9000),
            prefix_length in prop_oneof![Just(0_usize), 2000_usize..11_000],
        ) {
            let padded = pad(&content, prefix_length).unwrap();
            prop_assert!(is_padded_length(padded.len(), prefix_length));
            let (found, slack) = split(&padded).unwrap();
            prop_assert_eq!(found, content.as_slice());
            prop_assert!(slack.iter().all(|byte| *byte == 0));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok((_, slack)) = split(&bytes) {
                let _ = crate::session::slack::read(slack);
            }
        }
    }
}
