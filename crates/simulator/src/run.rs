// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One run: people are introduced, everything goes wrong for a while, everything is mended, and the
//! reference model judges what is on the screens.

use bytes::Bytes;
use waxwing_engine::{Answer, Command};
use waxwing_storage::embedded::memory::Fault;
use waxwing_transport::Clock;
use waxwing_transport::sim::NetworkSettings;

use crate::canary::MARK;
use crate::chaos::Chaos;
use crate::dice::Dice;
use crate::model::{AccountNumber, Violation};
use crate::world::{SimAccount, World};

/// How long a mended world may take to come to rest, in virtual milliseconds.
const REST_MS_MAX: u64 = 15 * 60_000;
/// How long it is watched after it has come to rest, for what appears twice.
const WATCH_MS: u64 = 60_000;
/// Texts that are written after a device was removed.
const TEXTS_AFTER_REMOVAL: usize = 12;
/// Devices of one account in a run.
const DEVICES_MAX: usize = 2;

/// A fault of the program itself, planted so that the checks can be seen to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The disks of the relays say that they have synced, and have not.
    LyingDisk,
    /// A device tells the network something that it must not.
    NetworkLeak,
    /// A relay writes something down that it must not know.
    DiskLeak,
    /// A screen shows a text at a second place.
    DoubledScreen,
    /// The screens show later texts at earlier places.
    ShuffledScreen,
}

/// What a run is like.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Prints every event.
    pub trace: bool,
    /// A planted fault.
    pub plant: Option<Plant>,
}

/// What came out of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The hash of everything that happened, in hexadecimal digits.
    pub hash: String,
    /// How many events it is made of.
    pub events: u64,
    /// How long the run was, in virtual milliseconds.
    pub lasted_ms: u64,
    /// Texts that were accepted into an outbox.
    pub accepted: usize,
    /// How often a text was shown.
    pub shown: usize,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// Hosts that ended by themselves.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.failures.is_empty()
    }
}

/// Runs one seed to its end.
///
/// # Errors
/// The world could not be set up.
pub fn run(seed: u64, settings: Settings) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(play(seed, settings))
}

async fn play(seed: u64, settings: Settings) -> anyhow::Result<Outcome> {
    let mut world = World::new(seed, settings.trace);
    let mut dice = Dice::new(seed, "cast");
    set_up(&mut world, &mut dice).await?;
    match settings.plant {
        Some(Plant::LyingDisk) => {
            world
                .relays
                .iter()
                .for_each(|relay| relay.plant(Fault::SyncLies));
        }
        Some(Plant::ShuffledScreen) => world.witness.shuffle_screens(),
        _ => {}
    }
    let mut chaos = Chaos::new(seed);
    chaos.rage(&mut world).await?;
    chaos.mend(&mut world).await?;
    match settings.plant {
        Some(Plant::NetworkLeak) => leak_to_the_network(&world).await?,
        Some(Plant::DiskLeak) => leak_to_a_disk(&world),
        _ => {}
    }
    rest(&world).await;
    if dice.chance(40) && !world.witness.has_seen_a_breach() {
        part(&mut world, &mut chaos).await?;
    }
    if settings.trace {
        world.describe_devices().await;
    }
    world.search_disks();
    if settings.plant == Some(Plant::DoubledScreen) {
        double_a_screen(&world);
    }
    let (violations, failures) = world.witness.verdict();
    let (accepted, shown) = world.witness.with_model(|model| model.totals());
    let (hash, events) = world.log.hash();
    let lasted_ms = world.clock.monotonic_ms();
    Ok(Outcome {
        hash,
        events,
        lasted_ms,
        accepted,
        shown,
        violations,
        failures,
    })
}

/// Three accounts with one or two devices each on two relays, all of whom know each other.
async fn set_up(world: &mut World, dice: &mut Dice) -> anyhow::Result<()> {
    world.add_relays(2).await?;
    world.network.set_settings(NetworkSettings {
        delay_ms: dice.between(1, 60),
        jitter_ms: dice.below(30),
        ..NetworkSettings::default()
    });
    for number in 0..3 {
        let relay = usize::from(dice.chance(50));
        world.register(relay, dice).await?;
        if dice.chance(50) {
            world.link(AccountNumber(number)).await?;
        }
    }
    for (who, whom) in [(0, 1), (0, 2), (1, 2)] {
        let (who, whom) = (AccountNumber(who), AccountNumber(whom));
        if dice.chance(30) {
            world.introduce_by_request(who, whom).await?;
        } else {
            world.introduce(who, whom).await?;
            world.introduce(whom, who).await?;
        }
    }
    debug_assert!(
        world
            .accounts
            .iter()
            .all(|account| account.devices.len() <= DEVICES_MAX)
    );
    // Contacts reach the second devices.
    world.clock.sleep(dice.between(2_000, 20_000)).await;
    Ok(())
}

/// Somebody removes a device; what is written afterwards must not appear on it.
async fn part(world: &mut World, chaos: &mut Chaos) -> anyhow::Result<()> {
    let has_two = |account: &SimAccount| account.devices.len() == DEVICES_MAX;
    let Some(account) = world.accounts.iter().position(has_two) else {
        return Ok(());
    };
    world.remove_last_device(AccountNumber(account)).await?;
    for _ in 0..TEXTS_AFTER_REMOVAL {
        world.clock.sleep(1_000).await;
        chaos.send(world);
    }
    rest(world).await;
    Ok(())
}

/// Waits until every accepted text is where it must be, or the time is over; then a little longer.
async fn rest(world: &World) {
    let until_ms = world.clock.monotonic_ms().saturating_add(REST_MS_MAX);
    while world.clock.monotonic_ms() < until_ms && !world.witness.has_seen_a_breach() {
        if world
            .witness
            .with_model(|model| model.outstanding().is_empty())
        {
            break;
        }
        world.clock.sleep(1_000).await;
    }
    world.clock.sleep(WATCH_MS).await;
}

/// Looks a name up that nobody else may know of: the simulated network carries it in clear.
async fn leak_to_the_network(world: &World) -> anyhow::Result<()> {
    for device in world.devices.iter().filter(|device| device.is_up()) {
        let look_up = Command::AddContactByName {
            name: MARK.parse()?,
            label: None,
        };
        // There is no such name; that it was asked for is the leak.
        let answer = device.handle()?.command(look_up).await;
        debug_assert!(!matches!(answer, Ok(Answer::Done)));
    }
    Ok(())
}

fn leak_to_a_disk(world: &World) {
    for relay in &world.relays {
        let text = format!("found in a mailbox: {MARK}");
        relay
            .disk()
            .write_raw(Bytes::from_static(b"\xffplanted"), Bytes::from(text));
    }
}

fn double_a_screen(world: &World) {
    let shown = world.witness.with_model(|model| model.any_shown());
    if let Some((device, cursor, text)) = shown {
        world
            .witness
            .note_shown(device, cursor.saturating_add(1_000_000), &text);
    }
}
