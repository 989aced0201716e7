// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tasks around the driver tell it. One queue, so that their order is one order.

use tokio::sync::{mpsc, oneshot};
use waxwing_engine::{LinkFailure, RequestFailure, RequestId};
use waxwing_proto::v1;
use waxwing_transport::Connection;

/// The queue's length: the tasks wait while it is full, and so does the server behind them.
const INBOUND_MAX: usize = 256;

/// Tells the connections of the account plane apart: what comes late from an old one is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(pub(super) u64);

/// What a task tells the driver.
pub(super) enum Inbound {
    /// A handshake of the account plane has ended: which call goes out with its end?
    Opening {
        generation: Generation,
        exporter: [u8; 32],
        first: oneshot::Sender<Option<v1::request::Call>>,
    },
    /// The connection of the account plane is up.
    LinkUp(Generation, Box<Connection>),
    /// It could not be made, or is gone.
    LinkDown(Generation, LinkFailure),
    /// A frame of the delivery stream.
    Delivery(Generation, v1::delivery::Event),
    /// The answer to a call.
    Response {
        /// The call.
        id: RequestId,
        /// The answer, or why there is none.
        outcome: Result<v1::response::Result, RequestFailure>,
    },
}

pub(super) fn queue() -> (mpsc::Sender<Inbound>, mpsc::Receiver<Inbound>) {
    mpsc::channel(INBOUND_MAX)
}
