// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask crash`: the stores survive power cuts, kills and failing disks, and the suite that
//! says so fails where it must.

mod kills;
mod state;
mod stores;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::stage::Stage;
use crate::workspace;
use state::State;
use stores::Stores;

/// Kill, cut the power, fill and break the disk, and look for what was lost, doubled or shown again.
///
/// Kills are SIGKILLs of the real programs under load. A power cut is an image of what could have
/// been on the disk at one moment of a recorded run; each image is opened by the real code. Both are
/// proved on stores that are broken on purpose. Exits with an error when any promise was broken, when
/// a broken store passed, or when processes cannot be watched here.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask crash                    50 kills and 500 power cuts, about two minutes
  cargo xtask crash --heavy            1,000 kills and 10,000 power cuts, at most an hour
  cargo xtask crash --heavy --resume   go on where an earlier run of the same programs ended
  cargo xtask crash --kills 0          power cuts and faults only
  cargo xtask crash --allow-partial    succeed where libraries cannot be preloaded")]
pub(crate) struct Crash {
    /// 1,000 kills and 10,000 power cuts
    #[arg(long)]
    heavy: bool,
    /// Pass over what an earlier run of the same programs has finished
    #[arg(long)]
    resume: bool,
    /// Succeed without the parts that cannot be run here
    #[arg(long)]
    allow_partial: bool,
    /// How many kills
    #[arg(long, value_name = "N")]
    kills: Option<u64>,
    /// How many power-cut images
    #[arg(long, value_name = "N")]
    images: Option<u64>,
    /// Decides every choice that does not depend on time
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

/// Kills in one session of a server and its people.
const KILLS_PER_SESSION: u64 = 25;
/// Images of one recording.
const IMAGES_PER_RECORDING: u64 = 1000;

/// The stores: a server's with either engine, and a client's.
const KINDS: [&str; 3] = ["server", "server-redb", "client"];

/// A part of the suite: it is finished or not, and its result is one line.
#[derive(Debug, Clone)]
enum Unit {
    /// A store that is broken on purpose must be found out.
    Planted {
        kind: &'static str,
        plant: &'static str,
    },
    /// Power cuts of one recording.
    PowerCuts {
        kind: &'static str,
        seed: u64,
        images: u64,
    },
    /// A failing disk and damaged files.
    Faults {
        kind: &'static str,
        rounds: u64,
        damages: u64,
    },
    /// Kills of one session.
    Kills { seed: u64, kills: u64 },
}

impl Unit {
    fn name(&self) -> String {
        match self {
            Self::Planted { kind, plant } => format!("planted {kind} {plant}"),
            Self::PowerCuts { kind, seed, images } => {
                format!("power cuts {kind} seed {seed}, {images} images")
            }
            Self::Faults { kind, .. } => format!("faults {kind}"),
            Self::Kills { seed, kills } => format!("kills session {seed}, {kills} kills"),
        }
    }
}

/// What a unit showed.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shown {
    /// Whether every promise held; for a planted fault, whether it was found.
    holds: bool,
    /// What is printed.
    line: String,
    kills: u64,
    images: u64,
}

impl Crash {
    /// What continuous integration runs.
    pub(crate) const fn small() -> Self {
        Self {
            heavy: false,
            resume: false,
            allow_partial: false,
            kills: None,
            images: None,
            seed: 1,
        }
    }

    pub(crate) fn run(&self) -> Result<bool> {
        let began = clock();
        let stage = Stage::build()?;
        let stores = Stores::build()?;
        let can_watch = match stores.probe() {
            Ok(()) => true,
            Err(why) => {
                println!("processes cannot be watched here, so no power is cut: {why:#}");
                false
            }
        };
        let units = self.units(can_watch);
        let programs = [
            stage.waxwingd(),
            stage.waxwing(),
            stores.program(),
            stores.preload(),
        ];
        let mut state = State::open(&state_file()?, &format!("seed {}", self.seed), &programs)?;
        if !self.resume {
            state.forget();
        }
        let mut all = Vec::new();
        for unit in &units {
            let name = unit.name();
            let shown = match state.finished(&name) {
                Some(shown) => shown,
                None => {
                    let shown = self.run_unit(unit, &stage, &stores)?;
                    state.finish(&name, &shown)?;
                    shown
                }
            };
            let word = if shown.holds { "holds" } else { "BROKEN" };
            println!("{word:<6}  {name}: {}", shown.line);
            all.push(shown);
        }
        let broken = all.iter().filter(|shown| !shown.holds).count();
        let sum = |count: fn(&Shown) -> u64| all.iter().map(count).fold(0, u64::saturating_add);
        println!(
            "crash: {} kills, {} power-cut images, {} of {} parts broken, {} s",
            sum(|shown| shown.kills),
            sum(|shown| shown.images),
            broken,
            all.len(),
            began.elapsed().as_secs(),
        );
        if !can_watch {
            println!("PARTIAL: the power cuts and faults were not run");
        }
        Ok(broken == 0 && (can_watch || self.allow_partial))
    }

    fn units(&self, can_watch: bool) -> Vec<Unit> {
        let kills = self.kills.unwrap_or(if self.heavy { 1000 } else { 50 });
        let images = self.images.unwrap_or(if self.heavy { 10_000 } else { 500 });
        let mut units = Vec::new();
        if can_watch {
            for (kind, plant) in [
                ("server", "unguarded"),
                ("server", "skip-sync"),
                ("server-redb", "skip-sync"),
                ("client", "unguarded"),
                ("client", "skip-sync"),
            ] {
                units.push(Unit::Planted { kind, plant });
            }
            let mut left = images;
            let mut seed = self.seed;
            while left > 0 {
                let each = left.div_ceil(3).min(IMAGES_PER_RECORDING);
                for kind in KINDS {
                    let images = each.min(left);
                    left = left.saturating_sub(images);
                    if images > 0 {
                        units.push(Unit::PowerCuts { kind, seed, images });
                    }
                }
                seed = seed.saturating_add(1);
            }
            let (rounds, damages) = if self.heavy { (25, 500) } else { (2, 40) };
            if images > 0 {
                for kind in KINDS {
                    units.push(Unit::Faults {
                        kind,
                        rounds,
                        damages,
                    });
                }
            }
        }
        let mut left = kills;
        let mut seed = self.seed;
        while left > 0 {
            let kills = left.min(KILLS_PER_SESSION);
            units.push(Unit::Kills { seed, kills });
            left = left.saturating_sub(kills);
            seed = seed.saturating_add(1);
        }
        units
    }

    fn run_unit(&self, unit: &Unit, stage: &Stage, stores: &Stores) -> Result<Shown> {
        match unit {
            Unit::Planted { kind, plant } => stores.planted(kind, plant, self.seed),
            Unit::PowerCuts { kind, seed, images } => stores.power_cuts(kind, *seed, *images),
            Unit::Faults {
                kind,
                rounds,
                damages,
            } => stores.faults(kind, self.seed, *rounds, *damages),
            Unit::Kills { seed, kills } => kills::session(stage, *seed, *kills),
        }
        .with_context(|| unit.name())
    }
}

fn state_file() -> Result<PathBuf> {
    Ok(workspace::target_folder()?.join("crash/state.json"))
}

#[allow(
    clippy::disallowed_methods,
    reason = "the time that it took is shown to a person and decides nothing"
)]
pub(crate) fn clock() -> Instant {
    Instant::now()
}
