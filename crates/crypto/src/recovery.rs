// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The 24 recovery words (BIP-39, English list) and the account key that they stand for.

use bip39::{Language, Mnemonic};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::error::WordsError;
use crate::kdf;
use crate::labels;
use crate::secret::Secret;
use crate::signing::AccountSecret;

/// How many words there are.
pub const WORD_COUNT: usize = 24;

/// The recovery words of one account: 256 bits of entropy and a checksum of 8 bits. Wiped on drop.
pub struct RecoveryWords(Box<Mnemonic>);

impl RecoveryWords {
    /// Fresh words.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        loop {
            // Entropy of 32 bytes always has a mnemonic; the loop only spares a panic.
            if let Ok(words) = Mnemonic::from_entropy(Secret::<32>::generate(rng).expose()) {
                return Self(Box::new(words));
            }
        }
    }

    /// Reads words as a person types them: any white space between them, any case.
    ///
    /// # Errors
    /// [`WordsError`], which says what is wrong and with which word, and never holds a word. The
    /// caller wipes `text`.
    pub fn parse(text: &str) -> Result<Self, WordsError> {
        let found = text.split_whitespace().count();
        if found != WORD_COUNT {
            return Err(WordsError::Count { found });
        }
        let text = Zeroizing::new(text.to_lowercase());
        Mnemonic::parse_in_normalized(Language::English, &text)
            .map(|words| Self(Box::new(words)))
            .map_err(|error| match error {
                bip39::Error::UnknownWord(at) => WordsError::UnknownWord {
                    position: at.saturating_add(1),
                },
                // The count is right, as was seen above.
                _ => WordsError::Checksum,
            })
    }

    /// The words in order, to be shown once.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.words()
    }

    /// The account identity key: `KDF(z, entropy, "waxwing/account-key/ed25519", "", 32)` as the
    /// secret of RFC 8032. Another label is free for a post-quantum key from the same words.
    #[must_use]
    pub fn account_secret(&self) -> AccountSecret {
        // IDN-2.
        let (mut entropy, length) = self.0.to_entropy_array();
        let seed = kdf::derive(
            &kdf::Z,
            &[entropy.get(..length).unwrap_or_default()],
            labels::ACCOUNT_KEY,
            &[],
        );
        entropy.zeroize();
        AccountSecret::from_seed(&seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn text(words: &RecoveryWords) -> String {
        words.words().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_survive_being_typed() {
        let words = RecoveryWords::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let typed = text(&words).to_uppercase().replace(' ', "\n  ");
        let again = RecoveryWords::parse(&typed).unwrap();
        assert_eq!(text(&words), text(&again));
        assert_eq!(
            words.account_secret().account_key(),
            again.account_secret().account_key()
        );
        let other = RecoveryWords::generate(&mut ChaCha20Rng::seed_from_u64(2));
        assert_ne!(
            words.account_secret().account_key(),
            other.account_secret().account_key()
        );
    }

    /// The published vector of BIP-39 for 256 bits of 0x80.
    #[test]
    fn the_word_list_is_that_of_bip_39() {
        let expected = "letter advice cage absurd amount doctor acoustic avoid letter advice \
                        cage absurd amount doctor acoustic avoid letter advice cage absurd \
                        amount doctor acoustic bless";
        let words = RecoveryWords(Box::new(Mnemonic::from_entropy(&[0x80; 32]).unwrap()));
        assert_eq!(text(&words), expected);
    }

    #[test]
    fn every_mistake_is_named() {
        let words = RecoveryWords::generate(&mut ChaCha20Rng::seed_from_u64(3));
        let good: Vec<&str> = words.words().collect();

        let short = good[..23].join(" ");
        assert_eq!(
            RecoveryWords::parse(&short).err(),
            Some(WordsError::Count { found: 23 })
        );
        let mut unknown = good.clone();
        unknown[6] = "waxwing";
        assert_eq!(
            RecoveryWords::parse(&unknown.join(" ")).err(),
            Some(WordsError::UnknownWord { position: 7 })
        );
        let zoo = vec!["zoo"; 24].join(" ");
        assert_eq!(RecoveryWords::parse(&zoo).err(), Some(WordsError::Checksum));
    }
}
