// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the bare relay and its clients say to each other: fixed headers, no tags, no options.
//!
//! A connection carries one stream. Its first byte says whether it receives or sends. A receiving one
//! goes on with a key and its signature over the TLS exporter, then with 8 bytes for each
//! acknowledgement; a sending one is not authenticated and goes on with messages.

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};

/// The first byte of a connection that receives.
pub(super) const RECEIVE: u8 = 1;
/// The first byte of a connection that sends.
pub(super) const SEND: u8 = 2;
/// The exporter label of the signature, with an empty context.
pub(super) const EXPORTER_LABEL: &[u8] = b"EXPORTER-bare-relay";
const KEY: usize = 32;
const SIGNATURE: usize = 64;
/// A key and a signature by it.
pub(super) const PROOF: usize = KEY + SIGNATURE;
/// What names a mailbox: the beginning of its owner's key.
pub(super) const ADDRESS: usize = 16;
/// The header of a delivery: length and position.
const DELIVERY_HEADER: usize = 4 + 8;

/// A mailbox.
pub(super) type Address = [u8; ADDRESS];

/// The mailbox of a key.
pub(super) fn address_of(key: &VerifyingKey) -> Address {
    let mut address = [0; ADDRESS];
    for (to, from) in address.iter_mut().zip(key.as_bytes()) {
        *to = *from;
    }
    address
}

/// What a receiving connection begins with.
pub(super) fn opening(key: &SigningKey, exporter: &[u8; 32]) -> Vec<u8> {
    let mut out = vec![RECEIVE];
    out.extend_from_slice(key.verifying_key().as_bytes());
    out.extend_from_slice(&key.sign(exporter).to_bytes());
    out
}

/// The mailbox that a proof opens on the connection with this exporter value.
pub(super) fn verified(proof: &[u8], exporter: &[u8; 32]) -> Option<Address> {
    let (key, signature) = proof.split_at_checked(KEY)?;
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let signature = Signature::from_slice(signature).ok()?;
    key.verify(exporter, &signature).ok()?;
    Some(address_of(&key))
}

/// Takes the first bytes away, if so many are there.
pub(super) fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// Takes a `u32` away.
pub(super) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

/// Takes a `u64` away.
pub(super) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?))
}

fn length(of: &[u8]) -> [u8; 4] {
    // Nothing here comes near 4 GiB.
    u32::try_from(of.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// A message on a sending connection.
pub(super) fn put_message(out: &mut Vec<u8>, to: &Address, envelope: &[u8]) {
    out.extend_from_slice(&length(envelope));
    out.extend_from_slice(to);
    out.extend_from_slice(envelope);
}

/// Takes a whole message away.
pub(super) fn take_message<'a>(rest: &mut &'a [u8]) -> Option<(Address, &'a [u8])> {
    let mut ahead = *rest;
    let length = usize::try_from(take_u32(&mut ahead)?).ok()?;
    let to = take(&mut ahead, ADDRESS)?.try_into().ok()?;
    let envelope = take(&mut ahead, length)?;
    *rest = ahead;
    Some((to, envelope))
}

/// A delivery on a receiving connection.
pub(super) fn put_delivery(out: &mut Vec<u8>, position: u64, envelope: &[u8]) {
    out.reserve(DELIVERY_HEADER + envelope.len());
    out.extend_from_slice(&length(envelope));
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(envelope);
}

/// Everything up to a position is durably deleted: a delivery without an envelope.
pub(super) fn put_deleted(out: &mut Vec<u8>, up_to: u64) {
    put_delivery(out, up_to, &[]);
}

/// Takes a whole delivery away. Without an envelope it says what is deleted.
pub(super) fn take_delivery<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let mut ahead = *rest;
    let length = usize::try_from(take_u32(&mut ahead)?).ok()?;
    let position = take_u64(&mut ahead)?;
    let envelope = take(&mut ahead, length)?;
    *rest = ahead;
    Some((position, envelope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_or_not_at_all() {
        let mut out = Vec::new();
        put_message(&mut out, &[7; ADDRESS], b"sealed");
        let mut half = &out[..out.len() - 1];
        assert_eq!(take_message(&mut half), None);
        assert_eq!(half.len(), out.len() - 1);
        let mut whole = out.as_slice();
        assert_eq!(
            take_message(&mut whole),
            Some(([7; ADDRESS], &b"sealed"[..]))
        );
        assert!(whole.is_empty());
    }

    #[test]
    fn a_proof_is_good_for_one_connection() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let opening = opening(&key, &[1; 32]);
        let address = Some(address_of(&key.verifying_key()));
        assert_eq!(verified(&opening[1..], &[1; 32]), address);
        assert_eq!(verified(&opening[1..], &[2; 32]), None);
    }
}
