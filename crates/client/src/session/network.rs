// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Notices that this machine is on another network, or was asleep, and tells the host.

use waxwing_transport::Clock;
use waxwing_transport::platform::SystemClock;

use crate::host::Handle;
use crate::platform;

/// How often the machine's own address is looked at. Nothing is sent for it.
const LOOK_MS: u64 = 2_000;
/// Time that passed on the wall and not on the monotonic clock: the machine slept, or somebody set
/// the clock, which costs a probe.
const SLEPT_MS: u64 = 10_000;

/// Watches until it is dropped.
pub(super) async fn watch(handle: Handle) {
    let clock = SystemClock::new();
    let mut known = Seen::now(&clock);
    loop {
        clock.sleep(LOOK_MS).await;
        let seen = Seen::now(&clock);
        if seen.needs_probe(&known) {
            tracing::debug!("the network has changed");
            handle.network_changed();
        }
        known = seen;
    }
}

/// What was seen at one moment.
struct Seen {
    addresses: [Option<std::net::IpAddr>; 2],
    wall_ms: u64,
    monotonic_ms: u64,
}

impl Seen {
    fn now(clock: &SystemClock) -> Self {
        Self {
            addresses: platform::own_addresses(),
            wall_ms: clock.wall_ms(),
            monotonic_ms: clock.monotonic_ms(),
        }
    }

    fn needs_probe(&self, before: &Self) -> bool {
        let is_connected = self.addresses.iter().any(Option::is_some);
        let wall_ms = self.wall_ms.abs_diff(before.wall_ms);
        let monotonic_ms = self.monotonic_ms.abs_diff(before.monotonic_ms);
        is_connected
            && (self.addresses != before.addresses
                || wall_ms > monotonic_ms.saturating_add(SLEPT_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(address: Option<&str>, wall_ms: u64, monotonic_ms: u64) -> Seen {
        Seen {
            addresses: [address.map(|it| it.parse().unwrap()), None],
            wall_ms,
            monotonic_ms,
        }
    }

    #[test]
    fn another_address_and_a_sleep_are_changes() {
        let before = seen(Some("192.0.2.1"), 5_000, 100);
        assert!(!seen(Some("192.0.2.1"), 7_000, 2_100).needs_probe(&before));
        assert!(seen(Some("192.0.2.2"), 7_000, 2_100).needs_probe(&before));
        assert!(seen(Some("192.0.2.1"), 90_000, 2_100).needs_probe(&before));
        // Without a network there is nothing to probe; its return is a change.
        let offline = seen(None, 7_000, 2_100);
        assert!(!offline.needs_probe(&before));
        assert!(seen(Some("192.0.2.1"), 9_000, 4_100).needs_probe(&offline));
    }
}
