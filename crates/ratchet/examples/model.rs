// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask model`: the bounded exploration of `tests/model`, with bounds of one's choice.
//!
//! `model HANDSHAKES DEAD CONTENTS DRAINS DUPLICATES TALK THEFTS STATES SECONDS`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::format_push_string,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for whoever works on the protocol; a violated invariant panics"
)]

#[path = "../tests/model/explore.rs"]
mod explore;
#[allow(
    dead_code,
    reason = "the tests also plant faults and read a device out"
)]
#[path = "../tests/model/party.rs"]
mod party;
#[path = "../tests/model/report.rs"]
mod report;
#[path = "../tests/model/talk.rs"]
mod talk;
#[path = "../tests/model/thief.rs"]
mod thief;

use std::process::ExitCode;
use std::time::Duration;

use explore::{Bound, Explorer};
use report::{lines, shortfall};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let [
        handshakes,
        dead,
        contents,
        drains,
        duplicates,
        talk,
        thefts,
        states,
        seconds,
    ] = numbers[..]
    else {
        println!("model HANDSHAKES DEAD CONTENTS DRAINS DUPLICATES TALK THEFTS STATES SECONDS");
        return ExitCode::FAILURE;
    };
    let small = |number: u64| u8::try_from(number).unwrap();
    let bound = Bound {
        handshakes: small(handshakes),
        dead: small(dead),
        contents: small(contents),
        drains: small(drains),
        duplicates: small(duplicates),
        talk: small(talk),
        thefts: small(thefts),
        states: usize::try_from(states).unwrap(),
        time: Duration::from_secs(seconds),
    };
    let report = Explorer::new(bound, None).run();
    println!("{}", lines(&bound, &report));
    match shortfall(&bound, &report) {
        None => ExitCode::SUCCESS,
        Some(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
