// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A few seeds as ordinary tests, and the proof that the checks find what they are for: each kind
//! of fault is planted once and must be caught.

use waxwing_simulator::model::Violation;
use waxwing_simulator::run::{Outcome, Plant, Settings, run};

const GOOD: Settings = Settings {
    trace: false,
    plant: None,
};

/// [BOX-5]: people of two servers reach each other, each at the server of the other.
#[test]
fn seeds_keep_every_promise() {
    for seed in 1..=25 {
        let outcome = run(seed, GOOD).unwrap();
        assert!(outcome.is_good(), "seed {seed}: {outcome:?}");
        assert!(outcome.accepted > 0, "seed {seed} sent nothing");
        assert!(
            outcome.shown >= outcome.accepted,
            "seed {seed} shows less than was sent"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    for seed in [3, 7] {
        let (one, two) = (run(seed, GOOD).unwrap(), run(seed, GOOD).unwrap());
        assert_eq!(
            (&one.hash, one.events),
            (&two.hash, two.events),
            "seed {seed}"
        );
    }
    let (one, two) = (run(3, GOOD).unwrap(), run(7, GOOD).unwrap());
    assert_ne!(one.hash, two.hash);
}

/// Whether one of the first seeds catches the fault: it can only do harm where its hour comes.
fn is_caught(plant: Plant, is_it: impl Fn(&Violation) -> bool) -> bool {
    let settings = Settings {
        trace: false,
        plant: Some(plant),
    };
    let caught = |outcome: Outcome| outcome.violations.iter().any(&is_it);
    (1..=12).any(|seed| run(seed, settings).is_ok_and(caught))
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_caught() {
    assert!(is_caught(Plant::LyingDisk, |violation| matches!(
        violation,
        Violation::Lost { .. }
    )));
}

#[test]
fn a_plaintext_on_the_network_is_caught() {
    let is_leak = |violation: &Violation| matches!(violation, Violation::Leak { place, .. } if place.starts_with("the network"));
    assert!(is_caught(Plant::NetworkLeak, is_leak));
}

#[test]
fn a_plaintext_on_a_disk_is_caught() {
    let is_leak = |violation: &Violation| matches!(violation, Violation::Leak { place, .. } if place.starts_with("the disk"));
    assert!(is_caught(Plant::DiskLeak, is_leak));
}

#[test]
fn a_text_shown_twice_is_caught() {
    let is_double = |violation: &Violation| matches!(violation, Violation::ShownTwice { .. });
    assert!(is_caught(Plant::DoubledScreen, is_double));
}

#[test]
fn texts_in_the_wrong_order_are_caught() {
    let is_disorder = |violation: &Violation| matches!(violation, Violation::OutOfOrder { .. });
    assert!(is_caught(Plant::ShuffledScreen, is_disorder));
}
