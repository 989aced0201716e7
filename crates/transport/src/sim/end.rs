// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One end of a simulated link.

use core::future::poll_fn;
use core::task::Poll;
use std::net::SocketAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use waxwing_proto::{KeyPin, limits};

use super::halves::{Alarm, Place, SimRecv, SimSend, close_reason};
use super::network::Shared;
use super::world::{HELD, Side};
use crate::close::{CloseCode, CloseReason};
use crate::error::LinkError;
use crate::link::{KeyExchange, LinkBackend, Transport};
use crate::seams::BoxFuture;
use crate::stream::{RecvStream, SendStream};

/// One end. When the last handle to it is gone, it closes.
pub(super) struct SimEnd {
    pub(super) shared: Arc<Shared>,
    pub(super) link: u64,
    pub(super) side: Side,
}

impl Drop for SimEnd {
    fn drop(&mut self) {
        let (link, side) = (self.link, self.side);
        self.shared
            .step(|world, now_ms| world.drop_end(now_ms, link, side));
    }
}

/// What the layers above hold of one end.
pub(super) struct SimLink {
    pub(super) end: Arc<SimEnd>,
    /// What both ends and nobody else know.
    pub(super) secret: [u8; 32],
    /// The key that the server showed; `None` at its own end.
    pub(super) server_key: Option<KeyPin>,
    pub(super) remote: SocketAddr,
}

impl SimLink {
    fn streams(&self, stream: u64) -> (SendStream, RecvStream) {
        let place = || Place {
            end: Arc::clone(&self.end),
            stream,
        };
        let recv = SimRecv {
            place: place(),
            alarm: Alarm::default(),
        };
        (SendStream::new(SimSend(place())), RecvStream::new(recv))
    }
}

/// What a look for a stream gave.
enum Look {
    Found(u64),
    ArrivesAt(u64),
    Closed(CloseReason),
}

impl LinkBackend for SimLink {
    fn open(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>> {
        let (link, side) = (self.end.link, self.end.side);
        let streams_max = match side {
            Side::Client => usize::try_from(limits::STREAMS_PER_CONNECTION_MAX).unwrap_or(0),
            // As in QUIC here: clients allow servers none.
            Side::Server => 0,
        };
        Box::pin(poll_fn(move |context| {
            let closed = close_reason(&self.end.shared, link, side);
            let opened = self.end.shared.step(|world, _| {
                if let Some(reason) = closed {
                    return Some(Err(LinkError::Closed(reason)));
                }
                let state = world.links.get_mut(&link)?;
                if state.streams.len() >= streams_max {
                    let end = state.ends.at_mut(side);
                    end.streams_changed.register(context.waker());
                    return None;
                }
                let stream = state.next_stream;
                state.next_stream = state.next_stream.saturating_add(1);
                state.streams.entry(stream).or_default();
                Some(Ok(stream))
            });
            match opened {
                Some(opened) => Poll::Ready(opened.map(|stream| self.streams(stream))),
                None => Poll::Pending,
            }
        }))
    }

    fn accept(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>> {
        let (link, side) = (self.end.link, self.end.side);
        let mut alarm = Alarm::default();
        Box::pin(poll_fn(move |context| {
            loop {
                let closed = close_reason(&self.end.shared, link, side);
                let look = self.end.shared.step(|world, now_ms| {
                    let over = Look::Closed(closed.unwrap_or(CloseReason::Fault));
                    let Some(state) = world.links.get_mut(&link) else {
                        return over;
                    };
                    if closed.is_some() {
                        return over;
                    }
                    let waiting = state
                        .streams
                        .iter_mut()
                        .filter(|(_, stream)| !stream.accepted);
                    let mut lowest = None;
                    let mut at_ms = HELD;
                    for (&id, stream) in waiting {
                        let flights = &stream.sent_by.at(side.other()).flights;
                        let arrives_ms = flights.front().map_or(HELD, |flight| flight.at_ms);
                        at_ms = at_ms.min(arrives_ms);
                        lowest.get_or_insert((id, stream));
                    }
                    match lowest {
                        // One that has arrived opens those below it too (RFC 9000, section 2.1).
                        Some((id, stream)) if at_ms <= now_ms => {
                            stream.accepted = true;
                            Look::Found(id)
                        }
                        _ => {
                            let end = state.ends.at_mut(side);
                            end.streams_changed.register(context.waker());
                            Look::ArrivesAt(at_ms)
                        }
                    }
                });
                match look {
                    Look::Found(stream) => return Poll::Ready(Ok(self.streams(stream))),
                    Look::Closed(reason) => return Poll::Ready(Err(LinkError::Closed(reason))),
                    Look::ArrivesAt(at_ms) => {
                        let shared = &self.end.shared;
                        if alarm.poll_until(context, shared, at_ms).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
            }
        }))
    }

    fn exporter(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], LinkError> {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(u64::try_from(label.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(label);
        hash.update(context);
        Ok(hash.finalize().into())
    }

    fn remote_address(&self) -> SocketAddr {
        self.remote
    }

    fn server_key(&self) -> Option<KeyPin> {
        self.server_key
    }

    fn transport(&self) -> Transport {
        Transport::Simulated
    }

    fn negotiated_group(&self) -> KeyExchange {
        KeyExchange::Simulated
    }

    fn close(&self, code: CloseCode, retry_after_ms: Option<u32>) {
        let (link, side) = (self.end.link, self.end.side);
        self.end
            .shared
            .step(|world, now_ms| world.close(now_ms, link, side, code, retry_after_ms));
    }

    fn close_reason(&self) -> Option<CloseReason> {
        close_reason(&self.end.shared, self.end.link, self.end.side)
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        let (link, side) = (self.end.link, self.end.side);
        let watched = self.end.shared.step(|world, _| {
            let state = world.links.get(&link)?;
            Some(state.ends.at(side).closed.subscribe())
        });
        Box::pin(async move {
            let gone = CloseReason::Local(CloseCode::Done);
            let Some(mut watched) = watched else {
                return gone;
            };
            match watched.wait_for(Option::is_some).await {
                Ok(reason) => reason.unwrap_or(gone),
                Err(_) => gone,
            }
        })
    }
}
