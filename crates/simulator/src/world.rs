// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The world of one seed: relays, devices, the network between them, and who belongs to whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::broadcast::error::RecvError;
use waxwing_crypto::RecoveryWords;
use waxwing_engine::notice::{LinkingStep, Notice};
use waxwing_engine::{Answer, Command};
use waxwing_identity::links::{InviteLink, ServerLink};
use waxwing_proto::{AccountKey, InviteToken};
use waxwing_transport::sim::{
    NetworkSettings, SimClock, SimEntropy, SimNetwork, TapEvent, TapKind,
};
use waxwing_transport::{Clock, EntropyRng};

use crate::canary::{MARK, Search};
use crate::device::SimDevice;
use crate::dice::Dice;
use crate::event_log::EventLog;
use crate::model::{AccountNumber, DeviceNumber, Violation};
use crate::relay::SimRelay;
use crate::witness::Witness;

/// A moment in November 2026, when every run begins.
const WALL_START_MS: u64 = 1_795_000_000_000;

/// How long a message request may take on an undisturbed network, in virtual seconds.
const REQUEST_SECONDS_MAX: u64 = 120;

/// An account and its devices.
pub struct SimAccount {
    /// Its name on its server.
    pub name: String,
    /// The index of its server.
    pub relay: usize,
    /// Its key, once it is registered.
    pub key: Option<AccountKey>,
    /// Its devices.
    pub devices: Vec<DeviceNumber>,
}

/// Everything in one run.
pub struct World {
    pub(crate) seed: u64,
    pub(crate) network: SimNetwork,
    pub(crate) clock: SimClock,
    pub(crate) log: EventLog,
    pub(crate) witness: Witness,
    pub(crate) relays: Vec<SimRelay>,
    pub(crate) devices: Vec<SimDevice>,
    pub(crate) accounts: Vec<SimAccount>,
}

impl World {
    /// An empty world. Needs a current-thread runtime with a paused clock.
    #[must_use]
    pub fn new(seed: u64, trace: bool) -> Self {
        let network = SimNetwork::new(seed, NetworkSettings::default());
        let clock = SimClock::new(WALL_START_MS);
        let log = EventLog::new(trace);
        let witness = Witness::new(&clock, &log);
        network.set_tap(tap(&log, &witness));
        Self {
            seed,
            network,
            clock,
            log,
            witness,
            relays: Vec::new(),
            devices: Vec::new(),
            accounts: Vec::new(),
        }
    }

    /// Adds relays and starts them.
    ///
    /// # Errors
    /// One does not start.
    pub async fn add_relays(&mut self, count: usize) -> anyhow::Result<()> {
        for number in 0..count {
            let name = format!("relay-{number}");
            let mut relay = SimRelay::new(&name, self.seed, &self.network, &self.clock);
            relay.start().await?;
            self.relays.push(relay);
        }
        Ok(())
    }

    /// Registers an account with one device.
    ///
    /// # Errors
    /// The registration fails.
    pub async fn register(&mut self, relay: usize, dice: &mut Dice) -> anyhow::Result<()> {
        let number = self.accounts.len();
        let name = format!("person-{number}");
        let token = InviteToken::new(dice.bytes());
        let server = self.relays.get(relay).context("no such relay")?;
        server.invite(token).await?;
        let invite = InviteLink::new(server.address()?, token)?;
        let entropy = SimEntropy::new(self.seed, &format!("{name} words"));
        let words = RecoveryWords::generate(&mut EntropyRng::new(Arc::new(entropy)));
        let device = self.add_device().await?;
        let register = Command::Register {
            invite,
            name: name.parse()?,
            words,
        };
        let Answer::Registered { account, .. } = self.device(device)?.command(register).await?
        else {
            bail!("registration gave another answer");
        };
        self.accounts.push(SimAccount {
            name,
            relay,
            key: Some(account),
            devices: vec![device],
        });
        Ok(())
    }

    /// Links one more device to an account.
    ///
    /// # Errors
    /// The linking fails.
    pub async fn link(&mut self, account: AccountNumber) -> anyhow::Result<()> {
        let new = self.add_device().await?;
        let owner = self.accounts.get(account.0).context("no such account")?;
        let first = *owner.devices.first().context("no first device")?;
        let relay = self.relays.get(owner.relay).context("no such relay")?;
        let server = ServerLink::new(relay.address()?)?;
        let handle = self.device(new)?.handle()?;
        let mut notices = handle.notices();
        let code = match handle.command(Command::Link { server }).await {
            Ok(Answer::LinkCode(code)) => code,
            other => bail!("no link code: {other:?}"),
        };
        let confirm = tokio::spawn(async move {
            loop {
                match notices.recv().await {
                    Ok(Notice::Linking(LinkingStep::Compare { .. })) => break,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
            Some(handle.command(Command::ConfirmLink { same: true }).await)
        });
        let device = self.device(first)?;
        let Answer::DeviceOffer {
            device: offered, ..
        } = device.command(Command::InspectDevice { code }).await?
        else {
            bail!("no device offer");
        };
        device
            .command(Command::ApproveDevice { device: offered })
            .await?;
        match confirm.await? {
            Some(Ok(Answer::Done)) => {}
            other => bail!("the new device did not join: {other:?}"),
        }
        if let Some(owner) = self.accounts.get_mut(account.0) {
            owner.devices.push(new);
        }
        Ok(())
    }

    /// One account adds another by its contact link, on its first device.
    ///
    /// # Errors
    /// The link cannot be had or added.
    pub async fn introduce(&self, who: AccountNumber, whom: AccountNumber) -> anyhow::Result<()> {
        let shown = self
            .first_device(whom)?
            .command(Command::OwnContactLink)
            .await?;
        let Answer::ContactLink(link) = shown else {
            bail!("no contact link");
        };
        // The user's private name for a contact is nobody else's business.
        let label = Some(format!("{MARK} {}", whom.0));
        self.first_device(who)?
            .command(Command::AddContact { link, label })
            .await?;
        Ok(())
    }

    /// Removes the last device of an account that has several. What is sent from now on must not
    /// appear on it.
    ///
    /// # Errors
    /// The removal fails.
    pub async fn remove_last_device(&mut self, account: AccountNumber) -> anyhow::Result<()> {
        let first = self.first_device(account)?;
        let Answer::Devices(devices) = first.command(Command::ListDevices).await? else {
            bail!("no list of devices");
        };
        let other = devices.iter().find(|device| !device.this_device);
        let id = other.context("no other device")?.id;
        let owner = self
            .accounts
            .get_mut(account.0)
            .context("no such account")?;
        let removed = owner.devices.pop().context("no last device")?;
        self.witness.expect_removal(removed);
        self.first_device(account)?
            .command(Command::RemoveDevice { device: id })
            .await?;
        Ok(())
    }

    /// One account adds another by its contact link and writes; the other accepts the request.
    ///
    /// # Errors
    /// The request does not arrive in time, or cannot be accepted.
    pub async fn introduce_by_request(
        &self,
        who: AccountNumber,
        whom: AccountNumber,
    ) -> anyhow::Result<()> {
        self.introduce(who, whom).await?;
        let from = self.first_device(who)?;
        let text = format!("{MARK} may I? {} {}", who.0, whom.0);
        let key = |account: AccountNumber| {
            let account = self.accounts.get(account.0);
            account.and_then(|account| account.key).context("no key")
        };
        let due = self.due(from.number, whom);
        self.witness
            .with_model(|model| model.ask(from.number, whom, &text, due));
        from.command(Command::Send {
            contact: key(whom)?,
            body: text.clone(),
        })
        .await?;
        self.witness.with_model(|model| model.accept(&text));
        let asked = self.first_device(whom)?;
        for _ in 0..REQUEST_SECONDS_MAX {
            self.clock.sleep(1_000).await;
            let Answer::Contacts(contacts) = asked.command(Command::ListContacts).await? else {
                bail!("no list of contacts");
            };
            let contact = key(who)?;
            if contacts
                .iter()
                .any(|known| known.account == contact && known.request)
            {
                asked.command(Command::AcceptContact { contact }).await?;
                return Ok(());
            }
        }
        bail!("a message request did not arrive")
    }

    async fn add_device(&mut self) -> anyhow::Result<DeviceNumber> {
        let number = DeviceNumber(self.devices.len());
        let mut device =
            SimDevice::new(number, self.seed, &self.network, &self.clock, &self.witness);
        device.start().await?;
        self.devices.push(device);
        Ok(number)
    }

    /// A device of the run.
    ///
    /// # Errors
    /// There is none with this number.
    pub fn device(&self, number: DeviceNumber) -> anyhow::Result<&SimDevice> {
        self.devices.get(number.0).context("no such device")
    }

    fn first_device(&self, account: AccountNumber) -> anyhow::Result<&SimDevice> {
        let account = self.accounts.get(account.0).context("no such account")?;
        self.device(*account.devices.first().context("no first device")?)
    }

    /// The account that a device belongs to.
    #[must_use]
    pub fn owner(&self, device: DeviceNumber) -> Option<AccountNumber> {
        let owns = |account: &SimAccount| account.devices.contains(&device);
        self.accounts.iter().position(owns).map(AccountNumber)
    }

    /// The devices that must show what `from` sends to `to`: all of the recipient's, and the
    /// sender's others.
    #[must_use]
    pub fn due(&self, from: DeviceNumber, to: AccountNumber) -> BTreeSet<DeviceNumber> {
        let owner = self.owner(from);
        let accounts = [Some(to), owner].into_iter().flatten();
        accounts
            .filter_map(|account| self.accounts.get(account.0))
            .flat_map(|account| account.devices.iter().copied())
            .filter(|device| *device != from)
            .collect()
    }

    /// Writes what each device says of itself and of its contacts into the log, for the trace.
    pub async fn describe_devices(&self) {
        for device in &self.devices {
            for command in [Command::Status, Command::ListContacts] {
                let Ok(handle) = device.handle() else {
                    continue;
                };
                let answer = format!("{:?}", handle.command(command).await);
                self.witness
                    .log(&format!("{}: {answer}", device.name()), &[]);
            }
        }
    }

    /// Searches every disk for plaintext: what a server keeps, and what a device keeps sealed.
    pub fn search_disks(&self) {
        let search = Search::new();
        let disks = self
            .relays
            .iter()
            .map(|relay| (relay.name(), relay.disk()))
            .chain(
                self.devices
                    .iter()
                    .map(|device| (device.name(), device.disk())),
            );
        for (name, disk) in disks {
            for (key, value) in disk.rows() {
                let found = search.find_in(&key).or_else(|| search.find_in(&value));
                if let Some(form) = found {
                    let place = format!("the disk of {name}");
                    self.witness.note(Violation::Leak { place, form });
                }
            }
        }
    }
}

/// Writes everything that the network carries into the log, and searches it for plaintext.
fn tap(log: &EventLog, witness: &Witness) -> Arc<dyn Fn(&TapEvent) + Send + Sync> {
    let (log, witness, search) = (log.clone(), witness.clone(), Search::new());
    Arc::new(move |event| {
        let stream = event
            .stream
            .map_or_else(String::new, |stream| format!("/{stream}"));
        let path = format!("{} -> {} #{}{stream}", event.from, event.to, event.link);
        let (kind, bytes): (&str, &[u8]) = match &event.kind {
            TapKind::Connected => ("connected", &[]),
            TapKind::Bytes(bytes) => ("bytes", bytes),
            TapKind::Finished => ("finished", &[]),
            TapKind::Reset(_) => ("reset", &[]),
            TapKind::Stopped(_) => ("stopped", &[]),
            TapKind::Closed(_) => ("closed", &[]),
        };
        log.add(
            event.time_ms,
            &format!("{path} {kind} x{}", event.copies),
            bytes,
        );
        if let Some(form) = search.find_in(bytes) {
            witness.note(Violation::Leak {
                place: format!("the network, {path}"),
                form,
            });
        }
    })
}
