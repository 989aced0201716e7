// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logs go to standard error. Only crates of this workspace write there: others log addresses.

use tracing_subscriber::EnvFilter;

/// The targets that may log. Their lines hold codes and counts, nothing that identifies a user.
const TARGETS: [&str; 5] = [
    "waxwingd",
    "waxwing_server",
    "waxwing_relay",
    "waxwing_storage",
    "waxwing_transport",
];

/// Starts logging. A second call changes nothing.
pub(crate) fn start(quiet: bool, verbose: bool) {
    let level = if quiet {
        "error"
    } else if verbose {
        "debug"
    } else {
        "warn"
    };
    let mut filter = "off".to_owned();
    for target in TARGETS {
        filter.push_str(&format!(",{target}={level}"));
    }
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}
