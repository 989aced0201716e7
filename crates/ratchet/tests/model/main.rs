// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bounded exploration of the real state machine: two devices, handshakes that cross, any order of
//! arrival, any subset lost. `cargo xtask model` goes further.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::format_push_string,
    clippy::disallowed_methods,
    reason = "a test that fails panics"
)]

mod compromise;
mod explore;
mod party;
mod report;
mod talk;
mod thief;

use std::time::Duration;

use explore::{Bound, Explorer};
use party::Plant;
use report::{Report, lines, shortfall};

const SMALL: Bound = Bound {
    handshakes: 2,
    dead: 1,
    contents: 1,
    drains: 0,
    duplicates: 0,
    talk: 0,
    thefts: 0,
    states: 4_000,
    time: Duration::from_secs(600),
};

/// A talk of more than three epochs.
const READ_OUT: Bound = Bound {
    handshakes: 1,
    dead: 0,
    contents: 1,
    talk: 46,
    thefts: 1,
    states: 14_000,
    ..SMALL
};

fn explore(bound: Bound, plant: Option<Plant>) -> Report {
    let report = Explorer::new(bound, plant).run();
    assert!(lines(&bound, &report).starts_with("bound: "));
    report
}

/// [SES-54], [SES-57]: no false alarm, nothing that cannot be opened, one session in the end.
#[test]
fn two_devices_always_find_each_other() {
    let report = explore(SMALL, None);
    assert!(report.violation.is_none(), "{:?}", report.violation);
    assert!(report.states >= 4_000);
}

/// Also where sessions expire in between and envelopes come twice.
#[test]
fn drains_and_duplicates_part_nobody() {
    let bound = Bound {
        drains: 1,
        duplicates: 1,
        ..SMALL
    };
    let report = explore(bound, None);
    assert!(report.violation.is_none(), "{:?}", report.violation);
    assert!(report.not_needed > 0);
}

/// What heals, at each moment of more than three epochs, whatever is lost, late or doubled around it.
#[test]
fn a_device_that_was_read_out_heals() {
    let report = explore(READ_OUT, None);
    assert!(report.violation.is_none(), "{:?}", report.violation);
    assert!(report.epochs_most >= 3, "{report:?}");
    let [tried, opened] = report.stolen;
    assert!(opened > 500 && tried - opened > 500, "{report:?}");
}

#[test]
fn an_exhausted_bound_says_so() {
    let bound = Bound {
        handshakes: 1,
        dead: 0,
        contents: 0,
        ..SMALL
    };
    let report = explore(bound, None);
    assert!(report.exhausted && report.violation.is_none());
}

/// A run whose time is over too soon has shown too little.
#[test]
fn a_run_that_ends_by_time_before_200_000_states_fails() {
    let whole = explore(
        Bound {
            handshakes: 1,
            dead: 0,
            contents: 0,
            ..SMALL
        },
        None,
    );
    let bound = |states| Bound { states, ..SMALL };
    let ended = |states, exhausted| Report {
        states,
        exhausted,
        violation: None,
        ..whole.clone()
    };
    let why = shortfall(&bound(250_000), &ended(199_999, false)).unwrap();
    assert!(why.contains(" 199999 distinct states; 200000 "), "{why}");
    assert!(shortfall(&bound(1_000_000), &ended(0, false)).is_some());
    // Enough, or all that was asked for, or all that there is.
    assert_eq!(shortfall(&bound(250_000), &ended(200_000, false)), None);
    assert_eq!(shortfall(&bound(20_000), &ended(20_000, false)), None);
    assert_eq!(shortfall(&bound(250_000), &ended(321, true)), None);
    let violated = Report {
        violation: Some(("two sessions".to_owned(), Vec::new())),
        ..ended(321, true)
    };
    let why = shortfall(&bound(250_000), &violated).unwrap();
    assert!(why.contains("two sessions"), "{why}");

    // And a real one without time.
    let hurried = Bound {
        time: Duration::ZERO,
        ..SMALL
    };
    let report = explore(hurried, None);
    assert!(shortfall(&hurried, &report).is_some(), "{report:?}");
}

/// A checker that finds nothing could as well not look.
#[test]
fn planted_faults_are_found() {
    for plant in [
        Plant::NewestIsActive,
        Plant::NothingContinued,
        Plant::AttemptsNotCounted,
    ] {
        let bound = Bound {
            handshakes: 3,
            contents: 1,
            states: 60_000,
            ..SMALL
        };
        let report = explore(bound, Some(plant));
        assert!(report.violation.is_some(), "{plant:?}");
    }
    for plant in [Plant::Foreseen, Plant::KemForeseen] {
        let report = explore(READ_OUT, Some(plant));
        assert!(report.violation.is_some(), "{plant:?}");
    }
}
