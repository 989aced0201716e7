// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `bench ratchet`: the pairwise protocol against vodozemac's Olm, in thread CPU time, and what of
//! it is counted.
//!
//! Ours writes and reads the rows of every message and includes the tag look-up, the header, the
//! padding to 512 bytes and the KEM epochs; vodozemac's figures are its in-memory session alone.

mod abuse;
mod counts;
mod instructions;
mod ours;
mod speed;
mod theirs;

use std::collections::BTreeMap;

use anyhow::{Context, Result};

pub(crate) use self::instructions::{Side, Work};
use crate::report::Figure;

const AGAINST: &str = "vodozemac 0.11, Olm session version 1";
/// The content of every message, in bytes.
const CONTENT_SIZE: usize = 100;

/// Measures and compares. With the fast backend only what it changes is measured.
///
/// # Errors
/// One of the two protocols failed.
pub(crate) fn run() -> Result<Vec<Figure>> {
    let mut figures = speed::figures()?;
    if !cfg!(feature = "fast") {
        figures.extend(abuse::figures()?);
        figures.extend(counts::figures()?);
    }
    Ok(figures)
}

/// The instructions of our side for one operation of each kind.
///
/// # Errors
/// There is no valgrind, or it counted nothing.
pub(crate) fn instructions() -> Result<BTreeMap<String, u64>> {
    let all = Work::ALL.into_iter().map(|work| {
        let counted = instructions::of(work, Side::Ours);
        Ok((
            instructions::name(&work),
            counted.context("valgrind counted nothing")?,
        ))
    });
    all.collect()
}

/// One workload, for a program that counts its instructions.
///
/// # Errors
/// The protocol failed.
pub(crate) fn work(work: Work, side: Side, count: u32) -> Result<()> {
    instructions::work(work, side, count)
}
