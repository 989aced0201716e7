// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a contact is called: labels, and which contact the user means by a word.
//!
//! The user's words, and what a link or a name service said, come before what a stranger says about
//! itself: a stranger cannot take a name away from anybody, nor stand behind the address of another.

use waxwing_proto::{AccountKey, limits};

use crate::command::{CommandError, ContactSummary};
use crate::contacts::Contact;
use crate::engine::Engine;

/// Hexadecimal digits of the key behind the name that a stranger gives itself.
const REQUEST_DIGITS: usize = 6;

/// A label for an account of which nothing but the key is known.
pub(crate) fn short_label(account: &AccountKey) -> String {
    account.to_hex().chars().take(12).collect()
}

impl Contact {
    /// The name in its address, where the user or a server that was asked gave it.
    fn introduced_name(&self) -> Option<&str> {
        let (name, _) = self.address.split_once('@')?;
        (!self.address_claimed).then_some(name)
    }

    fn is_introduced_as(&self, address: &str) -> bool {
        !self.address_claimed && !self.address.is_empty() && self.address == address
    }

    /// The address by which a stranger can be named until the user has decided about it.
    fn is_request_of(&self, word: &str) -> bool {
        let name = self.address.split_once('@').map(|(name, _)| name);
        self.request_pending && (self.address == word || name == Some(word))
    }
}

impl Engine {
    /// A label before an address before a name before a key, and all of them before what strangers call
    /// themselves: the first kind that fits decides.
    pub(crate) fn find_contact(&self, query: &str) -> Result<ContactSummary, CommandError> {
        // IDN-67.
        let query = query.trim();
        let key = query.to_ascii_lowercase();
        let kinds: [&dyn Fn(&Contact) -> bool; 6] = [
            &|contact| !contact.request_pending && contact.label == query,
            &|contact| contact.is_introduced_as(query),
            &|contact| contact.introduced_name() == Some(query),
            &|contact| contact.account.to_hex() == key,
            &|contact| contact.label == query,
            &|contact| !query.is_empty() && contact.is_request_of(query),
        ];
        for fits in kinds {
            let found: Vec<AccountKey> = self
                .contacts
                .values()
                .filter(|contact| fits(contact))
                .map(|contact| contact.account)
                .collect();
            match found.as_slice() {
                [] => {}
                [one] => return self.summary(one),
                _ => return Err(CommandError::ContactAmbiguous),
            }
        }
        Err(CommandError::ContactUnknown)
    }

    /// May the user call a contact so?
    pub(crate) fn check_label(
        &self,
        label: &str,
        account: &AccountKey,
    ) -> Result<(), CommandError> {
        let taken = self
            .contacts
            .values()
            .any(|contact| contact.label == label && contact.account != *account);
        let bad = label.trim().is_empty()
            || label.len() > limits::LABEL_LENGTH_MAX
            || label.chars().any(char::is_control);
        if taken || bad {
            Err(CommandError::LabelInvalid)
        } else {
            Ok(())
        }
    }

    /// The label of a request: the name that the stranger gives itself, and the beginning of its key.
    pub(crate) fn request_label(&self, name: &str, account: &AccountKey) -> String {
        let digits: String = account.to_hex().chars().take(REQUEST_DIGITS).collect();
        self.free_label(&format!("{name}-{digits}"), account)
    }

    /// The wished label, with a number behind it where another contact has it or is known by it.
    pub(crate) fn free_label(&self, wished: &str, account: &AccountKey) -> String {
        self.first_free(wished, account, |contact, label| {
            contact.label == label
                || contact.introduced_name() == Some(label)
                || contact.is_introduced_as(label)
        })
    }

    /// The same for a contact that the user introduces: it is called by its name unless another one
    /// is labelled so, since a label goes before the names of others.
    pub(crate) fn introduced_label(&self, wished: &str, account: &AccountKey) -> String {
        self.first_free(wished, account, |contact, label| contact.label == label)
    }

    fn first_free(
        &self,
        wished: &str,
        account: &AccountKey,
        has: impl Fn(&Contact, &str) -> bool,
    ) -> String {
        let mut clean = String::new();
        for character in wished.chars().filter(|character| !character.is_control()) {
            let length = clean.len().saturating_add(character.len_utf8());
            if length > MADE_LENGTH_MAX {
                break;
            }
            clean.push(character);
        }
        let taken = |label: &str| {
            self.contacts
                .values()
                .any(|contact| contact.account != *account && has(contact, label))
        };
        if !clean.is_empty() && !taken(&clean) {
            return clean;
        }
        (2_u32..)
            .map(|number| format!("{clean}-{number}"))
            .find(|label| !taken(label))
            .unwrap_or(clean)
    }
}

/// Bytes of a label that is made up here: a number still fits behind it.
const MADE_LENGTH_MAX: usize = limits::LABEL_LENGTH_MAX.saturating_sub(8);
