// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cutting the secrets out of a client's rows.
//!
//! The layouts belong to `waxwing-crypto` and `waxwing-ratchet`, which rightly show none of these
//! fields. So each cut is checked: a secret key must belong to the public key beside it, and a row
//! must end where its layout ends. A layout that has changed is an error here, never a blind eye.

use anyhow::{Context as _, Result, bail, ensure};
use waxwing_crypto::{DeviceSecrets, DhSecret, KemSecret1024, Secret};

use super::store::Row;

/// The engine's tables that hold secret keys.
const ACCOUNT: u8 = 1;
const SESSIONS: u8 = 4;
const SKIPPED_KEYS: u8 = 5;
const PREKEYS: u8 = 6;
const KEM_ROWS: u8 = 17;
/// The row of the device's secrets in the account table.
const DEVICE_SECRETS: u64 = 1;

/// The kinds of an epoch's secret row.
const OFFER: u8 = 1;
const READY: u8 = 2;
const ANSWER: u8 = 3;
/// Bytes of an answer: a ciphertext and its confirmation.
const EPOCH_ANSWER: usize = 1088 + 32;

/// A secret with what it is.
type Named = (String, Vec<u8>);

/// The secret keys in a row; none for the tables without any.
pub(super) fn secrets(row: &Row) -> Result<Vec<Named>> {
    match row.table {
        ACCOUNT if row.order == DEVICE_SECRETS => device(&row.value),
        // Order 0 is the set of sessions; an odd one is a handshake prefix, which is sent.
        SESSIONS if row.order > 0 && row.order.is_multiple_of(2) => session(&row.value),
        SKIPPED_KEYS => skipped(&row.value),
        PREKEYS => prekey(&row.value),
        // The other rows of an epoch are units that the peer sent.
        KEM_ROWS if row.order == 0 => epoch(&row.value),
        _ => Ok(Vec::new()),
    }
}

fn device(value: &[u8]) -> Result<Vec<Named>> {
    let known = DeviceSecrets::from_sealed_row(value).context("the device's secrets")?;
    let mut cut = Cut(value);
    cut.skip(1)?;
    let signing = cut.take(32)?;
    let dh = cut.take(32)?;
    cut.end()?;
    ensure!(
        dh == known.dh.expose().expose(),
        "the agreement secret is cut wrongly"
    );
    // A row with only the signing secret in its place has the same public key.
    let row = [&[1], signing, &[0; 32]].concat();
    let again = DeviceSecrets::from_sealed_row(&row).context("the signing secret")?;
    ensure!(
        again.signing.device_key() == known.signing.device_key(),
        "the signing secret is cut wrongly"
    );
    Ok(vec![
        named("device signing secret", signing),
        named("device agreement secret", dh),
    ])
}

fn prekey(value: &[u8]) -> Result<Vec<Named>> {
    let mut cut = Cut(value);
    // The time that the engine puts before the secret, and the format.
    cut.skip(8 + 1)?;
    let kind = if cut.take(1)? == [1] {
        "signed prekey"
    } else {
        "one-time prekey"
    };
    let id = u32::from_be_bytes(cut.take(4)?.try_into()?);
    cut.skip(4)?;
    let dh = cut.dh()?;
    let seed = cut.take(64)?;
    let kem = KemSecret1024::from_seed(Secret::from_slice(seed).context("a KEM seed")?);
    let public = cut.take(KemSecret1024::ENCAPSULATION_KEY_LENGTH)?;
    ensure!(
        kem.encapsulation_key() == public,
        "the KEM seed is cut wrongly"
    );
    Ok(vec![
        named(&format!("{kind} {id}, X25519 secret"), dh),
        named(&format!("{kind} {id}, ML-KEM seed"), seed),
    ])
}

fn skipped(value: &[u8]) -> Result<Vec<Named>> {
    let mut cut = Cut(value);
    cut.skip(1 + 4 + 16)?;
    let key = cut.take(32)?;
    cut.end()?;
    Ok(vec![named("skipped message key", key)])
}

/// The hot state of a session.
fn session(value: &[u8]) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    let mut cut = Cut(value);
    cut.skip(1)?;
    let flags = cut.take(1)?.first().copied().unwrap_or(0);
    let has = |bit: u8| flags & (1 << bit) != 0;
    // Role, session id, handshake id, predecessor, attempt, time, step.
    cut.skip(1 + 32 + 32 + 32 + 4 + 8 + 4)?;
    found.push(named("root key", cut.take(32)?));
    // The length of the previous chain, the peer's ratchet key.
    cut.skip(4 + 32)?;
    for next in ["next sending", "next receiving"] {
        found.extend(cut.header_keys(next)?);
    }
    if has(0) {
        found.push(named("ratchet secret", cut.dh()?));
        found.push(named("sending chain key", cut.take(32)?));
        cut.skip(12)?;
        found.extend(cut.header_keys("sending")?);
    }
    if has(1) {
        found.push(named("receiving chain key", cut.take(32)?));
        cut.skip(12)?;
        found.extend(cut.header_keys("receiving")?);
        if has(2) {
            cut.skip(4 + 8)?;
        }
    }
    for _ in (3..6).filter(|bit| has(*bit)) {
        found.push(named("continuity secret", cut.take(32)?));
    }
    // The epoch's number, cursor and state, and what the peer holds of it.
    cut.skip(4 + 1 + 1 + 8)?;
    cut.end()?;
    Ok(found)
}

/// What is secret of a KEM epoch: the seed of an offered key, or the shared secret.
fn epoch(value: &[u8]) -> Result<Vec<Named>> {
    let mut cut = Cut(value);
    cut.skip(1)?;
    let kind = cut.take(1)?.first().copied().unwrap_or(0);
    cut.skip(4)?;
    let found = match kind {
        OFFER => named("epoch, ML-KEM seed", cut.take(64)?),
        READY | ANSWER => {
            let shared = named("epoch, shared secret", cut.take(32)?);
            // The hash of the key; then the hash of the ciphertext, or the answer with its rest.
            cut.skip(32)?;
            cut.skip(if kind == READY { 32 } else { EPOCH_ANSWER })?;
            shared
        }
        _ => bail!("a row of an epoch of the unknown kind {kind}"),
    };
    cut.end()?;
    Ok(vec![found])
}

fn named(what: &str, secret: &[u8]) -> Named {
    (what.to_owned(), secret.to_vec())
}

/// What is left of a row.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (field, rest) = self
            .0
            .split_at_checked(length)
            .context("the row is too short")?;
        self.0 = rest;
        Ok(field)
    }

    fn skip(&mut self, length: usize) -> Result<()> {
        self.take(length).map(drop)
    }

    /// An X25519 secret before its public key.
    fn dh(&mut self) -> Result<&'a [u8]> {
        let secret = self.take(32)?;
        let public = self.take(32)?;
        let known = DhSecret::from_secret(Secret::from_slice(secret).context("an X25519 secret")?);
        ensure!(known.public() == public, "an X25519 secret is cut wrongly");
        Ok(secret)
    }

    /// A tag key and a header encryption key.
    fn header_keys(&mut self, chain: &str) -> Result<[Named; 2]> {
        let tag = named(&format!("{chain} tag key"), self.take(32)?);
        Ok([tag, named(&format!("{chain} header key"), self.take(32)?)])
    }

    fn end(&self) -> Result<()> {
        ensure!(self.0.is_empty(), "{} bytes are left over", self.0.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(table: u8, order: u64, value: Vec<u8>) -> Row {
        Row {
            table,
            order,
            value,
        }
    }

    #[test]
    fn device_secrets_are_cut_and_a_changed_layout_is_noticed() {
        let value = [[1].as_slice(), &[2; 32], &[3; 32]].concat();
        let found = secrets(&row(ACCOUNT, DEVICE_SECRETS, value.clone())).unwrap();
        assert_eq!(found[0].1, [2; 32]);
        assert_eq!(found[1].1, [3; 32]);
        assert!(secrets(&row(ACCOUNT, DEVICE_SECRETS, [&[2], &value[1..]].concat())).is_err());
        assert!(secrets(&row(ACCOUNT, 0, value)).unwrap().is_empty());
    }

    #[test]
    fn prekey_secrets_belong_to_the_public_keys_beside_them() {
        let dh = DhSecret::from_secret(Secret::copy_of(&[4; 32]));
        let kem = KemSecret1024::from_seed(Secret::copy_of(&[5; 64]));
        let mut value = [[0; 8].as_slice(), &[1, 2, 0, 0, 0, 9, 0, 0, 0, 1]].concat();
        value.extend_from_slice(&[4; 32]);
        value.extend_from_slice(dh.public());
        value.extend_from_slice(&[5; 64]);
        value.extend_from_slice(&kem.encapsulation_key());
        let found = secrets(&row(PREKEYS, 9, value.clone())).unwrap();
        assert_eq!(
            found[0],
            ("one-time prekey 9, X25519 secret".to_owned(), vec![4; 32])
        );
        assert_eq!(found[1].1, [5; 64]);
        // Three bits of byte 0 of an X25519 secret mean nothing (RFC 7748, section 5).
        for at in [19, 50, 82, 146] {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert!(secrets(&row(PREKEYS, 9, changed)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn sessions_are_cut_to_their_end() {
        let dh = DhSecret::from_secret(Secret::copy_of(&[6; 32]));
        let mut value = vec![3, 0b00_1001, 1];
        value.extend_from_slice(&[0; 32 * 3 + 4 + 8 + 4]);
        value.extend_from_slice(&[7; 32]);
        value.extend_from_slice(&[0; 4 + 32]);
        value.extend_from_slice(&[8; 32 * 4]);
        value.extend_from_slice(&[6; 32]);
        value.extend_from_slice(dh.public());
        value.extend_from_slice(&[9; 32]);
        value.extend_from_slice(&[0; 12]);
        value.extend_from_slice(&[10; 64]);
        value.extend_from_slice(&[11; 32]);
        value.extend_from_slice(&[0; 4 + 1 + 1 + 8]);
        let found = secrets(&row(SESSIONS, 2, value.clone())).unwrap();
        let titles: Vec<&str> = found.iter().map(|(title, _)| title.as_str()).collect();
        assert_eq!(titles.len(), 10);
        assert!(titles.contains(&"root key") && titles.contains(&"continuity secret"));
        assert_eq!(found.last().unwrap().1, [11; 32]);
        value.push(0);
        assert!(secrets(&row(SESSIONS, 2, value)).is_err());
        assert!(secrets(&row(SESSIONS, 3, vec![1])).unwrap().is_empty());
    }

    #[test]
    fn epochs_are_cut_to_their_end() {
        for (kind, secret, rest) in [(1, 64, 0), (2, 32, 64), (3, 32, 32 + EPOCH_ANSWER)] {
            let mut value = vec![1, kind, 0, 0, 0, 1];
            value.extend(vec![7; secret]);
            value.extend(vec![0; rest]);
            let found = secrets(&row(KEM_ROWS, 0, value.clone())).unwrap();
            assert_eq!(found[0].1, vec![7; secret]);
            assert!(
                secrets(&row(KEM_ROWS, 1, value.clone()))
                    .unwrap()
                    .is_empty()
            );
            value.push(0);
            assert!(secrets(&row(KEM_ROWS, 0, value)).is_err());
        }
        assert!(secrets(&row(KEM_ROWS, 0, vec![1, 9, 0, 0, 0, 1])).is_err());
    }
}
