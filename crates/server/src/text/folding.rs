// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many rows of one table in a few lines for people: what is the same in all of them, and between which
//! values the rest lies. Programs get every row.

use std::collections::BTreeSet;

use super::answers::shown;
use super::grouped;
use crate::disclosure::{Field, Table};

/// More rows than this of one device are folded.
pub(crate) const ROWS_LISTED_MAX: usize = 8;

/// The rows of a table that belong together: those of one device, with the same fields.
pub(crate) fn groups(table: &Table) -> Vec<&[Vec<Field>]> {
    table
        .rows
        .chunk_by(|left, right| kin(left) == kin(right))
        .collect()
}

fn kin(row: &[Field]) -> (Option<&Field>, Vec<&str>) {
    let device = row.iter().find(|field| field.field == "device");
    let names = row.iter().map(|field| field.field.as_str()).collect();
    (device, names)
}

/// A line for each field of rows that belong together.
pub(crate) fn fold(rows: &[Vec<Field>]) -> Vec<(String, String)> {
    let Some(first) = rows.first() else {
        return Vec::new();
    };
    first
        .iter()
        .enumerate()
        .map(|(place, field)| {
            let values: Vec<&Field> = rows.iter().filter_map(|row| row.get(place)).collect();
            (field.field.clone(), summary(&values))
        })
        .collect()
}

fn summary(values: &[&Field]) -> String {
    let Some(first) = values.first() else {
        return String::new();
    };
    if values.iter().all(|field| field.value == first.value) {
        return format!("{}   in all", shown(first));
    }
    match first.kind.as_str() {
        "number" => {
            let numbers = values.iter().filter_map(|field| field.value.as_u64());
            span(numbers.map(|number| (number, number.to_string())))
        }
        // Days and minutes are written so that their order as text is their order in time.
        "day" | "minute" => {
            let texts = values.iter().filter_map(|field| field.value.as_str());
            span(texts.map(|text| (text.to_owned(), text.to_owned())))
        }
        "bytes" => {
            let digits = values.iter().filter_map(|field| field.value.as_str());
            let sizes = digits.map(|digits| u64::try_from(digits.len() / 2).unwrap_or(u64::MAX));
            let sizes = span(sizes.map(|size| (size, grouped(size))));
            format!("{}, {sizes} bytes each", different(values))
        }
        _ => different(values),
    }
}

fn different(values: &[&Field]) -> String {
    let set: BTreeSet<String> = values.iter().map(|field| field.value.to_string()).collect();
    let count = u64::try_from(set.len()).unwrap_or(u64::MAX);
    format!("{} different values", grouped(count))
}

/// The least and the greatest, as they are written.
fn span<T: Ord>(values: impl Iterator<Item = (T, String)>) -> String {
    let mut ordered: Vec<(T, String)> = values.collect();
    ordered.sort_by(|left, right| left.0.cmp(&right.0));
    match (ordered.first(), ordered.last()) {
        (Some((_, least)), Some((_, greatest))) if least == greatest => least.clone(),
        (Some((_, least)), Some((_, greatest))) => format!("{least} to {greatest}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(device: &str, id: u64, pair: &str) -> Vec<Field> {
        let field = |name: &str, kind: &str, value: Value| Field {
            field: name.to_owned(),
            kind: kind.to_owned(),
            value,
        };
        vec![
            field("device", "bytes", json!(device)),
            field("id", "number", json!(id)),
            field("pair", "bytes", json!(pair)),
            field("made", "day", json!(format!("2026-11-{id:02}"))),
        ]
    }

    #[test]
    fn rows_of_each_device_are_summed_up_without_losing_a_bound() {
        let mut rows: Vec<_> = (3..=11)
            .map(|id| row("aa", id, &format!("{id:04x}")))
            .collect();
        rows.extend((1..=2).map(|id| row("bb", id, "0000")));
        let table = Table {
            table: "one_time_prekeys".to_owned(),
            rows,
        };
        let groups = groups(&table);
        let sizes: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        assert_eq!(sizes, [9, 2]);
        let lines: Vec<String> = fold(groups[0]).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            lines,
            [
                "aa   in all",
                "3 to 11",
                "9 different values, 2 bytes each",
                "2026-11-03 to 2026-11-11",
            ]
        );
    }
}
