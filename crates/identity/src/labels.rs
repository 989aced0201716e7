// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first bytes of everything that is signed or hashed here. One label per use, all in this
//! file; the zero byte at the end keeps every label from being the beginning of another.

// IDN-6.
/// A version of a device manifest.
pub const MANIFEST: &[u8] = b"waxwing/1 manifest\0";
/// The admission of a device to an account, by the account key or by a listed device.
pub const ADMISSION: &[u8] = b"waxwing/1 admission\0";
/// A device's own word that it belongs to an account.
pub const MEMBERSHIP: &[u8] = b"waxwing/1 membership\0";
/// A prekey pair.
pub const PREKEY_PAIR: &[u8] = b"waxwing/1 prekey pair\0";
/// A device's proof to its server, bound to one TLS connection.
pub const AUTHENTICATION: &[u8] = b"waxwing/1 authentication\0";
/// The generation counter that a device leaves with its server.
pub const GENERATION: &[u8] = b"waxwing/1 generation\0";
/// The order to close an account.
pub const CLOSE_ACCOUNT: &[u8] = b"waxwing/1 close account\0";

/// The hash of a new device's public keys, for a link code.
pub const DEVICE_KEYS: &[u8] = b"waxwing/1 device keys\0";
/// The public place that belongs to a rendezvous secret.
pub const RENDEZVOUS: &[u8] = b"waxwing/1 rendezvous locator\0";
/// The checksum at the end of a link.
pub const LINK_CHECKSUM: &[u8] = b"waxwing/1 link checksum\0";
/// The safety number of two accounts.
pub const SAFETY_NUMBER: &[u8] = b"waxwing/1 safety number\0";

/// Every label.
#[cfg(test)]
const ALL: [&[u8]; 11] = [
    MANIFEST,
    ADMISSION,
    MEMBERSHIP,
    PREKEY_PAIR,
    AUTHENTICATION,
    GENERATION,
    CLOSE_ACCOUNT,
    DEVICE_KEYS,
    RENDEZVOUS,
    LINK_CHECKSUM,
    SAFETY_NUMBER,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    /// [IDN-6].
    #[test]
    fn no_label_begins_another() {
        for (index, label) in ALL.iter().enumerate() {
            assert!(label.starts_with(b"waxwing/1 ") && label.ends_with(b"\0"));
            for (other_index, other) in ALL.iter().enumerate() {
                assert!(index == other_index || !other.starts_with(label));
            }
        }
    }
}
