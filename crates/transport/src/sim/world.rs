// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The state of the simulated network: nodes, paths, links, streams, and what is on its way.
//!
//! Everything sits behind one lock and is kept in ordered maps. What takes time is put into
//! `timers` and what an observer sees into `seen`; the network empties both after each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use tokio::sync::{mpsc, watch};
use waxwing_proto::KeyPin;

use super::network::NetworkSettings;
use super::tap::{TapEvent, TapKind};
use crate::close::{CloseCode, CloseReason, StreamCode};
use crate::link::Link;

/// The arrival time of what a partition holds back.
pub(super) const HELD: u64 = u64::MAX;
/// A packet's payload, in bytes: how many packets a write is lost in follows from it.
const PACKET_SIZE: usize = 1200;

/// The two ends of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One value for each end.
#[derive(Debug, Default)]
pub(super) struct Pair<T> {
    pub(super) client: T,
    pub(super) server: T,
}

impl<T> Pair<T> {
    pub(super) const fn at(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(super) const fn at_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

/// The tasks that wait for one thing.
#[derive(Debug, Default)]
pub(super) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(super) fn register(&mut self, waker: &Waker) {
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    pub(super) fn wake(&mut self) {
        for waker in self.0.drain(..) {
            waker.wake();
        }
    }
}

/// What travels on one direction of a stream.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    End,
    Reset(StreamCode),
}

/// A piece and when it arrives.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) at_ms: u64,
    pub(super) piece: Piece,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(super) struct Direction {
    pub(super) flights: VecDeque<Flight>,
    pub(super) queued_bytes: usize,
    pub(super) last_at_ms: u64,
    pub(super) sender_done: bool,
    pub(super) receiver_done: bool,
    /// The receiver's wish that nothing more be sent, once it has arrived.
    pub(super) stop: Option<StreamCode>,
    pub(super) reader: Wakers,
    pub(super) writer: Wakers,
}

/// A stream; each direction is named by the side that sends on it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) accepted: bool,
    pub(super) sent_by: Pair<Direction>,
}

/// One end of a link.
#[derive(Debug)]
pub(super) struct End {
    pub(super) closed: watch::Sender<Option<CloseReason>>,
    /// Tasks that wait for a stream, in either sense.
    pub(super) streams_changed: Wakers,
    pub(super) crashed: bool,
    pub(super) dropped: bool,
}

impl End {
    pub(super) fn new() -> Self {
        Self {
            closed: watch::Sender::new(None),
            streams_changed: Wakers::default(),
            crashed: false,
            dropped: false,
        }
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        *self.closed.borrow()
    }
}

/// A link.
#[derive(Debug)]
pub(super) struct LinkState {
    pub(super) nodes: Pair<Arc<str>>,
    pub(super) ends: Pair<End>,
    pub(super) listener: u64,
    pub(super) streams: BTreeMap<u64, Stream>,
    pub(super) next_stream: u64,
}

/// A bound address that takes links.
pub(super) struct ListenerState {
    pub(super) id: u64,
    pub(super) key_pin: KeyPin,
    /// `None` once no more links are taken.
    pub(super) links: Option<mpsc::UnboundedSender<Link>>,
}

/// Something that happens later.
#[derive(Debug)]
pub(super) enum Action {
    StopArrives {
        link: u64,
        stream: u64,
        sender: Side,
        code: StreamCode,
    },
    CloseArrives {
        link: u64,
        side: Side,
        reason: CloseReason,
    },
    /// An end that has heard nothing because its peer is gone.
    ExpireBesideGonePeer { link: u64, side: Side },
    /// An end that has heard nothing because the path to it is cut since then.
    ExpireBehindPartition {
        link: u64,
        side: Side,
        since_ms: u64,
    },
}

pub(super) struct World {
    pub(super) rng: ChaCha12Rng,
    pub(super) settings: NetworkSettings,
    pub(super) addresses: BTreeMap<Arc<str>, SocketAddr>,
    pub(super) down: BTreeSet<Arc<str>>,
    pub(super) listeners: BTreeMap<(Arc<str>, u16), ListenerState>,
    pub(super) links: BTreeMap<u64, LinkState>,
    /// Paths that are cut, and since when.
    pub(super) partitions: BTreeMap<(Arc<str>, Arc<str>), u64>,
    pub(super) next_id: u64,
    pub(super) timers: Vec<(u64, Action)>,
    pub(super) seen: Vec<TapEvent>,
}

impl World {
    /// The address of a node. Each has a network of its own, so that limits by prefix tell nodes
    /// apart.
    pub(super) fn address(&mut self, node: &Arc<str>) -> SocketAddr {
        let index = u16::try_from(self.addresses.len()).unwrap_or(u16::MAX);
        let [high, low] = index.to_be_bytes();
        *self
            .addresses
            .entry(Arc::clone(node))
            .or_insert_with(|| SocketAddr::from((Ipv4Addr::new(10, high, low, 1), 40_000)))
    }

    pub(super) fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    pub(super) fn is_path_open(&self, from: &Arc<str>, to: &Arc<str>) -> bool {
        let path = (Arc::clone(from), Arc::clone(to));
        !self.partitions.contains_key(&path) && !self.down.contains(from) && !self.down.contains(to)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64().checked_rem(bound).unwrap_or(0)
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// How long `size` bytes need, lost packets included, and how often they go out.
    pub(super) fn draw_delay_ms(&mut self, size: usize) -> (u64, u32) {
        let settings = self.settings;
        let jitter_ms = self.below(settings.jitter_ms.saturating_add(1));
        let mut delay_ms = settings.delay_ms.saturating_add(jitter_ms);
        let mut copies: u32 = 1;
        let mut worst_ms: u64 = 0;
        for _ in 0..=size.checked_div(PACKET_SIZE).unwrap_or(0) {
            let mut timeout_ms = settings
                .delay_ms
                .saturating_mul(2)
                .saturating_add(settings.jitter_ms)
                .saturating_add(25);
            let mut waited_ms: u64 = 0;
            let mut tries: u32 = 0;
            while tries < 6 && self.happens(settings.loss_per_mille) {
                waited_ms = waited_ms.saturating_add(timeout_ms);
                timeout_ms = timeout_ms.saturating_mul(2);
                tries = tries.saturating_add(1);
            }
            copies = copies.saturating_add(tries);
            worst_ms = worst_ms.max(waited_ms);
        }
        if self.happens(settings.duplicate_per_mille) {
            copies = copies.saturating_add(1);
        }
        delay_ms = delay_ms.saturating_add(worst_ms);
        (delay_ms, copies)
    }

    fn see(
        &mut self,
        now_ms: u64,
        link: u64,
        from: Side,
        stream: Option<u64>,
        what: (TapKind, u32),
    ) {
        let Some(state) = self.links.get(&link) else {
            return;
        };
        self.seen.push(TapEvent {
            time_ms: now_ms,
            from: Arc::clone(state.nodes.at(from)),
            to: Arc::clone(state.nodes.at(from.other())),
            link,
            stream,
            kind: what.0,
            copies: what.1,
        });
    }

    pub(super) fn see_connected(&mut self, now_ms: u64, link: u64) {
        self.see(now_ms, link, Side::Client, None, (TapKind::Connected, 1));
    }

    pub(super) fn is_link_path_open(&self, link: u64, from: Side) -> bool {
        self.links.get(&link).is_some_and(|state| {
            self.is_path_open(state.nodes.at(from), state.nodes.at(from.other()))
        })
    }

    pub(super) fn direction(
        &mut self,
        link: u64,
        stream: u64,
        sender: Side,
    ) -> Option<&mut Direction> {
        let state = self.links.get_mut(&link)?.streams.get_mut(&stream)?;
        Some(state.sent_by.at_mut(sender))
    }

    /// Puts a piece on its way. Pieces of one direction arrive in order.
    pub(super) fn send(&mut self, now_ms: u64, link: u64, stream: u64, sender: Side, piece: Piece) {
        let size = match &piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::End | Piece::Reset(_) => 0,
        };
        let kind = match &piece {
            Piece::Bytes(bytes) => TapKind::Bytes(bytes.clone()),
            Piece::End => TapKind::Finished,
            Piece::Reset(code) => TapKind::Reset(code.to_wire()),
        };
        let (delay_ms, copies) = self.draw_delay_ms(size);
        self.see(now_ms, link, sender, Some(stream), (kind, copies));
        let is_open = self.is_link_path_open(link, sender);
        let Some(direction) = self.direction(link, stream, sender) else {
            return;
        };
        if direction.receiver_done {
            return;
        }
        let at_ms = if is_open {
            now_ms.saturating_add(delay_ms).max(direction.last_at_ms)
        } else {
            HELD
        };
        direction.last_at_ms = at_ms;
        direction.queued_bytes = direction.queued_bytes.saturating_add(size);
        direction.flights.push_back(Flight { at_ms, piece });
        direction.reader.wake();
        if let Some(state) = self.links.get_mut(&link) {
            state.ends.at_mut(sender.other()).streams_changed.wake();
        }
        self.notice_gone_peer(link, sender);
    }

    /// A node that was restarted answers packets of links that it has forgotten with a reset.
    fn notice_gone_peer(&mut self, link: u64, sender: Side) {
        let is_gone = self
            .links
            .get(&link)
            .is_some_and(|state| state.ends.at(sender.other()).crashed);
        let is_open =
            self.is_link_path_open(link, sender) && self.is_link_path_open(link, sender.other());
        if is_gone && is_open {
            let (there_ms, _) = self.draw_delay_ms(0);
            let (back_ms, _) = self.draw_delay_ms(0);
            self.timers.push((
                there_ms.saturating_add(back_ms),
                Action::CloseArrives {
                    link,
                    side: sender,
                    reason: CloseReason::Reset,
                },
            ));
        }
    }

    /// The receiver wants no more on this direction.
    pub(super) fn stop(
        &mut self,
        now_ms: u64,
        link: u64,
        stream: u64,
        sender: Side,
        code: StreamCode,
    ) {
        let Some(direction) = self.direction(link, stream, sender) else {
            return;
        };
        direction.flights.clear();
        direction.queued_bytes = 0;
        direction.receiver_done = true;
        if !direction.sender_done {
            let (delay_ms, copies) = self.draw_delay_ms(0);
            let kind = TapKind::Stopped(code.to_wire());
            self.see(now_ms, link, sender.other(), Some(stream), (kind, copies));
            let action = Action::StopArrives {
                link,
                stream,
                sender,
                code,
            };
            self.timers.push((delay_ms, action));
        }
        self.retire(link, stream);
    }

    /// Removes a stream that both sides are through with, which gives its credit back.
    pub(super) fn retire(&mut self, link: u64, stream: u64) {
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let done = |direction: &Direction| direction.sender_done && direction.receiver_done;
        let is_done = state
            .streams
            .get(&stream)
            .is_some_and(|it| done(&it.sent_by.client) && done(&it.sent_by.server));
        if is_done && let Some(mut gone) = state.streams.remove(&stream) {
            gone.sent_by.client.writer.wake();
            gone.sent_by.server.writer.wake();
            state.ends.client.streams_changed.wake();
            state.ends.server.streams_changed.wake();
        }
    }

    /// One end is over. What has not arrived there never will.
    pub(super) fn end(&mut self, now_ms: u64, link: u64, side: Side, reason: CloseReason) -> bool {
        let Some(state) = self.links.get_mut(&link) else {
            return false;
        };
        if state.ends.at(side).close_reason().is_some() {
            return false;
        }
        state.ends.at_mut(side).closed.send_replace(Some(reason));
        for stream in state.streams.values_mut() {
            let inbound = stream.sent_by.at_mut(side.other());
            inbound.flights.retain(|flight| flight.at_ms <= now_ms);
            inbound.reader.wake();
            stream.sent_by.at_mut(side).writer.wake();
        }
        state.ends.at_mut(side).streams_changed.wake();
        self.timers.push((
            self.settings.idle_timeout_ms,
            Action::ExpireBesideGonePeer {
                link,
                side: side.other(),
            },
        ));
        true
    }

    /// One end closes the link and tells the other.
    pub(super) fn close(
        &mut self,
        now_ms: u64,
        link: u64,
        side: Side,
        code: CloseCode,
        retry_after_ms: Option<u32>,
    ) {
        if !self.end(now_ms, link, side, CloseReason::Local(code)) {
            return;
        }
        let (delay_ms, copies) = self.draw_delay_ms(0);
        let kind = TapKind::Closed(code.to_wire());
        self.see(now_ms, link, side, None, (kind, copies));
        // A close is said once. When it is lost in a partition, the peer's idle timeout remains.
        if self.is_link_path_open(link, side) {
            let reason = CloseReason::Peer {
                code,
                retry_after_ms,
            };
            let side = side.other();
            self.timers
                .push((delay_ms, Action::CloseArrives { link, side, reason }));
        }
    }

    /// A handle of one end is gone for good.
    pub(super) fn drop_end(&mut self, now_ms: u64, link: u64, side: Side) {
        self.close(now_ms, link, side, CloseCode::Done, None);
        if let Some(state) = self.links.get_mut(&link) {
            state.ends.at_mut(side).dropped = true;
            if state.ends.client.dropped && state.ends.server.dropped {
                self.links.remove(&link);
            }
        }
    }
}
