// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How soon a store gives back the room of what was deleted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Runtime;

use super::machine::{self, Space};
use super::open;
use super::world::{BODY, World};
use crate::report::Figure;

/// Seconds after which it must have been given back.
const SECONDS_MAX: f64 = 60.0;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
const MIB: f64 = 1024.0 * 1024.0;

/// Fills a store, empties nine mailboxes in ten, and waits until 1.2 times what is left and 64 MiB are not
/// exceeded any more.
pub(super) fn run(runtime: &Runtime, live: u32) -> Result<Figure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    runtime.block_on(async {
        let world = World::new(Arc::new(open(&path).await?)).await?;
        world.fill(live).await?;
        let before = Space::of(&path)?.others;
        let deleted = world.empty_nine_in_ten().await?;
        let left = f64::from(live.saturating_sub(deleted)) * BODY as f64;
        let most = 1.2 * left + 64.0 * MIB;
        let began = machine::now();
        let mut space = before;
        while space > most && machine::now() - began <= SECONDS_MAX {
            std::thread::park_timeout(PAUSE);
            space = Space::of(&path)?.others;
        }
        let seconds = machine::now() - began;
        let note = format!(
            "{:.0} MiB on the disk before, {:.0} after; {:.0} MiB are still stored, of which the most is {:.0}",
            before / MIB,
            space / MIB,
            left / MIB,
            most / MIB
        );
        let against = "the most that it may take";
        Ok(Figure::counted("store.room_given_back", "s", against, seconds, SECONDS_MAX).with_note(note))
    })
}
