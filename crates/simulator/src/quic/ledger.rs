// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server: a ledger of the messages that it has accepted.

use std::sync::{Arc, Mutex, PoisonError};

use waxwing_proto::v1;
use waxwing_transport::quic::QuicListener;
use waxwing_transport::{Clock, Link, Listener as _, serve_hello};

/// A message that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) number: u32,
    /// How often it came: an application that calls again makes it come again, the transport never.
    pub(super) came: u32,
}

/// What the server has accepted, in the order in which it came first. It is what a disk would be: it
/// outlives a crash.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Vec<Accepted>>>);

impl Ledger {
    fn accept(&self, number: u32) {
        let mut accepted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match accepted.iter_mut().find(|known| known.number == number) {
            Some(known) => known.came = known.came.saturating_add(1),
            None => accepted.push(Accepted { number, came: 1 }),
        }
    }

    pub(super) fn accepted(&self) -> Vec<Accepted> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Serves every connection until the task is dropped.
    pub(super) async fn serve(self, listener: Arc<QuicListener>, clock: Arc<dyn Clock>) {
        let mut links = tokio::task::JoinSet::new();
        while let Some(link) = listener.accept().await {
            links.spawn(self.clone().serve_link(link, Arc::clone(&clock)));
        }
    }

    async fn serve_link(self, link: Link, clock: Arc<dyn Clock>) {
        let Ok(connection) = serve_hello(link, clock).await else {
            return;
        };
        let mut calls = tokio::task::JoinSet::new();
        while let Ok(pending) = connection.accept().await {
            let ledger = self.clone();
            calls.spawn(async move {
                let Ok(call) = pending.read().await else {
                    return;
                };
                // Whether the answer arrives is for the client to find out.
                let _ = call.answer_with(|request| ledger.answer(request)).await;
            });
        }
    }

    async fn answer(self, request: v1::request::Call) -> Result<v1::response::Result, v1::Error> {
        let malformed = v1::Error {
            code: v1::ErrorCode::Malformed.into(),
            retry_after_ms: 0,
        };
        let v1::request::Call::PutRendezvous(put) = request else {
            return Err(malformed);
        };
        self.accept(put.slot);
        Ok(v1::response::Result::PutRendezvous(
            v1::PutRendezvousResponse {},
        ))
    }
}

/// The call that brings message `number`.
pub(super) fn message(number: u32, size: usize) -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            slot: number,
            value: vec![0x5a; size].into(),
            ..v1::PutRendezvousRequest::default()
        })),
    }
}
