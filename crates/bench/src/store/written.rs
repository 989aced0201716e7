// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes that reach the device for each byte that is appended and acknowledged, everything counted: records,
//! acknowledgements, checkpoints, what is copied forward, tables, and the file system's own.

use anyhow::Result;
use tokio::runtime::Runtime;

use super::load::{Kind, Load};
use super::{ours, theirs};
use crate::pairs::alternate;
use crate::report::{Figure, median};

/// Writers at a time. The bars are for batches of sixteen and more.
const WRITERS: u32 = 128;
/// Names, and the KiB that a KiB may cost.
const FIGURES: [(Kind, &str, f64); 2] = [
    (Kind::Steady, "store.device_kib_in_order", 1.25),
    (Kind::OneInTen, "store.device_kib_one_in_ten_unread", 2.0),
];

/// Measures what is wanted.
///
/// # Errors
/// A store failed, or the device does not say what it was told.
pub(super) fn run(
    runtime: &Runtime,
    seconds: u32,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (kind, name, bar) in FIGURES {
        if !is_wanted(name) {
            continue;
        }
        let load = Load {
            kind,
            writers: WRITERS,
            seconds,
            live: 0,
        };
        let (mut batches, mut bare_batches) = (Vec::new(), Vec::new());
        let written = alternate(
            || {
                let sample = ours(runtime, load)?;
                batches.push(sample.batch);
                Ok(sample.written_each)
            },
            || {
                let sample = theirs(runtime, load)?;
                bare_batches.push(sample.batch);
                Ok(sample.written_each)
            },
        )?;
        let (device, bare): (Vec<f64>, Vec<f64>) = written.into_iter().unzip();
        let note = format!(
            "{WRITERS} writers: {:.0} messages a flush; the bare log in the same run {:.2} KiB, {:.0} a flush",
            median(batches),
            median(bare),
            median(bare_batches)
        );
        let most = "the most that a KiB may cost";
        let figure = Figure::counted(name, "KiB", most, median(device), bar);
        figures.push(figure.with_note(note));
    }
    Ok(figures)
}
