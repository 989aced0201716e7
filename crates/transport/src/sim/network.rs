// SPDX-License-Identifier: Apache-2.0 OR MIT
//! [`SimNetwork`]: the handle by which a simulation makes nodes and faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use waxwing_proto::{Host, KeyPin, ServerAddress, WireError, limits};

use super::dialer::SimDialer;
use super::listener::SimListener;
use super::tap::Tap;
use super::world::{Action, ListenerState, World};

/// How the network behaves. All paths behave alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The least time from one node to another, in milliseconds.
    pub delay_ms: u64,
    /// What may be added to it, in milliseconds.
    pub jitter_ms: u64,
    /// Packets that are lost, of a thousand. A lost packet costs a retransmission delay.
    pub loss_per_mille: u32,
    /// Writes that are seen twice by an observer, of a thousand. The receiver sees them once.
    pub duplicate_per_mille: u32,
    /// How long an end lives that hears nothing because its peer is gone or the path to it is cut,
    /// in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long an attempt to connect lasts, in milliseconds.
    pub connect_timeout_ms: u64,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            delay_ms: 20,
            jitter_ms: 10,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            idle_timeout_ms: u64::from(limits::IDLE_TIMEOUT_MS),
            connect_timeout_ms: u64::from(limits::CONNECT_TIMEOUT_MS),
        }
    }
}

/// A simulated network. Clones are handles to the same network.
#[derive(Clone)]
pub struct SimNetwork(pub(super) Arc<Shared>);

pub(super) struct Shared {
    world: Mutex<World>,
    tap: Mutex<Option<Tap>>,
    start: Instant,
    pub(super) links_changed: Notify,
}

impl SimNetwork {
    /// A network whose behaviour follows from `seed`. Needs a current-thread tokio runtime with a
    /// paused clock; its methods and its links must be used inside that runtime.
    #[must_use]
    pub fn new(seed: u64, settings: NetworkSettings) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"waxwing simulated network");
        hash.update(seed.to_be_bytes());
        let world = World {
            rng: ChaCha12Rng::from_seed(hash.finalize().into()),
            settings,
            addresses: BTreeMap::new(),
            down: BTreeSet::new(),
            listeners: BTreeMap::new(),
            links: BTreeMap::new(),
            partitions: BTreeMap::new(),
            next_id: 0,
            timers: Vec::new(),
            seen: Vec::new(),
        };
        Self(Arc::new(Shared {
            world: Mutex::new(world),
            tap: Mutex::new(None),
            start: Instant::now(),
            links_changed: Notify::new(),
        }))
    }

    /// Shows everything that nodes send from now on to `tap`.
    pub fn set_tap(&self, tap: Tap) {
        *self.0.tap.lock().unwrap_or_else(PoisonError::into_inner) = Some(tap);
    }

    /// Changes how the network behaves from now on.
    pub fn set_settings(&self, settings: NetworkSettings) {
        self.0.step(|world, _| world.settings = settings);
    }

    /// Milliseconds since the network began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    /// The address under which others dial `node`.
    ///
    /// # Errors
    /// [`WireError`] when the node's name is not a host name.
    pub fn server_address(
        node: &str,
        port: u16,
        key_pins: Vec<KeyPin>,
    ) -> Result<ServerAddress, WireError> {
        let host: Host = node.parse()?;
        Ok(ServerAddress {
            host,
            port,
            key_pins,
        })
    }

    /// Makes links from `node`.
    #[must_use]
    pub fn dialer(&self, node: &str) -> SimDialer {
        SimDialer::new(Arc::clone(&self.0), node.into())
    }

    /// Takes links at `node`, which shows the key that `key_pin` names. Brings the node up.
    /// Replaces a listener that is bound there.
    #[must_use]
    pub fn listen(&self, node: &str, port: u16, key_pin: KeyPin) -> SimListener {
        let node: Arc<str> = node.into();
        let (links, incoming) = mpsc::unbounded_channel();
        let (id, address) = self.0.step(|world, _| {
            world.down.remove(&node);
            let id = world.fresh_id();
            let address = world.address(&node);
            let listener = ListenerState {
                id,
                key_pin,
                links: Some(links),
            };
            world.listeners.insert((Arc::clone(&node), port), listener);
            (id, address)
        });
        SimListener::new(Arc::clone(&self.0), (node, port), id, incoming, address)
    }

    /// Cuts the path from one node to another, in this direction only. What is on its way is held
    /// back until the path heals; an end that hears nothing for the idle time gives up.
    pub fn partition(&self, from: &str, to: &str) {
        let (from, to) = (from.into(), to.into());
        self.0
            .step(|world, now_ms| world.partition(now_ms, &from, &to));
    }

    /// Cuts the paths between two nodes both ways.
    pub fn partition_both(&self, one: &str, two: &str) {
        self.partition(one, two);
        self.partition(two, one);
    }

    /// Opens the path from one node to another again.
    pub fn heal(&self, from: &str, to: &str) {
        let (from, to) = (from.into(), to.into());
        self.0.step(|world, now_ms| world.heal(now_ms, &from, &to));
    }

    /// Opens all paths.
    pub fn heal_all(&self) {
        self.0.step(|world, now_ms| {
            let paths: Vec<_> = world.partitions.keys().cloned().collect();
            for (from, to) in paths {
                world.heal(now_ms, &from, &to);
            }
        });
    }

    /// Ends every link between two nodes, at both ends at once.
    pub fn kill_links(&self, one: &str, two: &str) {
        let (one, two) = (one.into(), two.into());
        self.0.step(|world, now_ms| world.kill(now_ms, &one, &two));
    }

    /// The node stops and says nothing to anybody: its listeners are gone, its links are dead. Call
    /// it *before* the node's tasks are aborted, or their links close politely. Peers notice by
    /// the idle timeout, or by a reset when they send after the node was brought up again.
    pub fn crash(&self, node: &str) {
        let node = node.into();
        self.0.step(|world, now_ms| world.crash(now_ms, &node));
    }

    /// Brings a crashed node up again, without listeners.
    pub fn restart(&self, node: &str) {
        let node: Arc<str> = node.into();
        self.0.step(|world, _| world.down.remove(&node));
    }

    /// The links that have at least one end alive.
    #[must_use]
    pub fn open_links(&self) -> usize {
        self.0.step(|world, _| {
            let is_open = |reason: Option<_>| reason.is_none();
            world
                .links
                .values()
                .filter(|link| {
                    is_open(link.ends.client.close_reason())
                        || is_open(link.ends.server.close_reason())
                })
                .count()
        })
    }
}

impl core::fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SimNetwork")
    }
}

impl Shared {
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The moment of a time of this network; `None` for what is held back.
    pub(super) fn instant(&self, at_ms: u64) -> Option<Instant> {
        self.start.checked_add(Duration::from_millis(at_ms))
    }

    /// Changes the world under its lock, then shows the tap what was sent, and starts the timers.
    pub(super) fn step<T>(self: &Arc<Self>, change: impl FnOnce(&mut World, u64) -> T) -> T {
        let now_ms = self.now_ms();
        let (result, seen, timers) = {
            let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
            let result = change(&mut world, now_ms);
            let seen = core::mem::take(&mut world.seen);
            (result, seen, core::mem::take(&mut world.timers))
        };
        if !seen.is_empty() {
            let tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
            let tap = tap.as_ref().map(Arc::clone);
            if let Some(tap) = tap {
                seen.iter().for_each(|event| tap(event));
            }
        }
        if !timers.is_empty() {
            self.links_changed.notify_waiters();
        }
        for (delay_ms, action) in timers {
            self.schedule(delay_ms, action);
        }
        result
    }

    fn schedule(self: &Arc<Self>, delay_ms: u64, action: Action) {
        // A link that is dropped while its runtime is going down has nobody left to tell.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let shared = Arc::downgrade(self);
        let at = self.instant(self.now_ms().saturating_add(delay_ms));
        runtime.spawn(async move {
            let Some(at) = at else {
                return;
            };
            tokio::time::sleep_until(at).await;
            if let Some(shared) = shared.upgrade() {
                shared.step(|world, now_ms| world.fire(now_ms, action));
            }
        });
    }
}
