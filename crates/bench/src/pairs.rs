// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Five alternating pairs: ours, theirs, ours, theirs, …, so that what disturbs the machine
//! disturbs both.

use rustix::time::{ClockId, clock_gettime};

/// How many pairs a figure is the median of.
pub(crate) const PAIRS: usize = 5;

/// Runs both sides alternately. Each closure returns one sample.
///
/// # Errors
/// The first error of either side.
pub(crate) fn alternate(
    mut ours: impl FnMut() -> anyhow::Result<f64>,
    mut theirs: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<(f64, f64)>> {
    (0..PAIRS).map(|_| Ok((ours()?, theirs()?))).collect()
}

/// As [`alternate`], where each sample of a pair is the mean of `slices` runs, and the runs alternate as
/// well: what disturbs the machine for longer than a slice then disturbs both sides of one pair.
///
/// # Errors
/// The first error of either side.
pub(crate) fn alternate_slices(
    slices: u32,
    mut ours: impl FnMut() -> anyhow::Result<f64>,
    mut theirs: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<(f64, f64)>> {
    let pair = |_| {
        let (mut own, mut other) = (0.0, 0.0);
        for _ in 0..slices {
            own += ours()?;
            other += theirs()?;
        }
        Ok((own / f64::from(slices), other / f64::from(slices)))
    };
    (0..PAIRS).map(pair).collect()
}

/// CPU seconds of this thread that `work` takes, divided by `count`, in microseconds.
///
/// # Errors
/// The error of `work`.
pub(crate) fn cpu_us_each(
    count: u32,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let before = thread_cpu_seconds();
    work()?;
    Ok((thread_cpu_seconds() - before) * 1e6 / f64::from(count))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a count of seconds of CPU time is far below 2^52"
)]
fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
