// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first delivery after a server was killed, against reading its files without looking at them.

use std::io::{BufRead, BufReader, Read};
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
pub(crate) fn fill(folder: &Path, live: u32, out: &mut impl std::io::Write) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    runtime.block_on(async {
        let world = World::new(Arc::new(open(folder).await?)).await?;
        world.fill(live).await?;
        writeln!(out, "filled")?;
        out.flush()?;
        let mut input = std::io::stdin().lock();
        // Who started this process kills it; where it went away, this one ends.
        input.read_to_end(&mut Vec::new())?;
        Ok(())
    })
}

/// Fills a store in another process, kills that, and opens the store again.
pub(super) fn run(live: u32) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    let mut child = Command::new(std::env::current_exe()?)
        .args(["fill", "--live", &live.to_string(), "--folder"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let out = child.stdout.take().context("no output")?;
    BufReader::new(out).read_line(&mut line)?;
    let resident = machine::resident(child.id())? as f64 / 1e6;
    child.kill()?;
    child.wait()?;
    ensure!(line == "filled\n", "the store was not filled");
    // The first one after the kill repairs what it has to; it is the one that counts.
    let first = first_delivery(&path)?;
    let again = alternate(|| first_delivery(&path), || read_checkpoint(&path))?;
    let raw = again
        .iter()
        .map(|pair| pair.1)
        .fold(f64::INFINITY, f64::min);
    let against = "reading the newest checkpoint of the log, from the page cache";
    Ok(vec![
        // Of a process that has done nothing but fill the store.
        Figure::from_pairs("store.resident", "MB", "1 MB", vec![(resident, 1.0)]).with_bar(200.0),
        Figure::from_pairs(
            "store.first_delivery_killed",
            "ms",
            against,
            vec![(first, raw)],
        )
        .with_bar(3.0),
        Figure::from_pairs("store.first_delivery", "ms", against, again).with_bar(3.0),
    ])
}

/// Milliseconds from the open to the first message.
fn first_delivery(folder: &Path) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let began = machine::now();
    runtime.block_on(async {
        let world = World::reopened(Arc::new(open(folder).await?));
        ensure!(world.first(1).await?, "nothing was delivered");
        Ok((machine::now() - began) * 1e3)
    })
}

/// Milliseconds for reading the newest checkpoint of the log.
fn read_checkpoint(folder: &Path) -> Result<f64> {
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
    Ok((machine::now() - began) * 1e3)
}
