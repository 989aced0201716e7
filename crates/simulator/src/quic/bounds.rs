// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How late a message may be, after what, on which path.
//!
//! Without loss there is one bound for each kind of event, and every message keeps it. Where packets are lost
//! no bound holds for all, but one can be computed for as many as one likes. While something waits, the
//! server is probed, or an attempt to connect begins, in each [`limits::PROBE_INTERVAL_MS`]. An interval in
//! which the packets of one such trial all arrive brings the message through; how many these are,
//! [`Event::packets`] says. So the chance that a message is not through after `n` intervals more than without
//! loss is at most that of `n` trials that fail, and the bound is what one message of [`MESSAGES`] may pass. It
//! is generous, because lost packets are also sent again within an interval; how many messages are later than
//! without loss is therefore bounded too, over all seeds together, see [`Figures::judge`].
//!
//! [`limits::PROBE_INTERVAL_MS`]: waxwing_proto::limits::PROBE_INTERVAL_MS
//! [`Figures::judge`]: super::figures::Figures::judge

use waxwing_proto::limits;
use waxwing_transport::sim::PacketSettings;

/// Timers count whole milliseconds: a step that waits for one, such as pacing, is late by a part of one,
/// and there are up to five steps in three round trips.
const RESOLUTION_MS: u64 = 5;
/// Of so many messages one may be later than the bound of a path that loses packets.
const MESSAGES: f64 = 10_000.0;

/// What makes messages late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// An outage while a message waits, from its end.
    Outage,
    /// The same, and in the middle of it the address translator forgets the client.
    ReboundOutage,
    /// An outage while nothing waits, from its end, which the host tells.
    ToldOutage,
    /// An outage while nothing waits, of which nobody tells; from the time that a client may then take.
    UntoldOutage,
    /// The address translator forgets the client, which does not know.
    Rebinding,
    /// A move to another network, which the host tells.
    Move,
    /// A server that crashed is there again.
    Restart,
}

impl Event {
    /// All of them, in the order in which they are shown.
    pub(super) const ALL: [Self; 7] = [
        Self::Outage,
        Self::ReboundOutage,
        Self::ToldOutage,
        Self::UntoldOutage,
        Self::Rebinding,
        Self::Move,
        Self::Restart,
    ];

    /// The name in what is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "after an outage",
            Self::ReboundOutage => "after an outage with another address",
            Self::ToldOutage => "after an outage that the host ends",
            Self::UntoldOutage => "30 s after an outage that nobody noticed",
            Self::Rebinding => "after another address",
            Self::Move => "after a move",
            Self::Restart => "after a server's restart",
        }
    }

    /// How late a message may be without loss: milliseconds, and round trips.
    const fn allowed(self) -> (u64, u64) {
        match self {
            Self::Outage | Self::ReboundOutage | Self::ToldOutage => {
                (limits::PROBE_INTERVAL_MS as u64, 3)
            }
            // The connection is there: a round trip, and another where the path has just been validated.
            Self::UntoldOutage => (0, 2),
            Self::Rebinding | Self::Move => (0, 3),
            // An attempt, of which a greeting that overtakes the end of the handshake is sent again.
            Self::Restart => (limits::PROBE_INTERVAL_MS as u64, 6),
        }
    }

    /// Of a hundred messages on all paths that lose packets, so many may be later than without loss. This is not
    /// computed: it is about twice what was measured.
    pub(super) const fn later_percent_max(self) -> usize {
        match self {
            Self::Outage | Self::ReboundOutage | Self::ToldOutage | Self::Restart => 5,
            // A few round trips leave no time to send anything again.
            Self::UntoldOutage | Self::Rebinding | Self::Move => 15,
        }
    }

    /// Packets that have to arrive, one after the other or together, for a trial to bring a message through.
    const fn packets(self) -> i32 {
        match self {
            // Two of a first flight, three in return, the end of the handshake with the greeting, the
            // server's, the message and its answer.
            Self::Restart => 9,
            // The probe, its acknowledgement, the message and its answer.
            _ => 4,
        }
    }

    /// The bound that every message keeps on a path that loses nothing.
    pub(super) fn bound_ms(self, path: &PacketSettings) -> u64 {
        let (allowed_ms, round_trips) = self.allowed();
        allowed_ms
            .saturating_add(round_trip_ms(path).saturating_mul(round_trips))
            .saturating_add(RESOLUTION_MS)
    }

    /// The bound on a path that loses packets: see the module.
    pub(super) fn lossy_bound_ms(self, path: &PacketSettings) -> u64 {
        let is_kept = (1.0 - share(path.loss_per_mille)) * (1.0 - share(path.corrupt_per_mille));
        let fails = 1.0 - is_kept.powi(self.packets());
        let mut chance = 1.0;
        let mut late_ms = self.bound_ms(path);
        while chance > 1.0 / MESSAGES {
            chance *= fails;
            late_ms = late_ms.saturating_add(u64::from(limits::PROBE_INTERVAL_MS));
        }
        late_ms
    }
}

/// The longest time there and back, those packets included that are late on their way.
pub(super) fn round_trip_ms(path: &PacketSettings) -> u64 {
    let times = if path.reorder_per_mille > 0 { 5 } else { 1 };
    let one_way_ms = path.delay_ms.saturating_mul(times);
    one_way_ms.saturating_add(path.jitter_ms).saturating_mul(2)
}

fn share(per_mille: u32) -> f64 {
    f64::from(per_mille) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(loss_per_mille: u32) -> PacketSettings {
        PacketSettings {
            delay_ms: 40,
            jitter_ms: 10,
            loss_per_mille,
            reorder_per_mille: 0,
            corrupt_per_mille: 0,
            ..PacketSettings::default()
        }
    }

    #[test]
    fn without_loss_the_bounds_are_those_of_the_specification() {
        assert_eq!(Event::Outage.bound_ms(&path(0)), 2_000 + 3 * 100 + 5);
        assert_eq!(Event::Move.bound_ms(&path(0)), 3 * 100 + 5);
    }

    #[test]
    fn each_lost_trial_costs_an_interval() {
        // 1 % of packets lost: 3.9 % of trials fail, and three in a row are one of 16,500.
        let bound_ms = Event::Outage.bound_ms(&path(10));
        assert_eq!(
            Event::Outage.lossy_bound_ms(&path(10)),
            bound_ms + 3 * 2_000
        );
        // 30 %: three of four fail, and 34 in a row are one of 11,000.
        let bound_ms = Event::Outage.bound_ms(&path(300));
        assert_eq!(
            Event::Outage.lossy_bound_ms(&path(300)),
            bound_ms + 34 * 2_000
        );
    }
}
