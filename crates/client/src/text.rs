// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All text for people, so that it can be translated in one place. What the command tree says about
//! itself stands beside it, in `cli.rs`.

pub(crate) mod faults;
pub(crate) mod prompts;
pub(crate) mod results;

/// A command as it can be typed into a shell.
pub(crate) fn shell(command: &[String]) -> String {
    command
        .iter()
        .map(|word| quote(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word of a shell command. Everything but the plainest is put in single quotes, in which nothing
/// is special; characters that could act on the terminal are written out and so fail safely.
fn quote(word: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':' | b'@' | b'=')
    };
    let shown = crate::display::line(word);
    if !shown.is_empty() && shown.bytes().all(plain) {
        shown
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_a_shell() {
        let command = ["waxwing", "verify", "bob's phone", "-x", "$HOME", ""].map(str::to_owned);
        assert_eq!(
            shell(&command),
            r"waxwing verify 'bob'\''s phone' -x '$HOME' ''"
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s|' {}", shell(&command))])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"waxwing|verify|bob's phone|-x|$HOME||");
    }
}
