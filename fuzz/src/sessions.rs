// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Envelopes: from strangers, to a device whose prekeys are known, and into a conversation.
//!
//! Bob is the device of the golden files. Whoever feeds bytes knows everything public about him and
//! has recorded the golden envelopes, but holds no secret of Alice.

use waxwing_crypto::DeviceSecrets;
use waxwing_identity::DeviceManifest;
use waxwing_ratchet::{Envelope, LocalDevice, PrekeySecret, ResponderKeys, Session, accept};

use crate::golden;

/// The day on which the golden envelopes were sent, in seconds since the Unix epoch.
const NOW: u64 = 20_000 * 86_400;

/// The layout alone: no bytes make the parser panic, and a prefix is named alike every time.
pub(crate) fn envelope(input: &[u8]) {
    let Ok(envelope) = Envelope::parse(input) else {
        return;
    };
    if let Some(prefix) = envelope.prefix() {
        let again = Envelope::parse(input).expect("parsed once");
        let id = again.prefix().map(waxwing_ratchet::Prefix::handshake_id);
        assert!(
            id == Some(prefix.handshake_id()),
            "one prefix has two names"
        );
    }
}

/// Only what Alice sent opens a session.
pub(crate) fn handshake(input: &[u8]) {
    let Ok(envelope) = Envelope::parse(input) else {
        return;
    };
    let secrets = DeviceSecrets::from_sealed_row(file("bob-device")).expect("golden");
    let manifest = DeviceManifest::decode(file("bob-manifest")).expect("golden");
    let signed = PrekeySecret::decode(file("bob-signed-secret")).expect("golden");
    let one_time = PrekeySecret::decode(file("bob-one-time-secret")).expect("golden");
    let Some(device) = manifest.devices().first() else {
        return;
    };
    let bob = LocalDevice {
        account: *manifest.account(),
        device: device.id(),
        secrets: &secrets,
        manifest: &manifest,
    };
    let keys = ResponderKeys {
        signed: &signed,
        one_time: Some(&one_time),
    };
    if accept(&bob, &envelope, &keys, NOW).is_ok() {
        assert!(was_recorded(input), "a forged handshake was accepted");
    }
}

/// Only what Alice sent opens in a session with her.
pub(crate) fn receive(input: &[u8]) {
    let Ok(envelope) = Envelope::parse(input) else {
        return;
    };
    for row in ["bob-hot-1", "bob-hot-2"] {
        let session = Session::restore(file(row), None, []).expect("golden");
        let opened = session.decrypt(&envelope, None, NOW).is_ok();
        assert!(
            !opened || was_recorded(input),
            "a forged envelope was opened"
        );
    }
}

fn file(name: &str) -> &'static [u8] {
    golden(&format!("ratchet/{name}.bin")).swap_remove(0)
}

fn was_recorded(input: &[u8]) -> bool {
    golden("ratchet/envelope").contains(&input)
}
