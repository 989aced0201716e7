// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a benchmark found: rows with stable names, as a table for people and as JSON.

use std::io::Write;

use serde::Serialize;

/// One figure, and what it was compared with in the same run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// A stable name, `benchmark.what`.
    pub(crate) name: &'static str,
    /// The median of the samples.
    pub(crate) value: f64,
    /// The unit of `value` and `against_value`.
    pub(crate) unit: &'static str,
    /// The program compared with, and its settings. Its source is in this crate.
    pub(crate) against: &'static str,
    /// The median of its samples.
    pub(crate) against_value: f64,
    /// Each pair: ours, then the other's.
    pub(crate) samples: Vec<(f64, f64)>,
    /// `value / against_value`.
    pub(crate) ratio: f64,
    /// An absolute figure that is aimed at, printed and never asserted.
    pub(crate) goal: Option<f64>,
    /// What `ratio` must not exceed, or must reach where `bar_is_floor`.
    pub(crate) bar: Option<f64>,
    /// Whether more is better.
    pub(crate) bar_is_floor: bool,
    /// Whether the bar holds; absent where there is none.
    pub(crate) holds: Option<bool>,
    /// Instructions of each side for one operation, where they were counted.
    pub(crate) instructions: Option<(u64, u64)>,
    /// What has to be known beside the numbers; printed below the table.
    pub(crate) notes: Vec<String>,
}

impl Figure {
    /// Makes a row from pairs of samples.
    #[must_use]
    pub(crate) fn from_pairs(
        name: &'static str,
        unit: &'static str,
        against: &'static str,
        samples: Vec<(f64, f64)>,
    ) -> Self {
        let value = median(samples.iter().map(|pair| pair.0));
        let against_value = median(samples.iter().map(|pair| pair.1));
        Self {
            name,
            value,
            unit,
            against,
            against_value,
            ratio: value / against_value,
            samples,
            goal: None,
            bar: None,
            bar_is_floor: false,
            holds: None,
            instructions: None,
            notes: Vec::new(),
        }
    }

    /// Makes a row from something that is counted and not timed, and its bound.
    #[must_use]
    pub(crate) fn counted(
        name: &'static str,
        unit: &'static str,
        against: &'static str,
        value: f64,
        bound: f64,
    ) -> Self {
        Self::from_pairs(name, unit, against, vec![(value, bound)]).with_bar(1.0)
    }

    /// Adds the instructions that each side takes.
    #[must_use]
    pub(crate) const fn with_instructions(mut self, counted: Option<(u64, u64)>) -> Self {
        self.instructions = counted;
        self
    }

    /// Adds what has to be known beside the numbers.
    #[must_use]
    pub(crate) fn with_note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    /// Sets the bar for the ratio.
    #[must_use]
    pub(crate) fn with_bar(mut self, bar: f64) -> Self {
        self.bar = Some(bar);
        self.holds = Some(self.ratio <= bar);
        self
    }

    /// Sets what the ratio must reach.
    #[must_use]
    pub(crate) fn with_floor(mut self, bar: f64) -> Self {
        self.bar = Some(bar);
        self.bar_is_floor = true;
        self.holds = Some(self.ratio >= bar);
        self
    }

    /// Sets the absolute figure that is aimed at.
    #[must_use]
    pub(crate) const fn with_goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }
}

/// The middle value; the mean of the two middle ones where there are two. NaN where there is none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied();
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2).copied();
    match (lower, upper) {
        (Some(lower), Some(upper)) => f64::midpoint(lower, upper),
        _ => f64::NAN,
    }
}

/// Prints the table.
///
/// # Errors
/// The output could not be written.
pub(crate) fn print(figures: &[Figure], out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<34} {:>14} {:>14} {:>7} {:>8} {:>5} {:>8}  {:<23}  against",
        "figure", "ours", "other", "ratio", "bar", "holds", "goal", "instructions"
    )?;
    for figure in figures {
        let bar = figure.bar.map_or_else(String::new, |bar| {
            let sign = if figure.bar_is_floor { ">=" } else { "<=" };
            format!("{sign}{bar:.2}")
        });
        let holds = match figure.holds {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        let goal = figure
            .goal
            .map_or_else(String::new, |goal| format!("{goal:.1}"));
        let instructions = figure
            .instructions
            .map_or_else(String::new, |(ours, theirs)| format!("{ours} / {theirs}"));
        writeln!(
            out,
            "{:<34} {:>14} {:>14} {:>7.3} {bar:>8} {holds:>5} {goal:>8}  {instructions:<23}  {}",
            figure.name,
            format!("{:.2} {}", figure.value, figure.unit),
            format!("{:.2} {}", figure.against_value, figure.unit),
            figure.ratio,
            figure.against
        )?;
    }
    for figure in figures {
        for note in &figure.notes {
            writeln!(out, "{}: {note}", figure.name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(core::iter::empty()).is_nan());
    }

    #[test]
    fn goals_and_bars_are_printed() {
        let figure = Figure::from_pairs("x", "s", "y", vec![(2.0, 1.0); 5]);
        let mut out = Vec::new();
        print(&[figure.with_bar(1.9).with_goal(8.6)], &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let words: Vec<&str> = out.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(
            words,
            [
                "x", "2.00", "s", "1.00", "s", "2.000", "<=1.90", "NO", "8.6", "y"
            ]
        );
    }

    #[test]
    fn a_bar_holds_up_to_its_value() {
        let figure = Figure::from_pairs("x", "s", "y", vec![(2.0, 1.0); 5]);
        assert_eq!(figure.clone().with_bar(2.0).holds, Some(true));
        assert_eq!(figure.clone().with_bar(1.9).holds, Some(false));
        assert_eq!(figure.clone().with_floor(2.0).holds, Some(true));
        assert_eq!(figure.with_floor(2.1).holds, Some(false));
    }
}
