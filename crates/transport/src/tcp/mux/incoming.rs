// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the peer sent.

use waxwing_proto::limits;

use super::sending::add_credit;
use super::table::Stream;
use super::{Fault, Mux, OVERLOADED_RETRY_MS, Side};
use crate::close::{CloseCode, CloseReason, StreamCode};
use crate::tcp::frame::{ELSEWHERE_SIZE_MAX, Frame};

impl Mux {
    /// Takes what the peer sent. When it broke the protocol the connection is closed.
    pub(in crate::tcp) fn receive(&mut self, mut input: &[u8]) {
        while self.closed.is_none() {
            let outcome = match self.decoder.decode(&mut input) {
                Ok(Some(frame)) => self.handle(frame),
                Ok(None) => return,
                Err(_) => Err(Fault::Violation),
            };
            match outcome {
                Ok(()) => {}
                // TRN-49.
                Err(Fault::Violation) => self.end(
                    CloseReason::Fault,
                    Some((CloseCode::ProtocolViolation, None)),
                ),
                Err(Fault::NoMemory) => {
                    self.close(CloseCode::Overloaded, Some(OVERLOADED_RETRY_MS));
                }
            }
        }
    }

    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Fault> {
        match frame {
            Frame::Stream {
                stream,
                bytes,
                ends,
            } => self.take_bytes(stream, bytes, ends),
            Frame::Reset { stream, code } => self.take_reset(stream, code),
            Frame::Stop { stream, code } => self.take_stop(stream, code),
            Frame::StreamCredit { stream, bytes } => {
                if let Some(entry) = self.known(stream)? {
                    entry.send.grant(bytes)?;
                }
                Ok(())
            }
            Frame::ConnectionCredit { bytes } => {
                self.send_credit = add_credit(self.send_credit, self.room.queued(), bytes)?;
                self.streams.wake_writers();
                Ok(())
            }
            Frame::Ping => {
                // TRN-47.
                self.pong_due = true;
                Ok(())
            }
            Frame::Pong => Ok(()),
            Frame::Elsewhere { bytes } => {
                // TRN-71.
                let size = self.elsewhere.len().saturating_add(bytes.len());
                if self.side == Side::Server || size > ELSEWHERE_SIZE_MAX {
                    return Err(Fault::Violation);
                }
                self.elsewhere.extend_from_slice(bytes);
                Ok(())
            }
            Frame::Close {
                code,
                retry_after_ms,
            } => {
                let code = CloseCode::from_wire(code);
                self.end(
                    CloseReason::Peer {
                        code,
                        retry_after_ms,
                    },
                    None,
                );
                Ok(())
            }
        }
    }

    /// The stream of a frame that may come late: `None` when it is gone.
    fn known(&mut self, wire: u32) -> Result<Option<&mut Stream>, Fault> {
        if wire >= self.next_wire {
            return Err(Fault::Violation);
        }
        Ok(self.streams.by_wire(wire))
    }

    /// The stream of a frame that opens one if it is the next.
    fn known_or_new(&mut self, wire: u32) -> Result<&mut Stream, Fault> {
        // TRN-43.
        if wire >= self.next_wire {
            let streams_max = usize::try_from(limits::STREAMS_PER_CONNECTION_MAX).unwrap_or(0);
            if self.side == Side::Client || wire != self.next_wire || self.open >= streams_max {
                return Err(Fault::Violation);
            }
            self.next_wire = wire.checked_add(1).ok_or(Fault::Violation)?;
            self.open = self.open.saturating_add(1);
            self.news.arrived = true;
            self.streams.push(Stream::new(wire, Some(wire), self.side));
        }
        // What is not there any more has ended in both directions.
        self.streams.by_wire(wire).ok_or(Fault::Violation)
    }

    fn take_bytes(&mut self, wire: u32, bytes: &[u8], ends: bool) -> Result<(), Fault> {
        let count = u32::try_from(bytes.len()).map_err(|_| Fault::Violation)?;
        let left = self.receive_credit.checked_sub(count);
        self.receive_credit = left.ok_or(Fault::Violation)?;
        let held = self.held;
        let may_hold = self.budget.may_hold(held, bytes.len());
        let entry = self.known_or_new(wire)?;
        let kept = entry.recv.take(bytes, ends)?;
        let key = entry.key;
        if kept {
            if !may_hold {
                return Err(Fault::NoMemory);
            }
            self.held = self.held.saturating_add(bytes.len());
            self.budget.take(bytes.len());
        } else {
            self.give_back(count);
        }
        if ends {
            self.settle(key);
        }
        Ok(())
    }

    fn take_reset(&mut self, wire: u32, code: u32) -> Result<(), Fault> {
        // What is not there any more has ended in both directions.
        let entry = self.known(wire)?.ok_or(Fault::Violation)?;
        let key = entry.key;
        let discarded = entry.recv.take_reset(StreamCode::from_wire(code))?;
        self.discard(discarded);
        self.settle(key);
        Ok(())
    }

    fn take_stop(&mut self, wire: u32, code: u32) -> Result<(), Fault> {
        // TRN-46.
        if let Some(entry) = self.known(wire)? {
            let key = entry.key;
            let unsent = entry.send.take_stop(StreamCode::from_wire(code));
            self.unsend(unsent);
            self.control_due = true;
            self.settle(key);
        }
        Ok(())
    }
}
