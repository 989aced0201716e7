// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is to be sent: first what is said about the connection, then about streams, then their bytes.

use super::{Mux, Side, sending};
use crate::close::CloseCode;
use crate::tcp::frame::Frame;

impl Mux {
    /// The socket has taken what was composed.
    pub(in crate::tcp) const fn sent(&mut self) {
        self.room.sent();
    }

    /// Whether what would be composed next may stand in front of what comes later: nothing of a lower
    /// priority than a stream has by itself.
    pub(in crate::tcp) fn is_urgent(&mut self) -> bool {
        let next = self.streams.next_to_send();
        next.is_some_and(|stream| stream.send.priority >= 0)
    }

    /// Appends what is to be sent, as far as it fits [`PLAINTEXT_SIZE_MAX`]; nothing when there is
    /// nothing. `out` is empty. Until [`Mux::sent`] it counts as held.
    pub(in crate::tcp) fn compose(&mut self, out: &mut Vec<u8>) {
        if let Some((code, retry_after_ms)) = self.closing.take() {
            if self.side == Side::Server && !self.elsewhere.is_empty() {
                let bytes = &self.elsewhere;
                Frame::Elsewhere { bytes }.put(out);
            }
            let code = code.to_wire();
            Frame::Close {
                code,
                retry_after_ms,
            }
            .put(out);
        }
        if self.closed.is_some() {
            return;
        }
        if core::mem::take(&mut self.pong_due) {
            Frame::Pong.put(out);
        }
        if core::mem::take(&mut self.ping_due) {
            Frame::Ping.put(out);
        }
        let window = self.side.windows().1;
        if self.returnable >= window.div_euclid(2) {
            let bytes = core::mem::take(&mut self.returnable);
            self.receive_credit = self.receive_credit.saturating_add(bytes);
            Frame::ConnectionCredit { bytes }.put(out);
        }
        if core::mem::take(&mut self.control_due) {
            // At most 27 bytes for each of the streams, of which there are at most 128.
            for key in self.streams.keys() {
                self.compose_control(key, out);
            }
        }
        self.compose_streams(out);
        if self.room.end(&self.budget) {
            self.streams.wake_writers();
        }
    }

    fn compose_control(&mut self, key: u32, out: &mut Vec<u8>) {
        let window = self.side.windows().0;
        if let Some(entry) = self.streams.by_key(key)
            && let Some(wire) = entry.wire
        {
            entry.send.put_reset(wire, out);
            entry.recv.put_stop(wire, out);
            entry.recv.put_credit(wire, window, out);
        }
        self.settle(key);
    }

    fn compose_streams(&mut self, out: &mut Vec<u8>) {
        while let Some(room) = sending::room(out) {
            let Some(entry) = self.streams.next_to_send() else {
                break;
            };
            let wire = match entry.wire {
                Some(wire) => wire,
                None => {
                    let wire = self.next_wire;
                    let Some(next) = wire.checked_add(1) else {
                        return self.close(CloseCode::Done, None);
                    };
                    self.next_wire = next;
                    // A stop that was asked for before goes out right behind.
                    self.control_due |= entry.recv.is_stopping();
                    entry.wire = Some(wire);
                    wire
                }
            };
            self.turn = self.turn.wrapping_add(1);
            let sent = entry.send.put_bytes(wire, self.turn, room, out);
            let key = entry.key;
            self.room.send(sent);
            self.settle(key);
        }
    }
}
