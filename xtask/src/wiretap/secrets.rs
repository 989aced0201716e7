// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every secret of the run that can be reached: the recovery words and what comes from them, and
//! the keys in the opened stores of the clients.
//!
//! What is made and wiped within one command (message keys, ephemeral keys, shared secrets) is
//! never stored, so it cannot be searched for.

mod rows;
mod store;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use waxwing_crypto::{DeviceSecrets, MasterKey, RecoveryWords, kdf, labels};
use waxwing_identity::links::LinkCode;

use super::canary::Canaries;
use crate::stage::Person;

/// Words in a row that tell enough to be searched for.
const WORDS_TOGETHER: usize = 4;
/// The master key in the header of an unprotected profile follows magic, format and protection.
const MASTER_KEY_OFFSET: usize = 6;

/// The recovery words of a person, their entropy, and the account key.
pub(crate) fn recovery(person: &Person, canaries: &mut Canaries) -> Result<()> {
    let path = person.words_file();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let parsed =
        RecoveryWords::parse(&text).context("the file does not hold the recovery words")?;
    let words: Vec<&str> = parsed.words().collect();
    for (at, some) in words.windows(WORDS_TOGETHER).enumerate() {
        for between in [" ", "\n", ""] {
            let title = format!(
                "{}: recovery words from {}",
                person.name,
                at.saturating_add(1)
            );
            canaries.text(title, &some.join(between));
        }
    }
    let phrase = bip39::Mnemonic::parse_normalized(&words.join(" ")).context("the words")?;
    let entropy = phrase.to_entropy();
    let seed = kdf::derive::<32>(&kdf::Z, &[&entropy], labels::ACCOUNT_KEY, &[]);
    // The seed is right when its public key is the account key.
    let row = [&[1], seed.expose().as_slice(), &[0; 32]].concat();
    let known = DeviceSecrets::from_sealed_row(&row).context("the seed as a signing key")?;
    let account = parsed.account_secret().account_key();
    ensure!(
        known.signing.device_key().as_bytes() == account.as_bytes(),
        "the account key is derived differently from what this program knows"
    );
    canaries.bytes(
        format!("{}: entropy of the recovery words", person.name),
        &entropy,
    );
    canaries.bytes(
        format!("{}: account identity secret", person.name),
        seed.expose(),
    );
    Ok(())
}

/// The secret by which a new device met the first one.
pub(crate) fn link_code(code: &str, canaries: &mut Canaries) -> Result<()> {
    let code: LinkCode = code.parse().context("the link code")?;
    canaries.bytes(
        "rendezvous secret of the link code",
        code.secret().as_bytes(),
    );
    Ok(())
}

/// All secrets in the store of a profile as it is now, and the key that opens it. No process may
/// have the profile open. Gives how many secrets the rows held.
pub(crate) fn profile(
    person: &Person,
    profile: &str,
    passphrase: Option<&str>,
    canaries: &mut Canaries,
) -> Result<usize> {
    let folder = person.profile_folder(profile);
    let header = std::fs::read(folder.join("key"))
        .with_context(|| format!("cannot read the key of {}", folder.display()))?;
    let master = MasterKey::unwrap(&header, passphrase.map(str::as_bytes))
        .with_context(|| format!("cannot open the key of {}", folder.display()))?;
    let plain = master.unprotected_header();
    let key = plain
        .get(MASTER_KEY_OFFSET..)
        .context("the header is too short")?;
    canaries.bytes(format!("{profile}: master key of the store"), key);
    let rows = store::open(&folder.join("store"), &master)
        .with_context(|| format!("cannot open the store of {}", folder.display()))?;
    let mut count = 0_usize;
    for row in &rows {
        for (what, secret) in rows::secrets(row).with_context(|| format!("{profile}: {row}"))? {
            canaries.bytes(format!("{profile}: {what}"), &secret);
            count = count.saturating_add(1);
        }
    }
    Ok(count)
}

/// Copies a folder, links left out.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in
        std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?
    {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            match std::fs::copy(entry.path(), &target) {
                // A running server may remove a file meanwhile.
                Err(_) if !entry.path().exists() => {}
                copied => {
                    copied.with_context(|| format!("cannot copy {}", entry.path().display()))?;
                }
            }
        }
    }
    Ok(())
}
