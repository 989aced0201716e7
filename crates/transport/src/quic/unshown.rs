// SPDX-License-Identifier: Apache-2.0 OR MIT
//! No more than three times of what came goes to an address that has not shown that it receives (RFC
//! 9000, section 8.1), counted in bytes.
//!
//! quinn keeps to this but for one datagram: one of which the first byte is allowed goes whole. Whoever
//! writes somebody else's address on packets makes a server send there, so the socket counts for itself.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// What may go to an address for each byte that came from it.
const FACTOR: usize = 3;
/// Addresses that are counted at a time. With more, which takes a flood, all are counted anew; what quinn
/// allows is the bound then.
const COUNTED_MAX: usize = 4096;

#[derive(Debug)]
enum Entry {
    Counted {
        received: usize,
        sent: usize,
    },
    /// It has shown that it receives, with so many connections.
    Shown(usize),
}

/// What went to and came from addresses that have connections, or would like to.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Mutex<BTreeMap<SocketAddr, Entry>>,
    /// How many of them are [`Entry::Counted`]: mostly none, and then nothing is looked up.
    counted: AtomicUsize,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A datagram with a long header came: who sends it may be new.
    fn received(&self, from: SocketAddr, size: usize) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(&from) {
            if let Entry::Counted { received, .. } = entry {
                *received = received.saturating_add(size);
            }
            return;
        }
        if self.counted.load(Ordering::Relaxed) >= COUNTED_MAX {
            entries.retain(|_, entry| matches!(entry, Entry::Shown(_)));
            self.counted.store(0, Ordering::Relaxed);
        }
        let entry = Entry::Counted {
            received: size,
            sent: 0,
        };
        entries.insert(from, entry);
        self.counted.fetch_add(1, Ordering::Relaxed);
    }

    /// How many bytes of a transmission may go: whole segments of it. They count as sent.
    fn allow(&self, to: SocketAddr, size: usize, segment_size: usize) -> usize {
        if self.counted.load(Ordering::Relaxed) == 0 {
            return size;
        }
        let mut entries = self.entries();
        let Some(Entry::Counted { received, sent }) = entries.get_mut(&to) else {
            return size;
        };
        // TRN-87.
        let left = received.saturating_mul(FACTOR).saturating_sub(*sent);
        let allowed = if size <= left {
            size
        } else {
            let segments = left.checked_div(segment_size).unwrap_or(0);
            segments.saturating_mul(segment_size)
        };
        *sent = sent.saturating_add(allowed);
        allowed
    }

    fn remove_counted(&self, address: SocketAddr) {
        let mut entries = self.entries();
        if matches!(entries.get(&address), Some(Entry::Counted { .. })) {
            entries.remove(&address);
            self.counted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shown(&self, address: SocketAddr) {
        self.remove_counted(address);
        let mut entries = self.entries();
        if let Entry::Shown(count) = entries.entry(address).or_insert(Entry::Shown(0)) {
            *count = count.saturating_add(1);
        }
    }

    fn gone(&self, address: SocketAddr) {
        let mut entries = self.entries();
        if let Some(Entry::Shown(count)) = entries.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                entries.remove(&address);
            }
        }
    }
}

/// One connection, or a handshake that may become one, at the address that it began with.
#[derive(Debug)]
pub(super) struct Guest {
    ledger: Arc<Ledger>,
    address: SocketAddr,
    is_shown: AtomicBool,
}

impl Guest {
    /// `is_shown`: it has answered a Retry.
    pub(super) fn new(ledger: &Arc<Ledger>, address: SocketAddr, is_shown: bool) -> Self {
        let guest = Self {
            ledger: Arc::clone(ledger),
            address,
            is_shown: AtomicBool::new(false),
        };
        if is_shown {
            guest.shown();
        }
        guest
    }

    /// The address has shown that it receives.
    pub(super) fn shown(&self) {
        if !self.is_shown.swap(true, Ordering::Relaxed) {
            self.ledger.shown(self.address);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if *self.is_shown.get_mut() {
            self.ledger.gone(self.address);
        } else {
            self.ledger.remove_counted(self.address);
        }
    }
}

/// A server's socket that keeps to the ledger.
#[derive(Debug)]
pub(super) struct CountingSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    ledger: Arc<Ledger>,
}

impl CountingSocket {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, ledger: Arc<Ledger>) -> Self {
        Self { inner, ledger }
    }

    fn note(&self, bytes: &[u8], meta: &RecvMeta) {
        let received = bytes.get(..meta.len).unwrap_or_default();
        for datagram in received.chunks(meta.stride.max(1)) {
            // A long header (RFC 9000, section 17.2): what a connection begins with.
            if datagram.first().is_some_and(|first| first & 0x80 != 0) {
                self.ledger.received(meta.addr, datagram.len());
            }
        }
    }
}

impl AsyncUdpSocket for CountingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.contents.len();
        let segment_size = transmit.segment_size.unwrap_or(size);
        let allowed = self.ledger.allow(transmit.destination, size, segment_size);
        if allowed == size {
            return self.inner.try_send(transmit);
        }
        match transmit.contents.get(..allowed) {
            Some(contents) if allowed > 0 => self.inner.try_send(&Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents,
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip,
            }),
            // Lost, as far as the connection knows; it is sent again when more has come.
            _ => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = polled {
            for (bytes, meta) in bufs.iter().zip(meta.iter()).take(count) {
                self.note(bytes, meta);
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], number))
    }

    #[test]
    fn three_times_and_not_a_byte_more() {
        let ledger = Ledger::default();
        // Nobody is new, so nobody is looked up.
        assert_eq!(ledger.allow(address(1), 9_000, 1_200), 9_000);
        ledger.received(address(1), 1_200);
        assert_eq!(ledger.allow(address(1), 2_900, 1_200), 2_900);
        assert_eq!(ledger.allow(address(1), 1_200, 1_200), 0);
        assert_eq!(ledger.allow(address(1), 700, 700), 700);
        assert_eq!(ledger.allow(address(1), 1, 1), 0);
        ledger.received(address(1), 1_000);
        // Whole segments of it.
        assert_eq!(ledger.allow(address(1), 4_800, 1_200), 2_400);
        assert_eq!(ledger.allow(address(2), 4_800, 1_200), 4_800);
    }

    #[test]
    fn who_has_shown_its_address_is_counted_no_more() {
        let ledger = Arc::new(Ledger::default());
        ledger.received(address(1), 10);
        let (one, two) = (
            Guest::new(&ledger, address(1), false),
            Guest::new(&ledger, address(1), true),
        );
        // Late packets of the handshake do not count it anew.
        ledger.received(address(1), 10);
        assert_eq!(ledger.allow(address(1), 900, 900), 900);
        drop(two);
        ledger.received(address(1), 10);
        assert_eq!(ledger.allow(address(1), 900, 900), 0);
        one.shown();
        one.shown();
        assert_eq!(ledger.allow(address(1), 900, 900), 900);
        drop(one);
        assert!(ledger.entries().is_empty());
        assert_eq!(ledger.counted.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_flood_of_addresses_takes_a_bounded_place() {
        let ledger = Arc::new(Ledger::default());
        let _guest = Guest::new(&ledger, address(0), true);
        for number in 1..=20_000 {
            ledger.received(address(number), 1_200);
        }
        assert!(ledger.entries().len() <= COUNTED_MAX + 1);
        assert!(ledger.entries().contains_key(&address(0)));
    }
}
