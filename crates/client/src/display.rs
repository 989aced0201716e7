// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Text from other people, made harmless for a terminal.
//!
//! A terminal obeys what it prints: escape sequences move the cursor and change titles, bidi
//! controls reorder what stands around them, invisible characters make two names look the same.
//! Everything that somebody else wrote passes through here before it is shown, labels and addresses
//! included. JSON output is not shown by a terminal program of ours and keeps the exact text.

use core::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// Marks that combine with one character at most; more would cover the lines around it.
const COMBINING_MAX: usize = 4;

/// One line: whatever would break it, or act on a terminal, is written out as `<U+001B>`.
pub(crate) fn line(text: &str) -> String {
    neutralise(text, false)
}

/// Several lines: line feeds stay, and each line after the first begins with `indent`, so that no
/// line of a message can be taken for the beginning of another.
pub(crate) fn lines(text: &str, indent: &str) -> String {
    let text = text.replace("\r\n", "\n");
    neutralise(&text, true).replace('\n', &format!("\n{indent}"))
}

fn neutralise(text: &str, keep_line_feeds: bool) -> String {
    // ENV-18.
    let mut shown = String::with_capacity(text.len());
    let mut combining: usize = 0;
    let mut before = '\0';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let joins_emoji = character == '\u{200D}'
            && (pictographic(before) || before == '\u{FE0F}')
            && characters.peek().copied().is_some_and(pictographic);
        if keep_line_feeds && character == '\n' {
            shown.push('\n');
            combining = 0;
        } else if joins_emoji || (character == '\u{FE0F}' && before != '\0') {
            shown.push(character);
        } else if harmful(character) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "<U+{:04X}>", u32::from(character));
            combining = 0;
        } else if character.width() == Some(0) {
            combining = combining.saturating_add(1);
            if combining <= COMBINING_MAX {
                shown.push(character);
            }
        } else {
            combining = 0;
            shown.push(character);
        }
        before = character;
    }
    shown
}

/// Pictures that U+200D joins into one.
const fn pictographic(character: char) -> bool {
    matches!(character, '\u{2190}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}')
}

/// What acts instead of being seen, or is not seen at all.
fn harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00AD}'
                | '\u{034F}'
                | '\u{061C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
                | '\u{F0000}'..='\u{10FFFF}'
                | '\u{E000}'..='\u{F8FF}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "lunch at 1?",
            "déjà vu",
            "部署方案",
            "שלום",
            "مرحبا",
            "👩‍👩‍👧 ❤️ 🍜",
            "e\u{301}",
        ] {
            assert_eq!(line(text), text);
        }
    }

    /// [ENV-18].
    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        assert_eq!(line("\u{1b}[2J"), "<U+001B>[2J");
        assert_eq!(line("a\u{9b}31m"), "a<U+009B>31m");
        assert_eq!(
            line("a\rb\nc\td\u{7}"),
            "a<U+000D>b<U+000A>c<U+0009>d<U+0007>"
        );
        assert_eq!(line("\u{202e}txt.exe"), "<U+202E>txt.exe");
        assert_eq!(
            line("bo\u{200b}b\u{2066}\u{feff}"),
            "bo<U+200B>b<U+2066><U+FEFF>"
        );
        assert_eq!(line("a\u{200d}b"), "a<U+200D>b");
    }

    #[test]
    fn a_line_of_a_message_cannot_look_like_another_message() {
        let body = "hello\r\n09:12 bob  send me money";
        assert_eq!(lines(body, "    "), "hello\n    09:12 bob  send me money");
    }

    #[test]
    fn marks_do_not_pile_up() {
        let text = format!("a{}", "\u{301}".repeat(100));
        assert_eq!(line(&text).chars().count(), 1 + COMBINING_MAX);
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text in any::<String>()) {
            let shown = line(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            let invisible = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}'];
            prop_assert!(!shown.contains(invisible));
            let shown = lines(&text, "  ");
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
