// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Congestion control for packets of one size.
//!
//! A padded acknowledgement counts as bytes in flight (RFC 9002, section 2), and is itself never
//! acknowledged before this side sends something that asks for it. A side that has received much
//! and sent nothing else could fill its window with acknowledgements and never send again. Two
//! things keep it from that: its receive windows are small, so that it soon has a window update to
//! send, and its congestion window does not fall below what it acknowledges between two updates.

use core::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// What a client receives on one stream, and on one connection, without having read it, in bytes.
/// A window update goes out for each eighth.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 128 * 1024;
/// The least congestion window, in bytes: twice the usual initial one (RFC 9002, section 7.2).
const WINDOW_MIN: u64 = 24_000;

/// Makes the controllers of padded connections.
#[derive(Debug, Default)]
pub(super) struct PaddedConfig(Arc<CubicConfig>);

impl ControllerFactory for PaddedConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Padded(Arc::clone(&self.0).build(now, current_mtu)))
    }
}

/// The usual controller with a floor.
struct Padded(Box<dyn Controller>);

impl Controller for Padded {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.0.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.0.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.0
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.0
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.0.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.0.window().max(WINDOW_MIN)
    }

    fn metrics(&self) -> ControllerMetrics {
        self.0.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self(self.0.clone_box()))
    }

    fn initial_window(&self) -> u64 {
        self.0.initial_window().max(WINDOW_MIN)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
