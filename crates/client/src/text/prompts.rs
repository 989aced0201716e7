// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Questions, and what is said around them.

pub(crate) const PASSPHRASE: &str = "Passphrase:";
pub(crate) const NEW_PASSPHRASE: &str = "New passphrase for the store on this machine:";
pub(crate) const NEW_PASSPHRASE_AGAIN: &str = "The same again:";
pub(crate) const EMPTY_PASSPHRASE: &str =
    "An empty passphrase protects nothing; for throw-away use there is --unprotected.";
pub(crate) const PASSPHRASES_DIFFER: &str = "The two are different.";
pub(crate) const UNPROTECTED: &str = "\
WARNING: this profile is not protected. Whoever can read its files reads its messages and can
write in your name. Use it for nothing but trying things out.";

pub(crate) const WORDS_HEAD: &str = "\
Recovery words: the only way back if you lose all your devices. Write them down on paper, in this
order, and show them to nobody. They are shown this once.";
pub(crate) const WORDS_AGAIN: &str = "That is not the word. Look at what you wrote down.";
pub(crate) const WORDS_TYPE: &str = "The 24 recovery words, in their order:";

pub(crate) const RECOVER: &str = "\
All devices that the account has now will be removed from it, and your contacts will see that.
Go on? [y/N]";
pub(crate) const SAME_NUMBER: &str = "Does your contact see the same number? [y/N]";
pub(crate) const SAME_WORDS: &str = "Does the other device show the same words? [y/N]";
pub(crate) const REMOVE_DEVICE: &str =
    "Nothing will be sent to that device any more. Remove it? [y/N]";

/// Asks whether an account is to be closed, by a whole word that is not typed by accident.
pub(crate) fn close_account(address: &str) -> String {
    format!(
        "The account, its name and everything that waits for it on the server will be deleted, for ever.\n\
         Contacts cannot write to it any more. Type {} to go on:",
        crate::display::line(address)
    )
}

/// Asks one of the words back.
pub(crate) fn word_back(number: usize) -> String {
    format!("Type word {number} to confirm:")
}

/// The words in rows of six.
pub(crate) fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (index, word) in words.enumerate() {
        let number = index.saturating_add(1);
        text.push_str(&format!("  {number:>2} {word:<10}"));
        if number.checked_rem(6) == Some(0) {
            text = text.trim_end().to_owned();
            text.push('\n');
        }
    }
    text
}
