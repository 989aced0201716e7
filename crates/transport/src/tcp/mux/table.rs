// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The streams of one connection.

use super::{Phase, Receiving, Sending, Side};

/// One stream: its two directions, and who still knows it.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its name on this side.
    pub(super) key: u32,
    /// Its number on the wire, once it has one. Numbers are given in the order in which streams
    /// are first sent, so that a stream that is given up before costs nothing.
    pub(super) wire: Option<u32>,
    pub(super) send: Sending,
    pub(super) recv: Receiving,
    pub(super) was_handed_out: bool,
    pub(super) send_in_hand: bool,
    pub(super) recv_in_hand: bool,
    pub(super) counted_out: bool,
}

impl Stream {
    pub(super) fn new(key: u32, wire: Option<u32>, side: Side) -> Self {
        Self {
            key,
            wire,
            send: Sending::new(side.peer().windows().0),
            recv: Receiving::new(side.windows().0),
            was_handed_out: false,
            send_in_hand: false,
            recv_in_hand: false,
            counted_out: false,
        }
    }

    pub(super) const fn hand_out(&mut self) {
        self.was_handed_out = true;
        self.send_in_hand = true;
        self.recv_in_hand = true;
    }

    pub(super) const fn is_in_hand(&self) -> bool {
        self.send_in_hand || self.recv_in_hand
    }
}

/// Streams in the order of their names. At most 64 are open and, on a server, 64 in hand at a time, so
/// that a search costs little. A client's user has in hand what it keeps of what it has opened.
#[derive(Debug, Default)]
pub(super) struct Table {
    #[allow(
        clippy::vec_box,
        reason = "a table with one stream must not hold room for four"
    )]
    streams: Vec<Box<Stream>>,
}

impl Table {
    /// Adds a stream. Names grow.
    pub(super) fn push(&mut self, stream: Stream) {
        self.streams.push(Box::new(stream));
    }

    fn index(&self, key: u32) -> Option<usize> {
        self.streams
            .binary_search_by_key(&key, |stream| stream.key)
            .ok()
    }

    pub(super) fn by_key(&mut self, key: u32) -> Option<&mut Stream> {
        let index = self.index(key)?;
        self.streams.get_mut(index).map(AsMut::as_mut)
    }

    pub(super) fn by_wire(&mut self, wire: u32) -> Option<&mut Stream> {
        let found = self
            .streams
            .iter_mut()
            .find(|stream| stream.wire == Some(wire))?;
        Some(found)
    }

    pub(super) fn remove(&mut self, key: u32) -> Option<Box<Stream>> {
        let index = self.index(key)?;
        let gone = self.streams.remove(index);
        if self.streams.is_empty() {
            self.streams = Vec::new();
        }
        Some(gone)
    }

    pub(super) fn keys(&self) -> Vec<u32> {
        self.streams.iter().map(|stream| stream.key).collect()
    }

    /// How many streams there are, and how many bytes they hold that came.
    pub(super) fn counts(&self) -> (usize, usize) {
        let held = self.streams.iter().map(|stream| stream.recv.held());
        (self.streams.len(), held.sum())
    }

    /// The oldest stream that was not handed out yet.
    pub(super) fn first_waiting(&mut self) -> Option<&mut Stream> {
        let found = self
            .streams
            .iter_mut()
            .find(|stream| !stream.was_handed_out)?;
        Some(found)
    }

    /// Of the streams of highest priority with something to send, the one whose turn is longest ago.
    pub(super) fn next_to_send(&mut self) -> Option<&mut Stream> {
        let found = self
            .streams
            .iter_mut()
            .filter(|stream| stream.send.has_something())
            .min_by_key(|stream| (core::cmp::Reverse(stream.send.priority), stream.send.turn))?;
        Some(found)
    }

    /// Lets everybody who waits to write look again.
    pub(super) fn wake_writers(&mut self) {
        for stream in &mut self.streams {
            stream.send.wake_writer();
        }
    }

    /// The connection is over: nothing is sent any more, and whoever waits learns of it. Streams that
    /// were not handed out are forgotten; gives how many bytes they held.
    pub(super) fn end_all(&mut self) -> usize {
        let waiting = self.streams.iter().filter(|stream| !stream.was_handed_out);
        let unread = waiting.map(|stream| stream.recv.held()).sum();
        self.streams.retain(|stream| stream.was_handed_out);
        for stream in &mut self.streams {
            if stream.send.phase != Phase::Over {
                let _ = stream.send.abandon();
            }
            stream.send.wake_all();
            stream.recv.wake();
        }
        unread
    }
}
