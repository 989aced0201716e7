// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server's store against a bare log in the same run: durable appends, steady state, bytes to
//! the device, space, memory, and the first delivery after a kill.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "counts of a few minutes, far below 2^52"
)]

mod bare_log;
mod device;
mod load;
pub(crate) mod machine;
mod minutes;
mod restart;
mod room;
pub(crate) mod segments;
mod world;
mod written;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tokio::runtime::Runtime;
use waxwing_storage::embedded::files::{FileOptions, open_server};
use waxwing_storage::embedded::{ServerLimits, ServerOptions};
use waxwing_storage::server::Store;

use crate::pairs::alternate;
use crate::report::Figure;
use bare_log::{BareLog, SEGMENTS_KEPT};
use load::{Kind, Load, Sample};
use machine::Space;

pub(crate) use restart::{checkpoint, fill, first};

const AGAINST: &str =
    "a bare log: one committer, 16 MiB pre-written, one vectored write and fdatasync a batch";

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Only figures that have this in their names.
    pub(crate) only: Option<String>,
    /// Seconds of each sample.
    pub(crate) seconds: u32,
    /// Messages that are stored during the steady state.
    pub(crate) live: u32,
    /// Whether what takes many minutes takes even more.
    pub(crate) heavy: bool,
}

/// Measures everything.
///
/// # Errors
/// A store failed, or the folder cannot be used.
pub(crate) fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let is_wanted = |name: &str| {
        let only = settings.only.as_deref();
        only.is_none_or(|only| name.contains(only))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    let mut figures = Vec::new();
    for (writers, name, cpu_name, floor) in [
        (64, "store.append_64", "store.append_64_cpu", 0.70),
        (1024, "store.append_1024", "store.append_1024_cpu", 0.60),
    ] {
        if !is_wanted(name) {
            continue;
        }
        let (rate, cpu) = append(&runtime, writers, settings.seconds)?;
        figures.push(Figure::from_pairs(name, "msg/s", AGAINST, rate).with_floor(floor));
        let cpu = Figure::from_pairs(cpu_name, "us", AGAINST, cpu);
        figures.push(if writers == 64 {
            cpu.with_bar(1.6)
        } else {
            cpu
        });
    }
    if is_wanted("store.steady") {
        figures.extend(steady(&runtime, settings)?);
    }
    figures.extend(written::run(&runtime, settings.seconds, is_wanted)?);
    if is_wanted("store.minutes") {
        figures.extend(minutes::run(&runtime, settings)?);
    }
    if is_wanted("store.room") {
        figures.push(room::run(&runtime, settings.live)?);
    }
    drop(runtime);
    if is_wanted("store.first_delivery") {
        figures.extend(restart::run(settings.live)?);
    }
    Ok(figures)
}

/// Opens the store as a server does, with room for a load that no server would let one sender make.
pub(crate) async fn open(folder: &Path) -> Result<impl Store> {
    let options = ServerOptions {
        limits: ServerLimits {
            mailbox_envelopes_max: usize::MAX,
            mailbox_bytes_max: u64::MAX,
            mailbox_contact_envelopes_max: usize::MAX,
            mailbox_contact_bytes_max: u64::MAX,
            ..ServerLimits::default()
        },
        new_name_key: [0x5a; 32],
    };
    Ok(open_server(folder, options, FileOptions::default()).await?)
}

type Pairs = Vec<(f64, f64)>;

/// Appends alone: messages a second, and microseconds of processor time for each.
fn append(runtime: &Runtime, writers: u32, seconds: u32) -> Result<(Pairs, Pairs)> {
    let load = Load {
        kind: Kind::Append,
        writers,
        seconds,
        live: 0,
    };
    let (mut cpu, mut bare_cpu) = (Vec::new(), Vec::new());
    let rate = alternate(
        || {
            let sample = ours(runtime, load)?;
            cpu.push(sample.cpu_us_each());
            Ok(sample.rate())
        },
        || {
            let sample = theirs(runtime, load)?;
            bare_cpu.push(sample.cpu_us_each());
            Ok(sample.rate())
        },
    )?;
    Ok((rate, cpu.into_iter().zip(bare_cpu).collect()))
}

fn ours(runtime: &Runtime, load: Load) -> Result<Sample> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    runtime.block_on(async {
        let store = Arc::new(open(&path).await?);
        let world = world::World::new(Arc::clone(&store)).await?;
        load.on_store(&world, &path).await
    })
}

fn theirs(runtime: &Runtime, load: Load) -> Result<Sample> {
    let folder = tempfile::tempdir()?;
    // Where nothing is acknowledged nothing may be written over.
    let kept = (load.kind != Kind::Append).then_some(SEGMENTS_KEPT);
    let log = Arc::new(BareLog::open(folder.path(), kept)?);
    runtime.block_on(async {
        // Its first segments are ready, as those of the store are.
        log.append(b"first").await?;
        load.on_bare_log(&log, folder.path()).await
    })
}

/// Append, read 16, acknowledge, with so many messages stored.
fn steady(runtime: &Runtime, settings: &Settings) -> Result<Vec<Figure>> {
    let load = Load {
        kind: Kind::Steady,
        writers: 64,
        seconds: settings.seconds,
        live: settings.live,
    };
    let mut drift = Vec::new();
    let mut space = Space::default();
    let rate = alternate(
        || {
            let sample = ours(runtime, load)?;
            drift.push((sample.last_part, sample.second_part));
            space = space.max(sample.space_max);
            Ok(sample.rate())
        },
        || Ok(theirs(runtime, load)?.rate()),
    )?;
    Ok(vec![
        Figure::from_pairs("store.steady", "msg/s", AGAINST, rate).with_floor(0.60),
        Figure::from_pairs(
            "store.steady_drift",
            "msg/s",
            "the second third of the run",
            drift,
        )
        .with_floor(0.90),
        space_figure("store.space", space, settings.live, 1.6),
    ])
}

/// What is on the disk, at most so many times what is stored and 64 MiB. Ids that are remembered have a bound of
/// their own.
fn space_figure(name: &'static str, space: Space, live: u32, times: f64) -> Figure {
    const MIB: f64 = 1024.0 * 1024.0;
    let stored = f64::from(live) * world::BODY as f64;
    let most = times * stored + 64.0 * MIB;
    let note = format!(
        "{:.0} MiB are stored; ids that are remembered take {:.0} MiB beside that",
        stored / MIB,
        space.remembered / MIB
    );
    let against = "the most that is allowed";
    Figure::counted(name, "MiB", against, space.others / MIB, most / MIB).with_note(note)
}
