// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A simulated device: the real engine host over a disk in memory, and somebody who looks at its
//! screen. It can be cut off from power and started again on what its disk holds.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use waxwing_client::host::{CommandFailure, Driver, Handle, Seams};
use waxwing_client::sealed_store::SealedStore;
use waxwing_crypto::sealing::{MasterKey, StoreKeys};
use waxwing_engine::notice::{Body, Notice};
use waxwing_engine::{Answer, Command};
use waxwing_storage::embedded::EmbeddedClientStore;
use waxwing_storage::embedded::memory::MemoryDisk;
use waxwing_transport::EntropyRng;
use waxwing_transport::sim::{SimClock, SimEntropy, SimNetwork};

use crate::disk::latency;
use crate::model::DeviceNumber;
use crate::witness::Witness;

/// Messages that the screen asks for at a time.
const PAGE: usize = 100;

/// A device and its disk.
pub struct SimDevice {
    /// Which one it is.
    pub number: DeviceNumber,
    name: String,
    seed: u64,
    starts: u64,
    network: SimNetwork,
    clock: SimClock,
    disk: MemoryDisk,
    master: Vec<u8>,
    witness: Witness,
    running: Option<Running>,
}

struct Running {
    handle: Handle,
    driver: JoinHandle<()>,
    screen: JoinHandle<()>,
}

impl SimDevice {
    /// A device that is switched off.
    ///
    /// # Errors
    /// Its master key could not be made.
    #[must_use]
    pub fn new(
        number: DeviceNumber,
        seed: u64,
        network: &SimNetwork,
        clock: &SimClock,
        witness: &Witness,
    ) -> Self {
        let name = format!("device-{}", number.0);
        let entropy = Arc::new(SimEntropy::new(seed, &format!("{name} master key")));
        let master = MasterKey::generate(&mut EntropyRng::new(entropy));
        Self {
            number,
            name,
            seed,
            starts: 0,
            network: network.clone(),
            clock: clock.for_another_node(),
            disk: MemoryDisk::new(),
            master: master.unprotected_header().to_vec(),
            witness: witness.clone(),
            running: None,
        }
    }

    /// Its name on the network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its disk.
    #[must_use]
    pub const fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// Whether it is switched on.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Switches it on, on what the disk holds.
    ///
    /// # Errors
    /// The disk or the engine does not open.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.starts = self.starts.saturating_add(1);
        self.network.restart(&self.name);
        let key_value = self.disk.open(latency(&self.clock))?;
        let store = EmbeddedClientStore::open(key_value).await?;
        let master = MasterKey::unwrap(&self.master, None)?;
        let label = format!("{} {}", self.name, self.starts);
        let (driver, handle) = Driver::open(Seams {
            store: SealedStore::new(store, StoreKeys::derive(&master)),
            dialer: self.network.dialer(&self.name),
            clock: self.clock.clone(),
            entropy: SimEntropy::new(self.seed, &label),
        })?;
        let screen = tokio::spawn(watch(handle.clone(), self.number, self.witness.clone()));
        let witness = self.witness.clone();
        let number = self.number;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.run().await {
                witness.note_failure(number, &error.to_string());
            }
        });
        self.running = Some(Running {
            handle,
            driver,
            screen,
        });
        Ok(())
    }

    /// Cuts the power. Of what was not synced, the disk keeps the oldest `kept` batches.
    pub async fn crash(&mut self, kept: usize) {
        self.network.crash(&self.name);
        if let Some(running) = self.running.take() {
            running.driver.abort();
            running.screen.abort();
            // The errors say that the tasks were aborted.
            let _ = running.driver.await;
            let _ = running.screen.await;
        }
        self.disk.crash(kept);
    }

    /// The handle of the running host.
    ///
    /// # Errors
    /// The device is switched off.
    pub fn handle(&self) -> anyhow::Result<Handle> {
        let running = self.running.as_ref();
        Ok(running
            .context("the device is switched off")?
            .handle
            .clone())
    }

    /// Asks for something that must succeed.
    ///
    /// # Errors
    /// It did not.
    pub async fn command(&self, command: Command) -> anyhow::Result<Answer> {
        match self.handle()?.command(command).await {
            Ok(answer) => Ok(answer),
            Err(CommandFailure::Command(error)) => bail!("{}: {error}", self.name),
            Err(failure) => bail!("{}: {failure:?}", self.name),
        }
    }
}

/// Somebody who looks at the screen: takes note of every message that appears, in order, and says
/// so to the host afterwards, as `receive` does.
async fn watch(handle: Handle, device: DeviceNumber, witness: Witness) {
    let mut notices = handle.notices();
    loop {
        // Before the device is part of an account there is nothing to read.
        if let Err(CommandFailure::Ended(_)) = read_screen(&handle, device, &witness).await {
            return;
        }
        loop {
            match notices.recv().await {
                Ok(Notice::Message(_)) | Err(RecvError::Lagged(_)) => break,
                Ok(Notice::Alarm(alarm)) => witness.note_alarm(device, &alarm),
                Ok(_) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

async fn read_screen(
    handle: &Handle,
    device: DeviceNumber,
    witness: &Witness,
) -> Result<(), CommandFailure> {
    let mut after = 0;
    loop {
        let unread = Command::Unread { after, limit: PAGE };
        let Answer::Messages(messages) = handle.command(unread).await? else {
            return Ok(());
        };
        let Some(last) = messages.last().map(|message| message.cursor) else {
            return Ok(());
        };
        for message in &messages {
            if let Body::Text(text) = &message.body {
                witness.note_shown(device, message.cursor, text);
            }
        }
        handle.command(Command::MarkShown { up_to: last }).await?;
        after = last;
    }
}
