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

/// Bytes that the files below a folder take on the disk: those of envelope ids that are remembered, of
/// which every mailbox has so many at most, and all others. A file that goes meanwhile does not count.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Space {
    pub(super) remembered: f64,
    pub(super) others: f64,
}

impl Space {
    pub(super) fn of(folder: &Path) -> Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let mut sum = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(file) if file.is_dir() => {
                    let inner = Self::of(&entry.path())?;
                    sum.remembered += inner.remembered;
                    sum.others += inner.others;
                }
                Ok(file) => {
                    let bytes = (file.blocks() * 512) as f64;
                    let name = entry.file_name();
                    if Path::new(&name).extension() == Some("remembered".as_ref()) {
                        sum.remembered += bytes;
                    } else {
                        sum.others += bytes;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sum)
    }

    /// The most of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            remembered: self.remembered.max(other.remembered),
            others: self.others.max(other.others),
        }
    }
}
