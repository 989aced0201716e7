// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A simulated network of UDP datagrams under the real QUIC stack.
//!
//! [`PacketNetwork`] carries the packets of [`QuicDialer`] and [`QuicListener`]: quinn, rustls and
//! the cryptography are those of the product, only the socket and the clock are not. Packets have a
//! delay, a jitter by which they overtake one another, are lost and doubled; paths are cut; address
//! translators forget; hosts move, stop and start again. Times, sizes and counts follow from the
//! seed; the bytes do not, as the keys come from the operating system.
//!
//! It needs a current-thread tokio runtime with a paused clock.

mod host;
mod map;
mod socket;

pub use map::{PacketEvent, PacketTap};

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use self::host::SimHost;
use self::map::Map;
use crate::error::LinkError;
use crate::quic::{
    DialerSettings, ListenerSettings, QuicDialer, QuicListener, ServerIdentity, StableKeys,
};
use crate::tls::tickets::Tickets;

/// How the network treats datagrams. All paths behave alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketSettings {
    /// The least time from one host to another, in milliseconds.
    pub delay_ms: u64,
    /// What may be added to it, in milliseconds; a packet that has less of it overtakes others.
    pub jitter_ms: u64,
    /// Packets that are lost, of a thousand.
    pub loss_per_mille: u32,
    /// Packets that arrive twice, of a thousand.
    pub duplicate_per_mille: u32,
    /// Packets that arrive late by up to four times the delay, of a thousand.
    pub reorder_per_mille: u32,
    /// Packets in which a byte is changed on the way, of a thousand.
    pub corrupt_per_mille: u32,
    /// The largest datagram that gets through, in bytes.
    pub datagram_size_max: usize,
}

impl Default for PacketSettings {
    fn default() -> Self {
        Self {
            delay_ms: 40,
            jitter_ms: 30,
            loss_per_mille: 0,
            duplicate_per_mille: 20,
            reorder_per_mille: 20,
            corrupt_per_mille: 0,
            datagram_size_max: 1472,
        }
    }
}

/// A simulated network. Clones are handles to the same network.
#[derive(Clone)]
pub struct PacketNetwork(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    map: Mutex<Map>,
    start: Instant,
}

impl Shared {
    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl PacketNetwork {
    /// A network whose behaviour follows from `seed`.
    #[must_use]
    pub fn new(seed: u64, settings: PacketSettings) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"waxwing simulated packets");
        hash.update(seed.to_be_bytes());
        let rng = ChaCha12Rng::from_seed(hash.finalize().into());
        Self(Arc::new(Shared {
            map: Mutex::new(Map::new(rng, settings)),
            start: Instant::now(),
        }))
    }

    fn host(&self, name: &str) -> Arc<SimHost> {
        self.0.map().add_host(name);
        Arc::new(SimHost::new(Arc::clone(&self.0), name.into()))
    }

    /// Connects from the host `name`.
    #[must_use]
    pub fn dialer(&self, name: &str, settings: DialerSettings) -> QuicDialer {
        QuicDialer::over(self.host(name), settings)
    }

    /// Plain quinn at the host `name`, for a client that behaves otherwise than [`QuicDialer`].
    ///
    /// # Errors
    /// [`LinkError::Socket`].
    pub fn endpoint(&self, name: &str) -> Result<quinn::Endpoint, LinkError> {
        crate::quic::bare::client_over(&*self.host(name))
    }

    /// Takes connections at the host `name`, which is brought up.
    ///
    /// # Errors
    /// As [`QuicListener::bind`].
    pub fn listen(
        &self,
        name: &str,
        port: u16,
        (identity, keys, tickets): (&ServerIdentity, &StableKeys, Option<&Arc<Tickets>>),
        settings: ListenerSettings,
    ) -> Result<QuicListener, LinkError> {
        let host = self.host(name);
        self.0.map().raise(name);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        QuicListener::bind_over(&*host, any, (identity, keys, tickets), settings)
    }

    /// Shows every datagram that a host sends from now on to `tap`, lost ones too.
    pub fn set_tap(&self, tap: PacketTap) {
        self.0.map().set_tap(tap);
    }

    /// Changes how datagrams are treated from now on.
    pub fn set_settings(&self, settings: PacketSettings) {
        self.0.map().settings = settings;
    }

    /// Milliseconds since the network began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    /// Loses everything from one host to another, in this direction only.
    pub fn partition(&self, from: &str, to: &str) {
        self.0.map().cut(from, to);
    }

    /// Loses everything between two hosts.
    pub fn partition_both(&self, one: &str, two: &str) {
        self.partition(one, two);
        self.partition(two, one);
    }

    /// Ends all partitions.
    pub fn heal_all(&self) {
        self.0.map().heal_all();
    }

    /// The address translator in front of the host forgets its ports: what the host sends comes
    /// from others from now on, and what is sent to the old ones is lost.
    pub fn rebind_nat_port(&self, name: &str) {
        self.0.map().translate(name, false);
    }

    /// As [`PacketNetwork::rebind_nat_port`], and the address changes too.
    pub fn rebind_nat_address(&self, name: &str) {
        self.0.map().translate(name, true);
    }

    /// The host leaves its network for another one: sockets that it has are dead, sockets that it
    /// binds from now on have the new address.
    pub fn move_host(&self, name: &str) {
        self.0.map().move_host(name);
    }

    /// The host stops in the middle of everything and says nothing to anybody. Call it before the
    /// host's tasks end, or they say goodbye.
    pub fn crash(&self, name: &str) {
        self.0.map().crash(name);
    }

    /// Puts a datagram on the network again, as an attacker does who recorded it: it comes from
    /// `from`, whoever that is.
    pub fn inject(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now_ms = self.now_ms();
        self.0.map().carry(now_ms, None, (from, to), bytes);
    }

    /// A hash over times, addresses and sizes of everything that was sent, and how much that was.
    #[must_use]
    pub fn log(&self) -> ([u8; 32], u64) {
        self.0.map().log()
    }
}

impl core::fmt::Debug for PacketNetwork {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PacketNetwork")
    }
}
