// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two clocks that the engine is told about. It reads none itself.

/// A moment, as the host's clocks show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds of a clock that never goes back while the process lives. Timers use it.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch. It may jump; nothing expires by it alone.
    pub wall_ms: u64,
}
