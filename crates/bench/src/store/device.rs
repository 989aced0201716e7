// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What reaches the device below a folder.

use std::path::Path;

use anyhow::{Context, Result};

/// What a device has been told since the machine began, by everybody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// Bytes that were written. The count of a process alone is that of pages made dirty, and a page may be
    /// 2 MiB.
    pub(super) bytes: f64,
    /// How often everything before was to be made durable.
    pub(super) flushes: f64,
}

impl Told {
    /// What the device of a folder has been told.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let device = rustix::fs::stat(folder)?.st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let file = format!("/sys/dev/block/{major}:{minor}/stat");
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let field = |number: usize| -> Result<f64> {
            let field = text.split_whitespace().nth(number);
            let count = field.and_then(|field| field.parse().ok());
            count.with_context(|| format!("{file} has no field {number}"))
        };
        Ok(Self {
            // Sectors of 512 bytes.
            bytes: field(6)? * 512.0,
            flushes: field(15)?,
        })
    }
}
