// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an observer of the simulated network sees.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Called for each event, in order. Must not call back into the network.
pub type Tap = Arc<dyn Fn(&TapEvent) + Send + Sync>;

/// One thing that a node put on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapEvent {
    /// Milliseconds since the network began.
    pub time_ms: u64,
    /// The sending node.
    pub from: Arc<str>,
    /// The receiving node.
    pub to: Arc<str>,
    /// The connection, counted from 0.
    pub link: u64,
    /// The stream on it, counted from 0; `None` for what concerns the connection as a whole.
    pub stream: Option<u64>,
    /// What it was.
    pub kind: TapKind,
    /// How often it went out: once, and once for each loss and duplication.
    pub copies: u32,
}

/// What a node put on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapKind {
    /// The handshake of a connection ended.
    Connected,
    /// Bytes of a stream, as they were written: usually one frame.
    Bytes(Bytes),
    /// The end of a stream.
    Finished,
    /// A stream was given up by its sender.
    Reset(u32),
    /// A stream was given up by its receiver.
    Stopped(u32),
    /// A connection was closed.
    Closed(u32),
}

impl TapKind {
    const fn tag(&self) -> u8 {
        match self {
            Self::Connected => 0,
            Self::Bytes(_) => 1,
            Self::Finished => 2,
            Self::Reset(_) => 3,
            Self::Stopped(_) => 4,
            Self::Closed(_) => 5,
        }
    }
}

/// A running SHA-256 over everything that a tap has seen: two runs that give the same value did
/// the same at the same times.
#[derive(Debug, Clone, Default)]
pub struct EventLog {
    hash: Sha256,
    events: u64,
}

impl EventLog {
    /// Takes one event in.
    pub fn record(&mut self, event: &TapEvent) {
        let mut field = |bytes: &[u8]| {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.hash.update(length.to_be_bytes());
            self.hash.update(bytes);
        };
        field(&event.time_ms.to_be_bytes());
        field(event.from.as_bytes());
        field(event.to.as_bytes());
        field(&event.link.to_be_bytes());
        field(&event.stream.map_or(u64::MAX, |stream| stream).to_be_bytes());
        field(&[event.kind.tag()]);
        field(&event.copies.to_be_bytes());
        match &event.kind {
            TapKind::Connected | TapKind::Finished => field(&[]),
            TapKind::Bytes(bytes) => field(bytes),
            TapKind::Reset(code) | TapKind::Stopped(code) | TapKind::Closed(code) => {
                field(&code.to_be_bytes());
            }
        }
        self.events = self.events.saturating_add(1);
    }

    /// How many events were taken in.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}
