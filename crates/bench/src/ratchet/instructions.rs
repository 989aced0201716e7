// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Instructions for one operation, counted by valgrind's callgrind where it is installed. They vary
//! far less than times. The program counts itself: two runs that differ in the number of operations
//! only, and the difference is divided.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::{CONTENT_SIZE, ours, theirs};

/// What is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Encrypting in one chain.
    Encrypt,
    /// Decrypting in one chain. The encrypting before it is in the count of neither run.
    Decrypt,
    /// A message with a step, both sides.
    Turn,
    /// A session, both sides.
    Establish,
}

impl Work {
    pub(super) const ALL: [Self; 4] = [Self::Encrypt, Self::Decrypt, Self::Turn, Self::Establish];
}

/// Whose protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// waxwing-ratchet.
    Ours,
    /// vodozemac.
    Theirs,
}

/// Messages that are sealed before decrypting begins: as many in the short run as in the long one.
const SEALED: usize = 300;

/// Does the work.
///
/// # Errors
/// The protocol failed.
pub(super) fn work(work: Work, side: Side, count: u32) -> Result<()> {
    let mut each = 0..count;
    let some = usize::try_from(count)?;
    match (work, side) {
        (Work::Encrypt, Side::Ours) => {
            let mut pair = ours::Pair::talking(1)?;
            each.try_for_each(|_| pair.alice_seals(CONTENT_SIZE).map(drop))
        }
        (Work::Encrypt, Side::Theirs) => {
            let mut pair = theirs::Pair::talking()?;
            each.try_for_each(|_| pair.alice_seals(CONTENT_SIZE).map(drop))
        }
        (Work::Decrypt, Side::Ours) => {
            let mut pair = ours::Pair::talking(1)?;
            let sealed: Vec<_> = (0..SEALED)
                .map(|_| pair.alice_seals(CONTENT_SIZE))
                .collect::<Result<_>>()?;
            let mut some = sealed.iter().take(some);
            some.try_for_each(|envelope| pair.bob_opens(envelope))
        }
        (Work::Decrypt, Side::Theirs) => {
            let mut pair = theirs::Pair::talking()?;
            let sealed: Vec<_> = (0..SEALED)
                .map(|_| pair.alice_seals(CONTENT_SIZE))
                .collect::<Result<_>>()?;
            let mut some = sealed.iter().take(some);
            some.try_for_each(|message| pair.bob_opens(message))
        }
        (Work::Turn, Side::Ours) => {
            let mut pair = ours::Pair::talking(1)?;
            each.try_for_each(|_| pair.turn(CONTENT_SIZE))
        }
        (Work::Turn, Side::Theirs) => {
            let mut pair = theirs::Pair::talking()?;
            each.try_for_each(|_| pair.turn(CONTENT_SIZE))
        }
        (Work::Establish, Side::Ours) => {
            let meeting = ours::Meeting::new(4)?;
            each.try_for_each(|_| meeting.establish())
        }
        (Work::Establish, Side::Theirs) => {
            let mut meeting = theirs::Meeting::new(100)?;
            each.try_for_each(|_| meeting.establish())
        }
    }
}

/// The instructions of both sides for one operation; `None` without valgrind.
pub(super) fn counted(work: Work) -> Option<(u64, u64)> {
    Some((of(work, Side::Ours)?, of(work, Side::Theirs)?))
}

/// The instructions of one side for one operation; `None` without valgrind.
pub(super) fn of(work: Work, side: Side) -> Option<u64> {
    let (few, many) = match work {
        Work::Encrypt | Work::Decrypt => (50, 250),
        // Eight whole epochs.
        Work::Turn => (26, 26 + 104),
        Work::Establish => (2, 12),
    };
    let difference = total(work, side, many)
        .ok()?
        .checked_sub(total(work, side, few).ok()?)?;
    difference.checked_div(u64::from(many - few))
}

/// The instructions of one run.
fn total(work: Work, side: Side, count: u32) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["ratchet", "--work", &name(&work)])
        .args(["--side", &name(&side), "--count", &count.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("run valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .context("valgrind counted nothing")?;
    Ok(line.1.trim().parse()?)
}

/// The name of a value on the command line.
pub(super) fn name(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
