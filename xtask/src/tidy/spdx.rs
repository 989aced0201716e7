// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Licence expressions (SPDX specification 2.3, annex D), evaluated against a list of licences.

/// Whether the expression can be satisfied with the allowed licences alone. `None` where it is not
/// well formed. The old form `MIT/Apache-2.0` means `OR`.
pub(super) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().collect();
    words.reverse();
    let value = any(&mut words, allowed)?;
    words.is_empty().then_some(value)
}

/// `all ( OR all )*`. The words are a stack whose top is the next word.
fn any(words: &mut Vec<&str>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = all(words, allowed)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        value |= all(words, allowed)?;
    }
    Some(value)
}

/// `one ( AND one )*`.
fn all(words: &mut Vec<&str>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = one(words, allowed)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        value &= one(words, allowed)?;
    }
    Some(value)
}

/// A licence, a licence with an exception, or an expression in brackets.
fn one(words: &mut Vec<&str>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    match words.pop()? {
        "(" => {
            let value = any(words, allowed)?;
            (words.pop()? == ")").then_some(value)
        }
        ")" | "OR" | "AND" | "WITH" => None,
        licence => {
            if words.pop_if(|word| *word == "WITH").is_some() {
                let exception = words.pop()?;
                return Some(allowed(&format!("{licence} WITH {exception}")));
            }
            Some(allowed(licence))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(expression: &str) -> Option<bool> {
        satisfied(expression, &|licence| {
            ["MIT", "Apache-2.0", "Unicode-3.0"].contains(&licence)
        })
    }

    #[test]
    fn expressions_are_evaluated() {
        for good in [
            "MIT",
            "MIT/GPL-3.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert_eq!(value(good), Some(true), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "MIT AND (GPL-3.0 OR Zlib)",
        ] {
            assert_eq!(value(bad), Some(false), "{bad}");
        }
    }

    #[test]
    fn and_binds_closer_than_or() {
        assert_eq!(value("MIT OR GPL-3.0 AND Zlib"), Some(true));
        assert_eq!(value("GPL-3.0 AND Zlib OR MIT"), Some(true));
    }

    #[test]
    fn broken_expressions_are_no_value() {
        for broken in [
            "",
            "MIT OR",
            "(MIT",
            "MIT)",
            "OR MIT",
            "MIT Apache-2.0",
            "MIT WITH",
        ] {
            assert_eq!(value(broken), None, "{broken}");
        }
    }
}
