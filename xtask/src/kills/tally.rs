// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a storm came to: what was accepted, what both sides hold in the end, what was printed.

use std::collections::{BTreeMap, BTreeSet};

/// Messages in one answer of a host: `history` orders each page for itself, and pages follow the order of
/// arrival, which differs from device to device.
const PAGE: usize = 50;

/// Who wrote a message, and its text; every text is written once.
pub(super) type Line = (String, String);

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How often each kind of process was killed.
    pub(super) kills: BTreeMap<&'static str, u32>,
    /// Messages whose `send` succeeded, in the order of each writer.
    pub(super) accepted: Vec<Line>,
    /// Messages whose `send` was killed or failed: they may have been accepted, or not.
    pub(super) uncertain: BTreeSet<Line>,
    /// The conversation as each person holds it, in the order that it is shown.
    pub(super) held: BTreeMap<String, Vec<Line>>,
    /// What each `receive` process of each person printed, one list a process, and whether the process
    /// was killed.
    pub(super) printed: BTreeMap<String, Vec<(Vec<Line>, bool)>>,
}

impl Tally {
    /// Everything that is not as it must be, in sentences.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let sorted = |held: &Vec<Line>| {
            let mut held = held.clone();
            held.sort();
            held
        };
        let mut all = self.held.values();
        let first = all.next().cloned().unwrap_or_default();
        if all.any(|held| sorted(held) != sorted(&first)) {
            faults.push("the two sides hold different conversations".to_owned());
        } else if first.len() <= PAGE && self.held.values().any(|held| *held != first) {
            faults.push("the two sides show one conversation in different orders".to_owned());
        }
        for (who, held) in &self.held {
            let mut seen = BTreeSet::new();
            for line in held {
                if !seen.insert(line) {
                    faults.push(format!("{who} holds {line:?} twice"));
                }
            }
            for line in &self.accepted {
                if !seen.contains(line) {
                    faults.push(format!("{who} lacks {line:?}, which was accepted"));
                }
            }
            for line in seen {
                if !self.accepted.contains(line) && !self.uncertain.contains(line) {
                    faults.push(format!("{who} holds {line:?}, which nobody wrote"));
                }
            }
            if !self.is_in_order(held) {
                faults.push(format!("{who} holds messages of one writer out of order"));
            }
            faults.extend(self.printing_faults(who, held));
        }
        faults
    }

    /// Whether the accepted messages of each writer stand in the order in which they were accepted.
    fn is_in_order(&self, held: &[Line]) -> bool {
        let by = |lines: &[Line], writer: &str| -> Vec<Line> {
            let of_writer = lines.iter().filter(|line| line.0 == writer);
            of_writer
                .filter(|line| self.accepted.contains(line))
                .cloned()
                .collect()
        };
        let writers: BTreeSet<&String> = held.iter().map(|line| &line.0).collect();
        writers
            .into_iter()
            .all(|writer| by(held, writer) == by(&self.accepted, writer))
    }

    fn printing_faults(&self, who: &str, held: &[Line]) -> Vec<String> {
        let mut faults = Vec::new();
        let Some(processes) = self.printed.get(who) else {
            return vec![format!("{who} printed nothing")];
        };
        for line in held.iter().filter(|line| line.0 != who) {
            let by: Vec<usize> = processes
                .iter()
                .enumerate()
                .flat_map(|(place, (lines, _))| {
                    lines.iter().filter(|it| *it == line).map(move |_| place)
                })
                .collect();
            if by.is_empty() {
                faults.push(format!("{who} never printed {line:?}"));
            }
            // Whatever printed it before was killed before it could note that.
            let (_, before) = by.split_last().unwrap_or((&0, &[]));
            let excused = before
                .iter()
                .all(|place| processes.get(*place).is_some_and(|(_, killed)| *killed));
            let distinct = by.iter().collect::<BTreeSet<_>>().len();
            if !excused || distinct != by.len() {
                faults.push(format!("{who} printed {line:?} again without a reason"));
            }
        }
        faults
    }

    /// Whether nothing was lost or doubled.
    pub(super) fn holds(&self) -> bool {
        self.faults().is_empty()
    }

    /// Messages that were printed by a process that was killed, and again by a later one.
    fn printed_again(&self) -> usize {
        let processes = self.printed.values();
        processes
            .map(|processes| {
                let lines = processes.iter().flat_map(|(lines, _)| lines);
                let all: Vec<&Line> = lines.collect();
                let distinct: BTreeSet<&&Line> = all.iter().collect();
                all.len().saturating_sub(distinct.len())
            })
            .sum()
    }
}

impl core::fmt::Display for Tally {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kills: Vec<String> = self
            .kills
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        let total: u32 = self.kills.values().sum();
        let held = self.held.values().next().map_or(0, Vec::len);
        writeln!(f, "kills            {total}: {}", kills.join(", "))?;
        writeln!(f, "accepted         {} messages", self.accepted.len())?;
        writeln!(
            f,
            "uncertain        {} messages, whose `send` was killed or failed",
            self.uncertain.len()
        )?;
        writeln!(f, "held             {held} messages on each side")?;
        writeln!(
            f,
            "printed again    {} messages, after a kill between printing and noting it",
            self.printed_again()
        )?;
        let faults = self.faults();
        for fault in &faults {
            writeln!(f, "FAULT            {fault}")?;
        }
        let verdict = if faults.is_empty() {
            "nothing was lost or doubled"
        } else {
            "something was lost or doubled"
        };
        writeln!(f, "{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(who: &str, body: &str) -> Line {
        (who.to_owned(), body.to_owned())
    }

    /// Alice wrote `1` and `2`, bob printed the first with a process that was killed.
    fn good() -> Tally {
        let (one, two) = (line("alice", "1"), line("alice", "2"));
        let both = vec![one.clone(), two.clone()];
        Tally {
            accepted: both.clone(),
            held: [("alice", both.clone()), ("bob", both.clone())]
                .map(|(who, held)| (who.to_owned(), held))
                .into(),
            printed: [
                ("alice".to_owned(), Vec::new()),
                (
                    "bob".to_owned(),
                    vec![(vec![one.clone()], true), (vec![one, two], false)],
                ),
            ]
            .into(),
            ..Tally::default()
        }
    }

    #[test]
    fn a_message_that_is_printed_again_after_a_kill_is_no_fault() {
        let tally = good();
        assert_eq!(tally.faults(), Vec::<String>::new());
        assert_eq!(tally.printed_again(), 1);
    }

    /// Every kind of fault is seen: a tally that never finds anything would be worth nothing.
    #[test]
    fn planted_faults_are_found() {
        let plant = |change: &dyn Fn(&mut Tally)| {
            let mut tally = good();
            change(&mut tally);
            tally.faults().join("; ")
        };
        let bob = |tally: &mut Tally, change: &dyn Fn(&mut Vec<Line>)| {
            change(tally.held.get_mut("bob").unwrap());
        };
        assert!(plant(&|tally| bob(tally, &|held| drop(held.pop()))).contains("bob lacks"));
        let twice = plant(&|tally| bob(tally, &|held| held.push(line("alice", "2"))));
        assert!(
            twice.contains("twice") && twice.contains("different"),
            "{twice}"
        );
        let foreign = plant(&|tally| bob(tally, &|held| held.push(line("alice", "3"))));
        assert!(foreign.contains("nobody wrote"), "{foreign}");
        let order = plant(&|tally| bob(tally, &|held| held.reverse()));
        assert!(
            order.contains("out of order") && order.contains("different orders"),
            "{order}"
        );
        let unprinted = plant(&|tally| tally.printed.get_mut("bob").unwrap().truncate(1));
        assert!(unprinted.contains("never printed"), "{unprinted}");
        let again = plant(&|tally| {
            for process in tally.printed.get_mut("bob").unwrap() {
                process.1 = false;
            }
        });
        assert!(again.contains("without a reason"), "{again}");
        let inside = plant(&|tally| {
            let processes = tally.printed.get_mut("bob").unwrap();
            processes[0].0.push(line("alice", "1"));
        });
        assert!(inside.contains("without a reason"), "{inside}");
        // What is uncertain may be there or not, but the same on both sides.
        let mut tally = good();
        tally.uncertain.insert(line("alice", "3"));
        assert!(tally.holds());
    }
}
