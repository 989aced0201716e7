// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls on a link: a greeting, unary calls, and long-lived streams for deliveries and for sendings.
//!
//! The first bidirectional stream carries one `Hello` each way; the client need not wait for the
//! server's before it makes its first call. Every later stream is one call:
//! one `Request` frame, then one `Response` frame; only `subscribe` goes on with `Delivery` frames
//! one way and `Acknowledge` frames the other, and `open_sending` with `Sending` and `Sent` frames. A call is cancelled by dropping its future.

mod client;
mod incoming;
mod opening;
mod sending;
mod server;
mod subscription;

pub use client::{Connection, bounded_deadline_ms};
pub use incoming::{IncomingCall, PendingCall, Responder};
pub use opening::FirstCall;
pub use server::{ServerConnection, serve_hello};
pub use subscription::{
    AcknowledgeSink, AcknowledgeStream, DeliverySink, DeliveryStream, FrameSink, FrameSource,
    SendingSource, SentSink,
};

use bytes::Bytes;
use waxwing_proto::{limits, v1};

use crate::error::{CallError, StreamError, Upgrade};
use crate::framing::encode_frame;

/// The priorities of streams: the greeting, then messages before receipts, both before other calls,
/// bulk last. A stream of lower priority is sent when those of higher priority have nothing to send.
const PRIORITY_GREETING: i32 = 3;
const PRIORITY_MESSAGES: i32 = 2;
const PRIORITY_RECEIPTS: i32 = 1;
/// What a stream has by itself.
const PRIORITY_CALLS: i32 = 0;
const PRIORITY_BULK: i32 = -1;

/// What one side says about itself in its `Hello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The lowest protocol version that the side speaks, from 1.
    pub protocol_min: u32,
    /// The highest protocol version that the side speaks.
    pub protocol_max: u32,
    /// Optional behaviours that the side understands. Unknown bits are ignored.
    pub features: u64,
}

impl Greeting {
    /// What this version of the crate speaks.
    pub const CURRENT: Self = Self {
        protocol_min: 1,
        protocol_max: 1,
        features: 0,
    };

    const fn to_wire(self, server_time_ms: u64) -> v1::Hello {
        v1::Hello {
            protocol_min: self.protocol_min,
            protocol_max: self.protocol_max,
            features: self.features,
            server_time_ms,
        }
    }

    /// The frame in which a client says it.
    fn to_frame(self) -> Result<Bytes, StreamError> {
        encode_frame(&self.to_wire(0), limits::CONTROL_FRAME_SIZE_MAX)
    }

    /// Reads the peer's message. A range that is empty or begins at 0 is no greeting.
    const fn from_wire(hello: &v1::Hello) -> Result<Self, CallError> {
        if hello.protocol_min == 0 || hello.protocol_min > hello.protocol_max {
            return Err(CallError::Protocol(StreamError::Malformed));
        }
        Ok(Self {
            protocol_min: hello.protocol_min,
            protocol_max: hello.protocol_max,
            features: hello.features,
        })
    }
}

/// The highest protocol version that both sides speak, or who has to be upgraded.
///
/// # Errors
/// [`Upgrade`]: the side whose highest version is below the other's lowest.
pub const fn negotiate(client: Greeting, server: Greeting) -> Result<u32, Upgrade> {
    // TRN-11.
    if client.protocol_max < server.protocol_min {
        Err(Upgrade::Client)
    } else if server.protocol_max < client.protocol_min {
        Err(Upgrade::Server)
    } else if client.protocol_max < server.protocol_max {
        Ok(client.protocol_max)
    } else {
        Ok(server.protocol_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn speaks(protocol_min: u32, protocol_max: u32) -> Greeting {
        Greeting {
            protocol_min,
            protocol_max,
            features: 0,
        }
    }

    /// [TRN-11].
    #[test]
    fn the_highest_common_version_is_taken() {
        assert_eq!(negotiate(speaks(1, 3), speaks(2, 5)), Ok(3));
        assert_eq!(negotiate(speaks(2, 5), speaks(1, 3)), Ok(3));
        assert_eq!(negotiate(speaks(1, 1), speaks(1, 1)), Ok(1));
    }

    /// [TRN-11].
    #[test]
    fn the_older_side_has_to_be_upgraded() {
        assert_eq!(negotiate(speaks(1, 1), speaks(2, 3)), Err(Upgrade::Client));
        assert_eq!(negotiate(speaks(2, 3), speaks(1, 1)), Err(Upgrade::Server));
    }

    /// [TRN-10].
    #[test]
    fn an_impossible_range_is_refused() {
        for (min, max) in [(0, 0), (0, 1), (2, 1)] {
            assert!(Greeting::from_wire(&speaks(min, max).to_wire(0)).is_err());
        }
    }
}
