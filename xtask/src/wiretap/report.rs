// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was searched and what was found, for people and for programs.

use core::fmt;

use serde_json::{Value, json};

use super::search::Searched;

/// One place that was searched.
pub(crate) struct Place {
    pub(crate) title: &'static str,
    pub(crate) searched: Searched,
    /// How many canaries were searched for, planted ones left out.
    pub(crate) canaries: usize,
    /// How many leaks were planted there.
    pub(crate) planted: usize,
}

/// Everything that was searched.
pub(crate) struct Report {
    pub(crate) places: Vec<Place>,
    /// How it was shown that the server's memory is closed.
    pub(crate) memory_proof: String,
}

impl Place {
    fn planted_found(&self) -> usize {
        self.searched.found_planted(self.title).len()
    }

    /// Something was looked at, nothing leaked, and every planted leak was found.
    pub(crate) fn holds(&self) -> bool {
        self.searched.bytes > 0
            && self.canaries > 0
            && self.searched.leaks().next().is_none()
            && self.planted > 0
            && self.planted_found() == self.planted
    }
}

impl Report {
    /// Whether every place holds.
    pub(crate) fn holds(&self) -> bool {
        !self.places.is_empty() && self.places.iter().all(Place::holds)
    }

    /// One object.
    pub(crate) fn to_json(&self) -> Value {
        let places: Vec<Value> = self.places.iter().map(place_json).collect();
        json!({
            "v": 1,
            "type": "wiretap",
            "holds": self.holds(),
            "places": places,
            "memory_is_closed": self.memory_proof,
        })
    }
}

fn place_json(place: &Place) -> Value {
    let leaks: Vec<Value> = place
        .searched
        .leaks()
        .map(|(finding, (offset, count))| {
            json!({
                "canary": finding.title,
                "form": finding.form,
                "part": finding.part,
                "offset": offset,
                "count": count,
            })
        })
        .collect();
    json!({
        "place": place.title,
        "bytes": place.searched.bytes,
        "parts": place.searched.parts,
        "canaries": place.canaries,
        "leaks": leaks,
        "planted": place.planted,
        "planted_found": place.planted_found(),
        "holds": place.holds(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .places
            .iter()
            .map(|place| place.title.len())
            .max()
            .unwrap_or(0)
            .max(5);
        writeln!(
            f,
            "{:<width$}  {:>13}  {:>8}  {:>5}  planted leaks",
            "place", "bytes", "canaries", "leaks"
        )?;
        for place in &self.places {
            let leaks = place.searched.leaks().count();
            writeln!(
                f,
                "{:<width$}  {:>13}  {:>8}  {:>5}  {} of {} found{}",
                place.title,
                grouped(place.searched.bytes),
                place.canaries,
                leaks,
                place.planted_found(),
                place.planted,
                if place.holds() { "" } else { "  FAILS" },
            )?;
        }
        for place in &self.places {
            for (finding, (offset, count)) in place.searched.leaks() {
                writeln!(
                    f,
                    "LEAK: {} ({}) in {}: {}, first at byte {offset}, {count} times",
                    finding.title, finding.form, place.title, finding.part
                )?;
            }
        }
        writeln!(f, "the server's memory is closed: {}", self.memory_proof)?;
        if self.holds() {
            writeln!(f, "nothing leaked, and every planted leak was found")
        } else {
            writeln!(f, "FAILED: see above")
        }
    }
}

/// With a comma between every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiretap::{canary::Canaries, search::Needles};

    fn place(content: &str, planted: usize) -> Place {
        let mut canaries = Canaries::default();
        canaries.text("message 1", "a secret message");
        canaries.planted("logs", "planted on purpose");
        let needles = Needles::new(&canaries).unwrap();
        Place {
            title: "logs",
            searched: needles.stream("log", content.as_bytes()).unwrap(),
            canaries: canaries.secrets(),
            planted,
        }
    }

    #[test]
    fn a_leak_or_a_planted_leak_that_is_not_found_fails() {
        let holds = |content: &str, planted| place(content, planted).holds();
        assert!(holds("a line, planted on purpose", 1));
        assert!(!holds("a line", 1), "the planted leak is missing");
        assert!(!holds("planted on purpose", 2), "one of two is missing");
        assert!(!holds("a secret message, planted on purpose", 1), "a leak");
        assert!(!holds("a line", 0), "nothing proves that the search works");
        assert!(!holds("", 1), "nothing was searched");
    }

    #[test]
    fn leaks_are_named_but_not_shown() {
        let places = vec![place("a secret message, planted on purpose", 1)];
        let report = Report {
            places,
            memory_proof: "refused".to_owned(),
        };
        assert!(!report.holds());
        let text = report.to_string();
        assert!(
            text.contains("LEAK: message 1 (raw) in logs") && text.contains("FAILED"),
            "{text}"
        );
        let object = report.to_json();
        assert_eq!(object["holds"], false);
        assert_eq!(object["places"][0]["leaks"][0]["canary"], "message 1");
        assert!(!text.contains("secret message") && !object.to_string().contains("secret message"));
        let empty = Report {
            places: Vec::new(),
            memory_proof: String::new(),
        };
        assert!(!empty.holds());
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}
