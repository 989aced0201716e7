// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel says about this process and its files.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A clock that only goes forward, in seconds.
pub(crate) fn now() -> f64 {
    seconds(ClockId::Monotonic)
}

/// Processor time of this process, in seconds.
pub(crate) fn cpu() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// The kernel counts processor time in hundredths of a second for programs (`USER_HZ`).
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds for which the first cores did anything, for whomever.
pub(crate) fn busy(cores: usize) -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let mut ticks = 0.0;
    // The first line is the sum. The 4th and 5th number of a core are what it was idle for.
    for line in text.lines().skip(1).take(cores) {
        for (index, number) in line.split_whitespace().skip(1).take(8).enumerate() {
            if index != 3 && index != 4 {
                ticks += number.parse::<f64>()?;
            }
        }
    }
    Ok(ticks / TICKS_PER_SECOND)
}

fn field(file: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{file} has no {name}"))
}

/// Memory of a process that is resident, in bytes.
pub(super) fn resident(process: u32) -> Result<u64> {
    Ok(field(&format!("/proc/{process}/status"), "VmRSS")? * 1024)
}

/// Bytes that the files below a folder take on the disk. One that goes meanwhile does not count.
pub(super) fn space(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        sum += match entry.metadata() {
            Ok(file) if file.is_dir() => space(&entry.path())?,
            Ok(file) => file.blocks() * 512,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(sum)
}
