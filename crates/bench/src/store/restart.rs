// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first delivery after a server was killed, against reading its files without looking at them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::world::World;
use super::{machine, open};
use crate::pairs::alternate;
use crate::report::Figure;

/// Fills a store in a folder, says so, and waits to be killed.
///
/// # Errors
/// The store's.
pub(crate) fn fill(folder: &Path, live: u32, out: &mut impl Write) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    runtime.block_on(async {
        let world = World::new(Arc::new(open(folder).await?)).await?;
        world.fill(live).await?;
        say(out, "filled")?;
        wait_for_the_end()
    })
}

/// Opens a store, says after how many milliseconds the first message was there, and waits to be killed.
///
/// # Errors
/// The store's.
pub(crate) fn first(folder: &Path, out: &mut impl Write) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let began = machine::now();
    runtime.block_on(async {
        let world = World::reopened(Arc::new(open(folder).await?));
        ensure!(world.first(1).await?, "nothing was delivered");
        say(out, &((machine::now() - began) * 1e3).to_string())?;
        wait_for_the_end()
    })
}

/// Reads the newest checkpoint of a store's log, says how many milliseconds that took, and waits to be killed.
///
/// # Errors
/// There is none, or the file's.
pub(crate) fn checkpoint(folder: &Path, out: &mut impl Write) -> Result<()> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder.join("log"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "checkpoint") {
            newest = newest.max(Some(path));
        }
    }
    let newest = newest.context("the log has no checkpoint")?;
    let began = machine::now();
    std::hint::black_box(std::fs::read(newest)?);
    say(out, &((machine::now() - began) * 1e3).to_string())?;
    wait_for_the_end()
}

fn say(out: &mut impl Write, line: &str) -> Result<()> {
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Who started this process kills it; where it went away, this one ends.
fn wait_for_the_end() -> Result<()> {
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Runs one of the above in a process of its own, and kills that as soon as it has said its line. Answers
/// the line, and what was resident then, in megabytes.
fn until_killed(name: &str, live: u32, folder: &Path) -> Result<(String, f64)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([name, "--live", &live.to_string(), "--folder"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let out = child.stdout.take().context("no output")?;
    BufReader::new(out).read_line(&mut line)?;
    let resident = machine::resident(child.id())? as f64 / 1e6;
    child.kill()?;
    child.wait()?;
    Ok((line.trim_end().to_owned(), resident))
}

/// Fills a store in another process, kills that, and opens the store again, each time in a new process
/// that is killed too; the checkpoint is read in new processes as well, between the openings.
pub(super) fn run(live: u32) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    let (line, resident) = until_killed("fill", live, &path)?;
    ensure!(line == "filled", "the store was not filled");
    let milliseconds = |name: &str| {
        let (line, _) = until_killed(name, live, &path)?;
        line.parse::<f64>().context("a process said no time")
    };
    // Every one of these replays what came after the checkpoint: none writes another one.
    let killed = alternate(|| milliseconds("first"), || milliseconds("checkpoint"))?;
    // Closing writes a checkpoint of everything.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    drop(runtime.block_on(open(&path))?);
    let again = alternate(|| milliseconds("first"), || milliseconds("checkpoint"))?;
    let against = "reading the newest checkpoint of the log, from the page cache, in a new process";
    Ok(vec![
        // Of a process that has done nothing but fill the store.
        Figure::from_pairs("store.resident", "MB", "1 MB", vec![(resident, 1.0)]).with_bar(200.0),
        Figure::from_pairs("store.first_delivery_killed", "ms", against, killed).with_bar(3.0),
        Figure::from_pairs("store.first_delivery", "ms", against, again).with_bar(3.0),
    ])
}
