// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an exploration found.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::explore::{Bound, Violation};

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// Distinct states of the world.
    pub(crate) states: usize,
    /// Steps between them.
    pub(crate) steps: usize,
    /// Distinct states of one device.
    pub(crate) devices: usize,
    /// Acts that the real state machine computed.
    pub(crate) acts: usize,
    /// Pairs of devices that were brought together again.
    pub(crate) mended: usize,
    /// Of those, how many needed a new attempt.
    pub(crate) retried: usize,
    /// Most sessions that a device kept.
    pub(crate) sessions_most: usize,
    /// Envelopes that were refused because their session was gone or they came again.
    pub(crate) not_needed: usize,
    /// Envelopes that thieves tried, and those of them that they opened.
    pub(crate) stolen: [usize; 2],
    /// Most epochs that were mixed in one session.
    pub(crate) epochs_most: u32,
    /// Whether every state within the bound was seen.
    pub(crate) exhausted: bool,
    pub(crate) took: Duration,
    /// What went wrong, and the events that led there.
    pub(crate) violation: Option<Violation>,
}

/// The states that an exploration has to see before its time is over.
const STATES_WANTED: usize = 200_000;

/// Why a report is not good enough. One that ended by its time shows nothing about what it did not see;
/// one that saw the whole bound, or as many states as were asked for, is whole.
pub(crate) fn shortfall(bound: &Bound, report: &Report) -> Option<String> {
    if let Some((what, _)) = &report.violation {
        return Some(format!("violated: {what}"));
    }
    let ended_by_time = !report.exhausted && report.states < bound.states;
    (ended_by_time && report.states < STATES_WANTED).then(|| {
        format!(
            "the time of {} s was over after {} distinct states; {STATES_WANTED} are wanted: give it more with --seconds",
            bound.time.as_secs(),
            report.states
        )
    })
}

/// The numbers of a report, one a line.
pub(crate) fn lines(bound: &Bound, report: &Report) -> String {
    let numbers: BTreeMap<&str, String> = BTreeMap::from([
        ("states", report.states.to_string()),
        ("steps between them", report.steps.to_string()),
        ("states of one device", report.devices.to_string()),
        ("acts computed", report.acts.to_string()),
        ("pairs brought together", report.mended.to_string()),
        ("of them by a new attempt", report.retried.to_string()),
        ("most sessions kept", report.sessions_most.to_string()),
        ("arrivals not needed", report.not_needed.to_string()),
        ("tried by thieves", report.stolen[0].to_string()),
        ("of them opened", report.stolen[1].to_string()),
        ("most epochs mixed", report.epochs_most.to_string()),
        ("whole bound seen", report.exhausted.to_string()),
        ("seconds", format!("{:.1}", report.took.as_secs_f64())),
    ]);
    let mut text = format!(
        "bound: {} handshakes ({} of them dead), {} contents, {} drains each, {} duplicates, a talk of {} turns before, {} thefts; {} states, {} s\n",
        bound.handshakes,
        bound.dead,
        bound.contents,
        bound.drains,
        bound.duplicates,
        bound.talk,
        bound.thefts,
        bound.states,
        bound.time.as_secs()
    );
    for (name, value) in numbers {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    match &report.violation {
        None => text.push_str("  nothing went wrong\n"),
        Some((what, events)) => text.push_str(&format!("  VIOLATION: {what}\n  {events:?}\n")),
    }
    text
}
