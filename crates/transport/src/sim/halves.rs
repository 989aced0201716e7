// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two halves of a simulated stream.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Sleep;

use super::end::SimEnd;
use super::network::Shared;
use super::world::{HELD, Piece, Side};
use crate::close::{CloseCode, CloseReason, StreamCode};
use crate::error::StreamError;
use crate::seams::BoxFuture;
use crate::stream::{RecvHalf, SendHalf};

/// What a sender may have on its way on one stream, in bytes.
const STREAM_WINDOW: usize = 128 * 1024;

/// The next moment at which to look again.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Wakes the task at `at_ms`; ready when that has come. Never for what is held back.
    pub(super) fn poll_until(
        &mut self,
        context: &mut Context<'_>,
        shared: &Shared,
        at_ms: u64,
    ) -> Poll<()> {
        let Some(at) = shared.instant(at_ms).filter(|_| at_ms != HELD) else {
            self.0 = None;
            return Poll::Pending;
        };
        if self.0.as_ref().is_none_or(|sleep| sleep.deadline() != at) {
            self.0 = Some(Box::pin(tokio::time::sleep_until(at)));
        }
        match self.0.as_mut() {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// Names one half and keeps its link open.
pub(super) struct Place {
    pub(super) end: Arc<SimEnd>,
    pub(super) stream: u64,
}

pub(super) struct SimSend(pub(super) Place);

pub(super) struct SimRecv {
    pub(super) place: Place,
    pub(super) alarm: Alarm,
}

/// The reason why one end is over, as far as the world still knows it.
pub(super) fn close_reason(shared: &Arc<Shared>, link: u64, side: Side) -> Option<CloseReason> {
    shared.step(|world, _| match world.links.get(&link) {
        Some(state) => state.ends.at(side).close_reason(),
        None => Some(CloseReason::Local(CloseCode::Done)),
    })
}

impl SendHalf for SimSend {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        let SimEnd { shared, link, side } = &*self.0.end;
        let (link, side, stream) = (*link, *side, self.0.stream);
        if let Some(reason) = close_reason(shared, link, side) {
            return Poll::Ready(Err(StreamError::Closed(reason)));
        }
        shared.step(|world, now_ms| {
            let Some(direction) = world.direction(link, stream, side) else {
                return Poll::Ready(Err(StreamError::Finished));
            };
            if let Some(code) = direction.stop {
                return Poll::Ready(Err(StreamError::Stopped(code)));
            }
            if direction.sender_done {
                return Poll::Ready(Err(StreamError::Finished));
            }
            let room = STREAM_WINDOW.saturating_sub(direction.queued_bytes);
            if room == 0 {
                direction.writer.register(context.waker());
                return Poll::Pending;
            }
            let piece = bytes.split_to(room.min(bytes.len()));
            world.send(now_ms, link, stream, side, Piece::Bytes(piece));
            Poll::Ready(Ok(()))
        })
    }

    fn finish(&mut self) {
        let SimEnd { shared, link, side } = &*self.0.end;
        let stream = self.0.stream;
        shared.step(|world, now_ms| {
            if let Some(direction) = world.direction(*link, stream, *side)
                && !direction.sender_done
            {
                direction.sender_done = true;
                world.send(now_ms, *link, stream, *side, Piece::End);
                world.retire(*link, stream);
            }
        });
    }

    fn reset(&mut self, code: StreamCode) {
        let SimEnd { shared, link, side } = &*self.0.end;
        let stream = self.0.stream;
        shared.step(|world, now_ms| {
            if let Some(direction) = world.direction(*link, stream, *side)
                && !direction.receiver_done
            {
                direction.sender_done = true;
                direction.flights.retain(|flight| flight.at_ms <= now_ms);
                direction.queued_bytes = 0;
                world.send(now_ms, *link, stream, *side, Piece::Reset(code));
            } else if let Some(direction) = world.direction(*link, stream, *side) {
                direction.sender_done = true;
            }
            world.retire(*link, stream);
        });
    }

    fn stopped(&self) -> BoxFuture<'static, StreamError> {
        let SimEnd { shared, link, side } = &*self.0.end;
        let (shared, link, side) = (Arc::clone(shared), *link, *side);
        let stream = self.0.stream;
        Box::pin(poll_fn(move |context| {
            if let Some(reason) = close_reason(&shared, link, side) {
                return Poll::Ready(StreamError::Closed(reason));
            }
            shared.step(|world, _| match world.direction(link, stream, side) {
                None => Poll::Ready(StreamError::Finished),
                Some(direction) => match direction.stop {
                    Some(code) => Poll::Ready(StreamError::Stopped(code)),
                    None => {
                        direction.writer.register(context.waker());
                        Poll::Pending
                    }
                },
            })
        }))
    }

    /// Bandwidth is not limited, so that nothing has to wait for anything else.
    fn set_priority(&self, _priority: i32) {}
}

/// What a look at the next piece gave.
enum Look {
    Found(Result<Option<Bytes>, StreamError>),
    ArrivesAt(u64),
}

impl RecvHalf for SimRecv {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        size_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let SimEnd { shared, link, side } = &*self.place.end;
        let (link, side, stream) = (*link, *side, self.place.stream);
        loop {
            let closed = close_reason(shared, link, side);
            let look = shared.step(|world, now_ms| {
                let over = match closed {
                    Some(reason) => StreamError::Closed(reason),
                    None => StreamError::Finished,
                };
                let Some(direction) = world.direction(link, stream, side.other()) else {
                    return Look::Found(Err(over));
                };
                let at_ms = direction
                    .flights
                    .front()
                    .map_or(HELD, |flight| flight.at_ms);
                if at_ms > now_ms {
                    if closed.is_some() {
                        return Look::Found(Err(over));
                    }
                    direction.reader.register(context.waker());
                    return Look::ArrivesAt(at_ms);
                }
                let Some(mut flight) = direction.flights.pop_front() else {
                    return Look::ArrivesAt(HELD);
                };
                let result = match &mut flight.piece {
                    Piece::Bytes(bytes) => {
                        let piece = bytes.split_to(size_max.min(bytes.len()));
                        direction.queued_bytes = direction.queued_bytes.saturating_sub(piece.len());
                        direction.writer.wake();
                        if !bytes.is_empty() {
                            direction.flights.push_front(flight);
                        }
                        return Look::Found(Ok(Some(piece)));
                    }
                    Piece::End => Ok(None),
                    Piece::Reset(code) => Err(StreamError::Reset(*code)),
                };
                direction.receiver_done = true;
                world.retire(link, stream);
                Look::Found(result)
            });
            match look {
                Look::Found(result) => return Poll::Ready(result),
                Look::ArrivesAt(at_ms) => {
                    if self.alarm.poll_until(context, shared, at_ms).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn stop(&mut self, code: StreamCode) {
        let SimEnd { shared, link, side } = &*self.place.end;
        let stream = self.place.stream;
        shared.step(|world, now_ms| world.stop(now_ms, *link, stream, side.other(), code));
    }
}
