// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What goes wrong, and when: sendings amid power cuts, partitions and bad weather on the network.

use std::collections::BTreeMap;

use waxwing_engine::{Answer, Command};
use waxwing_transport::Clock;
use waxwing_transport::sim::NetworkSettings;

use crate::canary::MARK;
use crate::dice::Dice;
use crate::model::{AccountNumber, DeviceNumber};
use crate::world::World;

/// How often something happens, in virtual milliseconds.
const PAUSE_MS_MAX: u64 = 1_500;

/// What is switched off or cut, and until when.
pub struct Chaos {
    dice: Dice,
    texts: u64,
    relays_down: BTreeMap<usize, u64>,
    devices_down: BTreeMap<usize, u64>,
    cuts: BTreeMap<(String, String), u64>,
}

impl Chaos {
    /// The troubles of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed, "chaos"),
            texts: 0,
            relays_down: BTreeMap::new(),
            devices_down: BTreeMap::new(),
            cuts: BTreeMap::new(),
        }
    }

    /// Lets things go wrong for a while.
    ///
    /// # Errors
    /// Something that was switched off does not start again.
    pub async fn rage(&mut self, world: &mut World) -> anyhow::Result<()> {
        let lasts_ms = self.dice.between(20_000, 90_000);
        let until_ms = world.clock.monotonic_ms().saturating_add(lasts_ms);
        while world.clock.monotonic_ms() < until_ms {
            world.clock.sleep(self.dice.between(1, PAUSE_MS_MAX)).await;
            self.repair_what_is_due(world).await?;
            match self.dice.below(100) {
                0..60 => self.send(world),
                60..72 => self.crash_device(world).await,
                72..78 => self.crash_relay(world).await,
                78..92 => self.cut(world),
                _ => self.change_weather(world),
            }
        }
        Ok(())
    }

    /// Mends everything.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn mend(&mut self, world: &mut World) -> anyhow::Result<()> {
        world.network.heal_all();
        world.network.set_settings(NetworkSettings::default());
        for until_ms in self
            .relays_down
            .values_mut()
            .chain(self.devices_down.values_mut())
        {
            *until_ms = 0;
        }
        self.cuts.clear();
        self.repair_what_is_due(world).await
    }

    async fn repair_what_is_due(&mut self, world: &mut World) -> anyhow::Result<()> {
        let now_ms = world.clock.monotonic_ms();
        for index in take_due(&mut self.relays_down, now_ms) {
            if let Some(relay) = world.relays.get_mut(index) {
                world.witness.log(&format!("{} starts", relay.name()), &[]);
                relay.start().await?;
            }
        }
        for index in take_due(&mut self.devices_down, now_ms) {
            if let Some(device) = world.devices.get_mut(index) {
                world.witness.log(&format!("{} starts", device.name()), &[]);
                device.start().await?;
            }
        }
        for (from, to) in take_due(&mut self.cuts, now_ms) {
            world.network.heal(&from, &to);
        }
        Ok(())
    }

    /// Somebody writes a text to somebody else.
    pub(crate) fn send(&mut self, world: &World) {
        let up: Vec<DeviceNumber> = world
            .devices
            .iter()
            .filter(|device| device.is_up() && world.owner(device.number).is_some())
            .map(|device| device.number)
            .collect();
        let Some(&from) = self.dice.pick(&up) else {
            return;
        };
        let others: Vec<usize> = (0..world.accounts.len())
            .filter(|number| Some(AccountNumber(*number)) != world.owner(from))
            .collect();
        let Some(&to) = self.dice.pick(&others) else {
            return;
        };
        let Some(contact) = world.accounts.get(to).and_then(|account| account.key) else {
            return;
        };
        let Ok(handle) = world.device(from).and_then(|device| device.handle()) else {
            return;
        };
        self.texts = self.texts.saturating_add(1);
        let padding = "x".repeat(usize::try_from(self.dice.below(700)).unwrap_or_default());
        let text = format!("{MARK} {} {padding}", self.texts);
        let (to, witness) = (AccountNumber(to), world.witness.clone());
        let due = world.due(from, to);
        let path = format!("text {} from {} to account {}", self.texts, from.0, to.0);
        witness.log(&path, text.as_bytes());
        witness.with_model(|model| model.ask(from, to, &text, due));
        tokio::spawn(async move {
            let send = Command::Send {
                contact,
                body: text.clone(),
            };
            match handle.command(send).await {
                Ok(Answer::Queued { .. }) => witness.with_model(|model| model.accept(&text)),
                other => witness.log("not accepted", format!("{other:?}").as_bytes()),
            }
        });
    }

    async fn crash_device(&mut self, world: &mut World) {
        let index = self.dice.below(world.devices.len() as u64);
        let kept = self.kept();
        let index = usize::try_from(index).unwrap_or_default();
        let Some(device) = world.devices.get_mut(index).filter(|device| device.is_up()) else {
            return;
        };
        world
            .witness
            .log(&format!("{} crashes", device.name()), &[]);
        device.crash(kept).await;
        let until_ms = world
            .clock
            .monotonic_ms()
            .saturating_add(self.dice.below(20_000));
        self.devices_down.insert(index, until_ms);
    }

    async fn crash_relay(&mut self, world: &mut World) {
        let index = self.dice.below(world.relays.len() as u64);
        let kept = self.kept();
        let index = usize::try_from(index).unwrap_or_default();
        let Some(relay) = world.relays.get_mut(index).filter(|relay| relay.is_up()) else {
            return;
        };
        world.witness.log(&format!("{} crashes", relay.name()), &[]);
        relay.crash(kept).await;
        let until_ms = world
            .clock
            .monotonic_ms()
            .saturating_add(self.dice.below(20_000));
        self.relays_down.insert(index, until_ms);
    }

    /// How many unsynced batches a disk keeps: none, a few, or all.
    fn kept(&mut self) -> usize {
        match self.dice.below(4) {
            0 => usize::MAX,
            1 => usize::try_from(self.dice.below(4)).unwrap_or_default(),
            _ => 0,
        }
    }

    /// Cuts the path between a device and a relay, one way or both.
    fn cut(&mut self, world: &World) {
        let devices: Vec<&str> = world.devices.iter().map(|device| device.name()).collect();
        let relays: Vec<&str> = world.relays.iter().map(|relay| relay.name()).collect();
        let (Some(device), Some(relay)) = (self.dice.pick(&devices), self.dice.pick(&relays))
        else {
            return;
        };
        let until_ms = world
            .clock
            .monotonic_ms()
            .saturating_add(self.dice.between(500, 40_000));
        let both = self.dice.chance(50);
        let there = ((*device).to_owned(), (*relay).to_owned());
        let back = (there.1.clone(), there.0.clone());
        for path in [Some(there), both.then_some(back)].into_iter().flatten() {
            world
                .witness
                .log(&format!("cut {} -> {}", path.0, path.1), &[]);
            world.network.partition(&path.0, &path.1);
            self.cuts.insert(path, until_ms);
        }
    }

    fn change_weather(&mut self, world: &World) {
        world.network.set_settings(NetworkSettings {
            delay_ms: self.dice.between(1, 400),
            jitter_ms: self.dice.below(200),
            loss_per_mille: u32::try_from(self.dice.below(200)).unwrap_or_default(),
            duplicate_per_mille: u32::try_from(self.dice.below(100)).unwrap_or_default(),
            ..NetworkSettings::default()
        });
    }
}

/// Removes and gives the keys whose time has come.
fn take_due<K: Ord + Clone>(waiting: &mut BTreeMap<K, u64>, now_ms: u64) -> Vec<K> {
    let due: Vec<K> = waiting
        .iter()
        .filter(|(_, until_ms)| **until_ms <= now_ms)
        .map(|(key, _)| key.clone())
        .collect();
    for key in &due {
        waiting.remove(key);
    }
    due
}
