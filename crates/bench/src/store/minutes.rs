// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a store is as fast after minutes as at their beginning: one long run of ours alone.

use anyhow::Result;
use tokio::runtime::Runtime;

use super::load::{Kind, Load};
use super::{Settings, ours, space_figure};
use crate::report::Figure;

/// Seconds of the run, and of the heavy one.
const SECONDS: u32 = 180;
const SECONDS_HEAVY: u32 = 600;

/// Append, read 16, acknowledge for minutes, with so many messages stored.
pub(super) fn run(runtime: &Runtime, settings: &Settings) -> Result<Vec<Figure>> {
    let load = Load {
        kind: Kind::Steady,
        writers: 64,
        seconds: if settings.heavy {
            SECONDS_HEAVY
        } else {
            SECONDS
        },
        live: settings.live,
    };
    let sample = ours(runtime, load)?;
    let (last, second) = (sample.last_part, sample.second_part);
    let against = "the second minute of the same run";
    let note = format!(
        "{} seconds, {:.0} messages a second, {} stored; {:.2} KiB to the device for each",
        load.seconds,
        sample.rate(),
        load.live,
        sample.written_each
    );
    let minutes = vec![(last, second)];
    Ok(vec![
        Figure::from_pairs("store.minutes", "msg/s", against, minutes)
            .with_floor(0.90)
            .with_note(note),
        space_figure("store.minutes_space", sample.space_max, settings.live, 1.6),
    ])
}
