// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fixed bytes from fixed seeds. A change here is a change of the protocol or of a stored format,
//! and needs a new version number.

use waxwing_crypto::kdf::sha256;

use super::world::strangers;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn envelopes_and_rows_are_what_they_always_were() {
    // Byte for byte only where the backend follows from the randomness given.
    if !waxwing_crypto::backend::active().takes_randomness() {
        return;
    }
    let (mut a, mut b) = strangers();
    let lost = a.send(&mut b, b"lost");
    let first = a.send(&mut b, b"first");
    b.receive(&first).unwrap();
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    let skipped = b.skipped.values().next().unwrap().clone();
    let rows: [(&str, Vec<u8>, &str); 7] = [
        ("opening envelope", lost, "0701be8c5a2578f76b854f224d4508ab"),
        (
            "answering envelope",
            answer,
            "412459aef1ee4546e95d57094c1b9de5",
        ),
        (
            "initiator's hot row",
            a.active().hot_row().to_vec(),
            "fbdd5615c46cee225e63b958f3d72bd0",
        ),
        (
            "responder's hot row",
            b.active().hot_row().to_vec(),
            "3de159a92f40048fcf777a9904af2ab9",
        ),
        ("skipped row", skipped, "bb915db88440d3f8e2736c1ef943ad8f"),
        (
            "signed prekey row",
            b.signed.0.encode().to_vec(),
            "fff5fede18da397243d0d4c7fb646017",
        ),
        (
            "session set row",
            b.set.encode(),
            "efac72bc249874a2988964a63cf55174",
        ),
    ];
    let found: Vec<_> = rows
        .iter()
        .map(|(name, bytes, _)| (*name, hex(&sha256(&[bytes])[..16])))
        .collect();
    let expected: Vec<_> = rows
        .iter()
        .map(|(name, _, digest)| (*name, (*digest).to_owned()))
        .collect();
    assert_eq!(found, expected);
}
