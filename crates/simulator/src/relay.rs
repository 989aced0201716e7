// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A simulated server: the real relay over a disk in memory and a simulated listener. It can be
//! cut off from power and started again on what its disk holds.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinHandle;
use waxwing_proto::{InviteToken, KeyPin, ServerAddress};
use waxwing_relay::{InProcessWakeBus, Rates, Relay, Settings};
use waxwing_storage::embedded::memory::{Fault, MemoryDisk, MemoryKeyValue};
use waxwing_storage::embedded::{EmbeddedStore, ServerLimits, ServerOptions};
use waxwing_storage::server::InviteStore;
use waxwing_transport::Clock;
use waxwing_transport::sim::{SimClock, SimEntropy, SimNetwork};

use crate::dice::stream_seed;
use crate::disk::latency;

const PORT: u16 = 4433;

/// A server and its disk.
pub struct SimRelay {
    name: String,
    seed: u64,
    starts: u64,
    network: SimNetwork,
    clock: SimClock,
    disk: MemoryDisk,
    key_pin: KeyPin,
    running: Option<Running>,
}

struct Running {
    store: Arc<EmbeddedStore<MemoryKeyValue>>,
    task: JoinHandle<()>,
}

impl SimRelay {
    /// A server that does not run yet.
    #[must_use]
    pub fn new(name: &str, seed: u64, network: &SimNetwork, clock: &SimClock) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            starts: 0,
            network: network.clone(),
            clock: clock.for_another_node(),
            disk: MemoryDisk::new(),
            key_pin: KeyPin(stream_seed(seed, name)),
            running: None,
        }
    }

    /// Its name on the network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is reached.
    ///
    /// # Errors
    /// The name is not a host name.
    pub fn address(&self) -> anyhow::Result<ServerAddress> {
        Ok(SimNetwork::server_address(
            &self.name,
            PORT,
            vec![self.key_pin],
        )?)
    }

    /// Its disk.
    #[must_use]
    pub const fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Starts on what the disk holds.
    ///
    /// # Errors
    /// The disk does not open.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.starts = self.starts.saturating_add(1);
        let key_value = self.disk.open(latency(&self.clock))?;
        let options = ServerOptions {
            limits: ServerLimits::default(),
            new_name_key: stream_seed(self.seed, "name key"),
        };
        let store = Arc::new(EmbeddedStore::open(key_value, options).await?);
        let listener = self.network.listen(&self.name, PORT, self.key_pin);
        let label = format!("{} {}", self.name, self.starts);
        let seams = waxwing_relay::Seams {
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(SimEntropy::new(self.seed, &label)),
            wake_bus: Arc::new(InProcessWakeBus::default()),
        };
        let settings = Settings {
            open_registration: false,
            key_pins: vec![self.key_pin],
            rates: Rates::default(),
        };
        let relay = Relay::new(Arc::clone(&store), seams, settings);
        let task = tokio::spawn(async move {
            // A failure of the store ends the relay; the checks find what that breaks.
            let _ = relay.serve(Arc::new(listener)).await;
        });
        self.running = Some(Running { store, task });
        Ok(())
    }

    /// A new invite for one registration.
    ///
    /// # Errors
    /// The relay does not run, or its store fails.
    pub async fn invite(&self, token: InviteToken) -> anyhow::Result<()> {
        let running = self.running.as_ref().context("the relay is down")?;
        running.store.create_invite(token, 1, None).await?;
        Ok(())
    }

    /// Cuts the power. Of what was not synced, the disk keeps the oldest `kept` batches.
    pub async fn crash(&mut self, kept: usize) {
        self.network.crash(&self.name);
        if let Some(running) = self.running.take() {
            running.task.abort();
            // The error says that the task was aborted.
            let _ = running.task.await;
        }
        self.disk.crash(kept);
    }

    /// Makes the disk lie or fail from now on: a planted fault.
    pub fn plant(&self, fault: Fault) {
        self.disk.set_fault(Some(fault));
    }

    /// What its clock shows.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }
}
