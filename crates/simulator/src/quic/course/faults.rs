// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens to the network and the server, and how soon the message after it has to be through.

use std::sync::Arc;

use super::super::bounds::{self, Event};
use super::{CLIENT, Course, SERVER, SIZE_MAX, SMALL_SIZE_MAX, print_line};
use crate::dice::Dice;

/// The longest outage.
const OUTAGE_MS_MAX: u64 = 600_000;
/// How long a client may be without a server after an outage of which nobody tells it and through which nothing
/// waits, besides three round trips.
const UNTOLD_MS: u64 = 30_000;

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Outage,
    ReboundOutage { with_address: bool },
    ToldOutage,
    UntoldOutage,
    Rebinding { with_address: bool },
    Move,
    Crash,
}

impl Fault {
    pub(super) fn drawn(dice: &mut Dice) -> Self {
        match dice.below(10) {
            0 | 1 => Self::Outage,
            2 => Self::ReboundOutage {
                with_address: dice.chance(50),
            },
            3 => Self::ToldOutage,
            4 => Self::UntoldOutage,
            5 => Self::Rebinding {
                with_address: false,
            },
            6 => Self::Rebinding { with_address: true },
            7 | 8 => Self::Move,
            _ => Self::Crash,
        }
    }
}

impl Course {
    /// One fault, and the message that follows it.
    pub(super) async fn suffer(&mut self, fault: Fault) -> anyhow::Result<()> {
        if self.is_traced {
            print_line(&format!("{} ms: {fault:?}", self.network.now_ms()));
        }
        let (event, late_ms) = match fault {
            Fault::Outage => {
                let healed_ms = self.outage(None)?;
                (Event::Outage, self.send().await.saturating_sub(healed_ms))
            }
            Fault::ReboundOutage { with_address } => {
                let healed_ms = self.outage(Some(with_address))?;
                let late_ms = self.send().await.saturating_sub(healed_ms);
                (Event::ReboundOutage, late_ms)
            }
            Fault::ToldOutage => {
                let healed_ms = self.outage(None)?;
                self.clock.sleep_until(healed_ms).await;
                self.signals.network_changed();
                // That a message waits is not said: it is the host's word that brings the connection back.
                let sent_ms = self.send_untold(SIZE_MAX).await;
                let late_ms = sent_ms.saturating_sub(healed_ms);
                (Event::ToldOutage, late_ms)
            }
            Fault::UntoldOutage => {
                let healed_ms = self.outage(None)?;
                let round_trips_ms = bounds::round_trip_ms(&self.path).saturating_mul(3);
                let back_ms = healed_ms
                    .saturating_add(UNTOLD_MS)
                    .saturating_add(round_trips_ms);
                self.clock.sleep_until(back_ms).await;
                let sent_ms = if self.is_lossy() {
                    self.send().await
                } else {
                    // The congestion window is small after an outage, which is no matter here.
                    self.send_untold(SMALL_SIZE_MAX).await
                };
                (Event::UntoldOutage, sent_ms.saturating_sub(back_ms))
            }
            Fault::Rebinding { with_address } => {
                self.rebind(with_address);
                let rebound_ms = self.clock.monotonic_ms();
                let late_ms = self.send().await.saturating_sub(rebound_ms);
                (Event::Rebinding, late_ms)
            }
            Fault::Move => {
                self.network.move_host(CLIENT);
                let moved_ms = self.clock.monotonic_ms();
                self.signals.network_changed();
                (Event::Move, self.send().await.saturating_sub(moved_ms))
            }
            Fault::Crash => {
                self.network.crash(SERVER);
                self.server.shutdown().await;
                let down_ms = self.dice.between(100, 20_000);
                let begun_ms = self.clock.monotonic_ms().saturating_add(down_ms);
                self.clock.sleep(down_ms).await;
                self.start_server()?;
                (Event::Restart, self.send().await.saturating_sub(begun_ms))
            }
        };
        self.bound(event, late_ms);
        Ok(())
    }

    /// Cuts the path, and opens it again at the time that this gives. In between the address translator
    /// forgets the client, if that is wanted.
    fn outage(&mut self, rebinding: Option<bool>) -> anyhow::Result<u64> {
        // As many short ones as long ones.
        let magnitude = u32::try_from(self.dice.below(10))?;
        let least_ms = 1_000_u64.saturating_mul(2_u64.saturating_pow(magnitude));
        let outage_ms = self.dice.between(least_ms, least_ms.saturating_mul(2));
        let outage_ms = outage_ms.min(OUTAGE_MS_MAX);
        let begun_ms = self.clock.monotonic_ms();
        let rebound_ms = begun_ms.saturating_add(self.dice.between(1, outage_ms));
        let healed_ms = begun_ms.saturating_add(outage_ms);
        self.network.partition_both(CLIENT, SERVER);
        let (network, clock) = (self.network.clone(), Arc::clone(&self.clock));
        tokio::spawn(async move {
            if let Some(with_address) = rebinding {
                clock.sleep_until(rebound_ms).await;
                rebind(&network, with_address);
            }
            clock.sleep_until(healed_ms).await;
            network.heal_all();
        });
        Ok(healed_ms)
    }

    fn rebind(&self, with_address: bool) {
        rebind(&self.network, with_address);
    }

    const fn is_lossy(&self) -> bool {
        self.path.loss_per_mille > 0
    }

    /// Notes how late a message was, and that it was too late.
    fn bound(&mut self, event: Event, late_ms: u64) {
        let bound_ms = event.bound_ms(&self.path);
        self.figures
            .add(event, self.is_lossy(), (late_ms, bound_ms));
        let allowed_ms = if self.is_lossy() {
            event.lossy_bound_ms(&self.path)
        } else {
            bound_ms
        };
        if late_ms > allowed_ms {
            let when = event.as_str();
            let text = format!("a message {when}: {late_ms} ms, of {allowed_ms} ms allowed");
            self.failures.push(text);
        }
    }
}

fn rebind(network: &waxwing_transport::sim::PacketNetwork, with_address: bool) {
    if with_address {
        network.rebind_nat_address(CLIENT);
    } else {
        network.rebind_nat_port(CLIENT);
    }
}
