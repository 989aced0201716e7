// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The recovery words on their way to and from people.

use std::io::Read;
use std::path::Path;

use waxwing_crypto::RecoveryWords;
use waxwing_transport::{Entropy, EntropyRng};
use zeroize::Zeroizing;

use crate::api::{Words, Zeroized};
use crate::console::Console;
use crate::fault::{Code, Fault, Outcome};
use crate::platform;
use crate::text::prompts;

/// The largest file that can hold the words, in bytes.
const FILE_SIZE_MAX: u64 = 4096;
/// Attempts to type the word that is asked back.
const ATTEMPTS_MAX: usize = 3;

/// Fresh words.
pub(super) fn generate() -> (RecoveryWords, Zeroizing<String>) {
    let entropy = std::sync::Arc::new(platform_entropy());
    let words =
        RecoveryWords::generate(&mut EntropyRng::new(entropy as std::sync::Arc<dyn Entropy>));
    let mut text = Zeroizing::new(String::with_capacity(256));
    for word in words.words() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    (words, text)
}

const fn platform_entropy() -> waxwing_transport::platform::SystemEntropy {
    waxwing_transport::platform::SystemEntropy
}

/// The words as the host takes them.
pub(super) fn to_host(text: &Zeroizing<String>) -> Words {
    Words(Zeroized(text.clone()))
}

/// Puts the words where the user keeps them: into the file, or on the screen, once. Where somebody
/// is there, one word is asked back.
pub(super) async fn hand_over(
    words: &RecoveryWords,
    text: &Zeroizing<String>,
    file: Option<&Path>,
    console: &Console,
) -> Outcome {
    if let Some(path) = file {
        let mut content = Zeroizing::new(text.as_bytes().to_vec());
        content.push(b'\n');
        return platform::write_private(path, &content).map_err(|error| {
            Fault::new(Code::WordsFile)
                .about(path.display().to_string())
                .because(error)
        });
    }
    console.say(prompts::WORDS_HEAD);
    console.say(&Zeroizing::new(prompts::words(words.words())));
    if !console.asks() {
        return Ok(());
    }
    let mut random = [0; 8];
    platform_entropy().fill(&mut random);
    let index = usize::try_from(
        u64::from_le_bytes(random)
            .checked_rem(24)
            .unwrap_or_default(),
    )
    .unwrap_or_default();
    let asked = words
        .words()
        .nth(index)
        .ok_or_else(|| Fault::bug("a word"))?;
    for _ in 0..ATTEMPTS_MAX {
        let typed = console
            .ask(&prompts::word_back(index.saturating_add(1)))
            .await?;
        if typed.eq_ignore_ascii_case(asked) {
            return Ok(());
        }
        console.say(prompts::WORDS_AGAIN);
    }
    Err(Code::WordsNotConfirmed.into())
}

/// Reads words from a file, from standard input (`-`), or from somebody who types them.
pub(super) async fn take(file: Option<&Path>, console: &Console) -> Outcome<Zeroizing<String>> {
    let text = match file {
        Some(path) => {
            let path = path.to_owned();
            tokio::task::spawn_blocking(move || read(&path))
                .await
                .map_err(|_| Fault::bug("reading the words"))??
        }
        None => console.ask(prompts::WORDS_TYPE).await?,
    };
    match RecoveryWords::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Fault::new(Code::WordsInvalid).because(error)),
    }
}

fn read(path: &Path) -> Outcome<Zeroizing<String>> {
    let fault = |error: std::io::Error| {
        Fault::new(Code::Input)
            .about(path.display().to_string())
            .because(error)
    };
    let mut text = Zeroizing::new(String::with_capacity(4096));
    if path.as_os_str() == "-" {
        std::io::stdin()
            .take(FILE_SIZE_MAX)
            .read_to_string(&mut text)
            .map_err(fault)?;
    } else {
        let file = std::fs::File::open(path).map_err(fault)?;
        file.take(FILE_SIZE_MAX)
            .read_to_string(&mut text)
            .map_err(fault)?;
    }
    Ok(text)
}
