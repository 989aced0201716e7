// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What reaches the device below a folder.

use std::path::Path;

use anyhow::{Context, Result};

/// Bytes that were written to the device of a folder since the machine began, by everybody. The count
/// of a process alone is that of pages made dirty, and a page may be 2 MiB.
pub(super) fn written(folder: &Path) -> Result<u64> {
    let device = rustix::fs::stat(folder)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("/sys/dev/block/{major}:{minor}/stat");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    // The seventh field: sectors of 512 bytes.
    let sectors: u64 = text
        .split_whitespace()
        .nth(6)
        .and_then(|field| field.parse().ok())
        .with_context(|| format!("{file} has no count of sectors written"))?;
    Ok(sectors * 512)
}
