// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How tests read the known answers of `vectors/v1`: a module of each test that replays them.

use std::path::Path;

use serde_json::Value;

/// A file of `vectors/v1`, by its name without the ending.
pub(crate) fn file(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/v1");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["version"], 1, "{name}");
    value
}

/// The elements of a list; an empty one would show nothing and fails.
pub(crate) fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

/// The text of a string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A number.
pub(crate) fn number<N: TryFrom<u64, Error: core::fmt::Debug>>(value: &Value) -> N {
    N::try_from(value.as_u64().unwrap()).unwrap()
}

/// The bytes that a string of hexadecimal digits stands for.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value);
    assert!(digits.len().is_multiple_of(2), "{digits}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap())
        .collect()
}

/// As [`bytes`], for a fixed length.
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

/// Whether a case must be accepted.
pub(crate) fn is_valid(case: &Value) -> bool {
    text(&case["verdict"]) == "valid"
}
