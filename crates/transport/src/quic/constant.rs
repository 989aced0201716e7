// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets of one length, so that an observer does not see how long the messages are.
//!
//! quinn pads packets to one length (`pad_to_mtu`), and counts padded packets in what the congestion
//! controller allows (RFC 9002, section 2). A packet that holds nothing but an acknowledgement is never
//! acknowledged by itself, so on a side that mostly receives they add up until nothing else may be sent;
//! and as nothing that was sent asks for an acknowledgement, no timer ends it: the connection stands
//! still for ever. Here such packets are told apart where they are encrypted, and the congestion window
//! is larger by what they take: they count as if they had not been padded.

mod keys;

use core::any::Any;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn::{ClientConfig, ServerConfig, TransportConfig};
use quinn_proto::RttEstimator;

use self::keys::{ClientKeys, ServerKeys};
use super::settings;
use super::windows::Windows;
use crate::error::LinkError;

/// Such packets that quinn remembers after the last one of another kind.
const REMEMBERED_MAX: usize = 1001;

/// The numbers of the packets of one connection that hold an acknowledgement and nothing else, and of
/// which it is not known whether they arrived.
#[derive(Debug, Default)]
struct Bare(Mutex<VecDeque<u64>>);

impl Bare {
    fn numbers(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, number: u64) {
        let mut numbers = self.numbers();
        if numbers.len() >= REMEMBERED_MAX {
            numbers.pop_front();
        }
        numbers.push_back(number);
    }

    /// The peer has this one: what was sent before has arrived or is lost.
    fn acknowledged(&self, largest: u64) {
        let mut numbers = self.numbers();
        while numbers.front().is_some_and(|number| *number <= largest) {
            numbers.pop_front();
        }
    }

    fn count(&self) -> u64 {
        u64::try_from(self.numbers().len()).unwrap_or(u64::MAX)
    }
}

/// The congestion control that quinn has by default, with room for bare acknowledgements.
#[derive(Debug)]
struct Roomy(Arc<Bare>);

impl ControllerFactory for Roomy {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(RoomyController {
            inner: Arc::new(CubicConfig::default()).build(now, current_mtu),
            bare: Arc::clone(&self.0),
            packet_size: current_mtu,
        })
    }
}

struct RoomyController {
    inner: Box<dyn Controller>,
    bare: Arc<Bare>,
    packet_size: u16,
}

impl Controller for RoomyController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        if let Some(largest) = largest_packet_num_acked {
            self.bare.acknowledged(largest);
        }
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.packet_size = new_mtu;
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let padded = self
            .bare
            .count()
            .saturating_mul(u64::from(self.packet_size));
        self.inner.window().saturating_add(padded)
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            bare: Arc::clone(&self.bare),
            packet_size: self.packet_size,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Lets every packet have the length that each path carries (RFC 9000, section 14): what fits is no sign
/// of the path either.
fn pad(transport: &mut TransportConfig, bare: &Arc<Bare>) {
    transport
        .pad_to_mtu(true)
        .mtu_discovery_config(None)
        // All that goes out at once has the length of the first, which may be one of the handshake's.
        .enable_segmentation_offload(false)
        .congestion_controller_factory(Arc::new(Roomy(Arc::clone(bare))));
}

/// A client's settings for one connection.
pub(super) fn client(
    tls: Arc<dyn quinn::crypto::ClientConfig>,
    keep_alive: Option<Duration>,
) -> Result<ClientConfig, LinkError> {
    // TRN-86.
    let bare = Arc::default();
    let mut transport = settings::client_transport(keep_alive)?;
    pad(&mut transport, &bare);
    let tls = ClientKeys::new(tls, bare);
    Ok(settings::client(Arc::new(tls), Arc::new(transport)))
}

/// A server's settings for one connection, made of those for all.
pub(super) fn server(all: &ServerConfig) -> Result<Arc<ServerConfig>, LinkError> {
    let bare = Arc::default();
    let mut transport = settings::server_transport(Windows::SMALL)?;
    pad(&mut transport, &bare);
    let mut config = all.clone();
    config.transport_config(Arc::new(transport));
    config.crypto = Arc::new(ServerKeys::new(Arc::clone(&all.crypto), bare));
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_what_is_not_known_to_have_arrived() {
        let bare = Arc::new(Bare::default());
        let factory = Arc::new(Roomy(Arc::clone(&bare)));
        let now = tokio::time::Instant::now().into_std();
        let mut controller = factory.build(now, 1200);
        let window = controller.window();
        for number in [3, 5, 6] {
            bare.sent(number);
        }
        assert_eq!(controller.window(), window + 3 * 1200);
        assert_eq!(controller.clone_box().window(), window + 3 * 1200);
        controller.on_end_acks(now, 0, false, Some(5));
        assert_eq!(controller.window(), window + 1200);
        controller.on_end_acks(now, 0, false, None);
        assert_eq!(controller.window(), window + 1200);
        controller.on_end_acks(now, 0, false, Some(9));
        assert_eq!(controller.window(), window);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let bare = Bare::default();
        for number in 0..5_000 {
            bare.sent(number);
        }
        assert_eq!(bare.count(), 1001);
        bare.acknowledged(4_998);
        assert_eq!(bare.count(), 1);
    }
}
