// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rust source with comments and literals blanked out, so that a rule about code sees only code.

/// The same text, byte for byte as long and with the same lines, in which every comment and the
/// inside of every string and character literal are spaces.
pub(super) fn blanked(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let mut output = String::with_capacity(source.len());
    let mut place = 0;
    while place < characters.len() {
        let rest = characters.get(place..).unwrap_or_default();
        let after_word = place
            .checked_sub(1)
            .and_then(|before| characters.get(before))
            .is_some_and(|c| is_word(*c));
        let (kept, blank) = token(rest, after_word);
        output.extend(rest.iter().take(kept));
        for character in rest.iter().skip(kept).take(blank) {
            if *character == '\n' {
                output.push('\n');
            } else {
                output.extend(std::iter::repeat_n(' ', character.len_utf8()));
            }
        }
        place = place.saturating_add(kept).saturating_add(blank);
    }
    output
}

/// The same as [`blanked`], with every item under `#[cfg(test)]` blanked as well.
pub(super) fn without_tests(source: &str) -> String {
    let mut text = blanked(source);
    while let Some(start) = text.find("#[cfg(test)]") {
        let tail = text.get(start..).unwrap_or_default();
        let length = item_length(tail);
        let blank: String = tail
            .get(..length)
            .unwrap_or(tail)
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        let end = start.saturating_add(length).min(text.len());
        text.replace_range(start..end, &blank);
    }
    text
}

/// The number of the line (from 1) in which a byte offset lies.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before
        .bytes()
        .filter(|byte| *byte == b'\n')
        .count()
        .saturating_add(1)
}

/// Byte offsets at which the word stands alone, not as a part of a longer identifier.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(offset, _)| offset)
        .filter(move |offset| {
            let before = code
                .get(..*offset)
                .and_then(|text| text.chars().next_back());
            let end = offset.saturating_add(word.len());
            let after = code.get(end..).and_then(|text| text.chars().next());
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// From an attribute to the end of its item: the first `;` or the brace that closes the first `{`.
fn item_length(text: &str) -> usize {
    let mut depth = 0_u32;
    for (offset, character) in text.char_indices() {
        let end = offset.saturating_add(character.len_utf8());
        match character {
            ';' if depth == 0 => return end,
            '{' => depth = depth.saturating_add(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return end;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// How many characters at the start are code, and how many after them are to be blanked.
fn token(rest: &[char], after_word: bool) -> (usize, usize) {
    match rest {
        ['/', '/', ..] => (0, rest.iter().take_while(|c| **c != '\n').count()),
        ['/', '*', ..] => (0, block_comment(rest)),
        ['"', tail @ ..] => (1, quoted(tail, '"')),
        ['r', tail @ ..] if !after_word => {
            raw_string(tail).map_or((1, 0), |(open, inside)| (open.saturating_add(1), inside))
        }
        ['b', 'r', tail @ ..] if !after_word => {
            raw_string(tail).map_or((2, 0), |(open, inside)| (open.saturating_add(2), inside))
        }
        // A character literal, not a lifetime: an escape, or one character and a closing quote.
        ['\'', '\\', _, tail @ ..] => (1, quoted(tail, '\'').saturating_add(2)),
        ['\'', _, '\'', ..] => (1, 2),
        _ => (1, 0),
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_u32;
    let mut place = 0_usize;
    while let Some(pair) = rest.get(place..) {
        match pair {
            ['/', '*', ..] => {
                depth = depth.saturating_add(1);
                place = place.saturating_add(2);
            }
            ['*', '/', ..] => {
                depth = depth.saturating_sub(1);
                place = place.saturating_add(2);
                if depth == 0 {
                    break;
                }
            }
            [] => break,
            _ => place = place.saturating_add(1),
        }
    }
    place
}

/// Up to and including the closing quote.
fn quoted(tail: &[char], quote: char) -> usize {
    let mut place = 0_usize;
    while let Some(character) = tail.get(place) {
        place = place.saturating_add(if *character == '\\' { 2 } else { 1 });
        if *character == quote {
            break;
        }
    }
    place.min(tail.len())
}

/// After the `r`: the length of `#…"`, and the length of the inside with the closing `"#…`.
fn raw_string(tail: &[char]) -> Option<(usize, usize)> {
    let hashes = tail.iter().take_while(|c| **c == '#').count();
    if tail.get(hashes) != Some(&'"') {
        return None;
    }
    let open = hashes.saturating_add(1);
    let body = tail.get(open..)?;
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let inside = body
        .windows(close.len())
        .position(|window| window == close.as_slice())
        .map_or(body.len(), |start| start.saturating_add(close.len()));
    Some((open, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_is_not() {
        let source = "let a = \"std::fs\"; // std::net\nlet b = 'x'; /* un /* nested */ safe */ call::<'a>(b'\\'', r#\"raw \"quoted\" std::fs\"#);\nstd::time";
        let code = blanked(source);
        assert_eq!(code.len(), source.len());
        assert!(!code.contains("std::fs") && !code.contains("std::net") && !code.contains("safe"));
        assert!(code.contains("call::<'a>") && code.contains("std::time"));
        assert_eq!(line_of(&code, code.find("std::time").unwrap()), 3);
    }

    #[test]
    fn an_identifier_that_ends_in_r_opens_no_raw_string() {
        assert_eq!(blanked("for_r(\"x\")"), "for_r(\"  )");
        assert!(blanked("var\"x\" y").ends_with(" y"));
    }

    #[test]
    fn test_modules_are_blanked() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { std::fs::read(); }\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}";
        let code = without_tests(source);
        assert!(!code.contains("std::fs") && !code.contains("more"));
        assert!(code.contains("fn c") && code.contains("fn d"));
        assert_eq!(code.lines().count(), source.lines().count());
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(
            words("unsafe_code unsafe {} my_unsafe", "unsafe").count(),
            1
        );
    }
}
