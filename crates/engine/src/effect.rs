// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the engine wants done. The host carries effects out in the order in which it polls them.

use waxwing_proto::{KeyPin, ServerAddress, v1};

use crate::command::{Answer, CommandError, CommandId};
use crate::notice::Notice;
use crate::row::{Batch, BatchId, RowRange};

/// Numbers the calls of one run of the engine, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Numbers the reads of one run of the engine, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// Which of the two kinds of connection carries a call. They share nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plane {
    /// The connection to one's own server, about oneself.
    Account,
    /// A connection without any identity, for every call that names somebody else.
    Anonymous,
}

/// One thing for the host to do.
///
/// Write before send: where `after` names a batch, the effect must not be carried out before that
/// batch is durable. Everything that lets a ciphertext or an acknowledgement out names one.
#[non_exhaustive]
pub enum Effect {
    /// Make a batch durable, then report [`crate::Event::Committed`]. Batches are applied in order.
    Commit(Batch),
    /// Read rows, then report [`crate::Event::Loaded`]. The read sees every commit that was polled
    /// before it.
    Load {
        /// Comes back with the rows.
        query: QueryId,
        /// Which rows.
        range: RowRange,
    },
    /// Keep a connection of the account plane to this server, with reconnects, and report
    /// [`crate::Event::LinkUp`] and [`crate::Event::LinkDown`].
    Connect(ServerAddress),
    /// The server of the account plane's connection is known by these keys from now on: attempts that
    /// begin later take them, and what is up stays up.
    KeyPins(Vec<KeyPin>),
    /// Give up the connection of the account plane.
    Disconnect,
    /// Make a call, then report [`crate::Event::Response`]. On the account plane the call goes over
    /// the connection that is up, and fails at once when none is.
    Request {
        /// Comes back with the answer.
        id: RequestId,
        /// The batch that must be durable first.
        after: Option<BatchId>,
        /// The kind of connection.
        plane: Plane,
        /// The server.
        server: ServerAddress,
        /// The call.
        call: v1::request::Call,
        /// How long the engine waits for the answer.
        deadline_ms: u32,
    },
    /// Open the delivery stream on the authenticated connection; frames come as
    /// [`crate::Event::Delivery`].
    Subscribe,
    /// Tell the server which envelopes are done with.
    Acknowledge {
        /// The batch that must be durable first.
        after: Option<BatchId>,
        /// Everything that was handed over on this connection up to this position; 0 for none.
        up_to: u64,
        /// Positions beside these.
        positions: Vec<u64>,
    },
    /// The end of one command.
    Answer {
        /// The command.
        command: CommandId,
        /// The batch that must be durable first.
        after: Option<BatchId>,
        /// What it came to.
        result: Result<Answer, CommandError>,
    },
    /// Something that everybody who watches the profile learns of.
    Notify {
        /// The batch that must be durable first.
        after: Option<BatchId>,
        /// What happened.
        notice: Notice,
    },
}
