// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happened outside the engine.

use waxwing_proto::{KeyPin, limits, v1};

use crate::command::{Command, CommandId};
use crate::effect::{QueryId, RequestId};
use crate::row::{BatchId, Row};

/// One thing that happened.
#[non_exhaustive]
pub enum Event {
    /// A batch is durable.
    Committed(BatchId),
    /// The rows that the engine was opened with are older than what was durable once. It reads, and
    /// sends nothing any more.
    StoreIsBehind,
    /// Rows that were asked for.
    Loaded {
        /// The read.
        query: QueryId,
        /// The rows, in the order of the range.
        rows: Vec<Row>,
    },
    /// The connection of the account plane is up, Hello included; nobody is authenticated on it.
    LinkUp {
        /// The TLS exporter value that an authentication signs.
        exporter: [u8; 32],
        /// The server's clock, in milliseconds since the Unix epoch.
        server_time_ms: u64,
        /// Of the keys that the server is known by, the one that it proved in this connection's
        /// handshake; `None` where it proved none, as on a resumed connection.
        server_key: Option<KeyPin>,
    },
    /// The connection of the account plane is gone; calls in flight on it fail separately.
    LinkDown(LinkFailure),
    /// The answer to a call.
    Response {
        /// The call.
        id: RequestId,
        /// The answer, or why there is none.
        outcome: Result<v1::response::Result, RequestFailure>,
    },
    /// A frame of the delivery stream.
    Delivery(v1::delivery::Event),
    /// Somebody who uses the profile wants something.
    Command {
        /// Comes back with the answer.
        id: CommandId,
        /// What.
        command: Command,
    },
}

/// Why a connection could not be made or was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkFailure {
    /// Nobody answers, the network is down, or the connection broke.
    Unreachable,
    /// The server showed a key that is not pinned. Nothing was sent to it.
    WrongServerKey,
    /// No common protocol version: this client is too old.
    ClientTooOld,
    /// No common protocol version: the server is too old.
    ServerTooOld,
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFailure {
    /// There was no connection, or it was lost before the answer. The call may have taken effect.
    Link(LinkFailure),
    /// No answer in time. The call may have taken effect.
    Timeout,
    /// The server refused.
    Refused {
        /// Why.
        code: v1::ErrorCode,
        /// When a retry can succeed; 0 where no time is known.
        retry_after_ms: u32,
    },
    /// The answer breaks the protocol.
    Malformed,
}

impl RequestFailure {
    /// What a server says with its numbers in bounds: none makes a client wait for weeks.
    pub(crate) fn within_bounds(self) -> Self {
        match self {
            Self::Refused {
                code,
                retry_after_ms,
            } => Self::Refused {
                code,
                retry_after_ms: retry_after_ms.min(limits::RETRY_AFTER_MS_MAX),
            },
            other => other,
        }
    }
}
