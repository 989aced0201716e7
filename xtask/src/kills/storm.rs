// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two people write to each other while their programs and the server are killed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::dice::Dice;
use super::tally::{Line, Tally};
use crate::demo::story;
use crate::stage::{Person, Server, ServerOptions, Stage, text};

/// Enough to kill everybody more than once, and few enough for every run of the tests.
pub(super) const KILLS_OF_A_TEST: u32 = 12;
/// Messages around one kill.
const MESSAGES_A_KILL: u64 = 4;
/// The longest delay between the start of a `send` and the kill, in milliseconds.
const DELAY_MS_MAX: u64 = 250;
/// How long a `send` looks whether its message goes out at once.
const SEND_TIMEOUT: &str = "400ms";
/// How often the end is looked for, and how far apart.
const LOOKS: u32 = 120;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Somebody who writes, and the `receive --follow` that reads for them.
struct Side {
    person: Person,
    folder: PathBuf,
    follower: Child,
    /// The outputs of all followers so far; the last one is running. Whether each was killed.
    outputs: Vec<(PathBuf, bool)>,
}

impl Side {
    fn new(person: Person, folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{}-0", person.name));
        Ok(Self {
            follower: follow(&person, &path)?,
            person,
            folder: folder.to_owned(),
            outputs: vec![(path, false)],
        })
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.follower.try_wait()? {
            let log = self.newest()?.with_extension("err");
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!(
                "a follower of {} ended by itself: {status}\n{said}",
                self.person.name
            );
        }
        self.follower.kill()?;
        self.follower.wait()?;
        if let Some((_, killed)) = self.outputs.last_mut() {
            *killed = true;
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        let name = format!("{}-{}", self.person.name, self.outputs.len());
        let path = self.folder.join(name);
        self.follower = follow(&self.person, &path)?;
        self.outputs.push((path, false));
        Ok(())
    }

    fn newest(&self) -> Result<&Path> {
        let (path, _) = self.outputs.last().context("no follower")?;
        Ok(path)
    }

    /// Everything that each follower printed. A line without its end was not printed.
    fn printed(&self, other: &str) -> Result<Vec<(Vec<Line>, bool)>> {
        let mut printed = Vec::new();
        for (path, killed) in &self.outputs {
            let output = std::fs::read_to_string(path)?;
            let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let mut lines = Vec::new();
            for line in whole.lines() {
                lines.push(message(
                    &serde_json::from_str(line)?,
                    &self.person.name,
                    other,
                )?);
            }
            printed.push((lines, *killed));
        }
        Ok(printed)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.follower.kill();
        let _ = self.follower.wait();
    }
}

/// Starts `receive --follow`; it prints into a file, so that what it printed survives it.
fn follow(person: &Person, output: &Path) -> Result<Child> {
    let errors = File::create(output.with_extension("err"))?;
    person
        .command(
            &person.name,
            &["--json", "--no-input", "receive", "--follow"],
        )
        .stdout(File::create(output)?)
        .stderr(errors)
        .spawn()
        .context("cannot start a follower")
}

/// Who wrote a message of the conversation of `own` with `other`, and what.
fn message(object: &Value, own: &str, other: &str) -> Result<Line> {
    let is_own = object.pointer("/from/own") == Some(&Value::Bool(true));
    let writer = if is_own { own } else { other };
    Ok((writer.to_owned(), text(object, "body")?.to_owned()))
}

/// Kills so many times, lets everything come to rest, and counts.
pub(super) fn rage(stage: &Stage, kills: u32, seed: u64) -> Result<Tally> {
    let mut dice = Dice::new(seed);
    let mut server = stage.server("server", ServerOptions::default())?;
    let (alice, bob) = (stage.person("alice")?, stage.person("bob")?);
    for person in [&alice, &bob] {
        story::register(person, &server)?;
    }
    story::introduce(&alice, &bob)?;
    story::introduce(&bob, &alice)?;
    let mut sides = [
        Side::new(alice, stage.folder())?,
        Side::new(bob, stage.folder())?,
    ];
    let mut tally = Tally::default();
    let mut number = 0_u64;
    for _ in 0..kills {
        let moment = dice.below(MESSAGES_A_KILL);
        for place in 0..MESSAGES_A_KILL {
            number = number.saturating_add(1);
            let writer = usize::try_from(dice.below(2)).unwrap_or(0);
            let strike = (place == moment).then(|| Strike::choose(&mut dice));
            write(
                &mut sides,
                &mut server,
                (writer, number),
                strike,
                &mut tally,
            )?;
        }
    }
    come_to_rest(&sides)?;
    for index in 0..2 {
        let (side, other) = pair(&sides, index)?;
        let held = history(&side.person, &other.person)?;
        let name = side.person.name.clone();
        let printed = side.printed(&other.person.name)?;
        tally.held.insert(name.clone(), held);
        tally.printed.insert(name, printed);
    }
    Ok(tally)
}

/// One kill.
#[derive(Debug, Clone, Copy)]
struct Strike {
    victim: Victim,
    delay: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Victim {
    Server,
    Reader,
    WritersHost,
    Send,
}

impl Strike {
    fn choose(dice: &mut Dice) -> Self {
        let victim = match dice.below(4) {
            0 => Victim::Server,
            1 => Victim::Reader,
            2 => Victim::WritersHost,
            _ => Victim::Send,
        };
        let delay = Duration::from_millis(dice.below(DELAY_MS_MAX));
        Self { victim, delay }
    }
}

/// Sends one message; in its midst somebody may be killed, and is started again.
fn write(
    sides: &mut [Side; 2],
    server: &mut Server,
    (writer, number): (usize, u64),
    strike: Option<Strike>,
    tally: &mut Tally,
) -> Result<()> {
    let (side, other) = pair(sides, writer)?;
    let name = side.person.name.clone();
    let body = format!("message {number} of {name}");
    let arguments = ["--json", "--no-input", "send", &other.person.label, &body];
    let timeout = ["--timeout", SEND_TIMEOUT];
    let mut send = side
        .person
        .command(&name, &[&arguments[..], &timeout].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut killed_send = false;
    if let Some(Strike { victim, delay }) = strike {
        pause(delay);
        let reader = usize::from(writer == 0);
        let what = match victim {
            Victim::Server => {
                server.kill()?;
                "server"
            }
            Victim::Reader => {
                side_mut(sides, reader)?.kill()?;
                "reader"
            }
            Victim::WritersHost => {
                side_mut(sides, writer)?.kill()?;
                "writer's host"
            }
            Victim::Send => {
                killed_send = send.try_wait()?.is_none();
                send.kill()?;
                "send"
            }
        };
        let count = tally.kills.entry(what).or_default();
        *count = count.saturating_add(1);
        match victim {
            Victim::Server => server.restart()?,
            Victim::Reader => side_mut(sides, reader)?.restart()?,
            Victim::WritersHost => side_mut(sides, writer)?.restart()?,
            Victim::Send => {}
        }
    }
    let output = send.wait_with_output()?;
    if output.status.success() {
        tally.accepted.push((name, body));
        return Ok(());
    }
    // A `send` whose host was killed says so; nobody knows whether its message was taken.
    let said = String::from_utf8_lossy(&output.stderr);
    let is_known = killed_send
        || ["host_lost", "profile_busy"]
            .iter()
            .any(|it| said.contains(it));
    ensure!(is_known, "`send` ended with {}: {said}", output.status);
    tally.uncertain.insert((name, body));
    Ok(())
}

/// Waits until nothing is on its way any more.
fn come_to_rest(sides: &[Side; 2]) -> Result<()> {
    for _ in 0..LOOKS {
        let mut is_quiet = true;
        for index in 0..2 {
            let (side, other) = pair(sides, index)?;
            // Another process than the follower asks; where the follower is just starting, this one hosts.
            let status = side.person.run_for_one(&side.person.name, &["status"])?;
            is_quiet &= status.get("outbox").and_then(Value::as_u64) == Some(0);
            let held = history(&side.person, &other.person)?;
            let processes = side.printed(&other.person.name)?;
            let printed: BTreeSet<&Line> = processes.iter().flat_map(|(lines, _)| lines).collect();
            let mut foreign = held.iter().filter(|line| line.0 != side.person.name);
            is_quiet &= foreign.all(|line| printed.contains(line));
            is_quiet &= history(&other.person, &side.person)?.len() == held.len();
        }
        if is_quiet {
            return Ok(());
        }
        pause(LOOK_INTERVAL);
    }
    // What is missing then is told by the tally.
    Ok(())
}

/// The whole conversation, in the order that it is shown.
fn history(who: &Person, whom: &Person) -> Result<Vec<Line>> {
    let mut pages: Vec<Vec<Line>> = Vec::new();
    let mut before = u64::MAX.to_string();
    loop {
        let arguments = [
            "history",
            &whom.label,
            "--limit",
            "500",
            "--before",
            &before,
        ];
        let page = who.run(&who.name, &arguments)?;
        let cursors = page.iter().map(|object| text(object, "cursor"));
        let lowest = cursors
            .map(|cursor| Ok(cursor?.parse::<u64>()?))
            .collect::<Result<Vec<u64>>>()?
            .into_iter()
            .min();
        let lines = page
            .iter()
            .map(|object| message(object, &who.name, &whom.name));
        pages.push(lines.collect::<Result<_>>()?);
        match lowest {
            Some(lowest) => before = lowest.to_string(),
            None => break,
        }
    }
    Ok(pages.into_iter().rev().flatten().collect())
}

fn pair(sides: &[Side; 2], index: usize) -> Result<(&Side, &Side)> {
    let other = usize::from(index == 0);
    let (side, other) = (sides.get(index), sides.get(other));
    side.zip(other).context("there are two sides")
}

fn side_mut(sides: &mut [Side; 2], index: usize) -> Result<&mut Side> {
    sides.get_mut(index).context("there are two sides")
}

/// A moment of the real world, which the programs need.
fn pause(time: Duration) {
    let (_keep, never) = channel::<()>();
    let _ = never.recv_timeout(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is lost or doubled, whoever is killed. `cargo xtask kills --kills N` goes on for longer.
    #[test]
    fn kills_at_random_moments_lose_and_double_nothing() {
        let stage = Stage::built().unwrap();
        let tally = rage(&stage, KILLS_OF_A_TEST, 20_261_125).unwrap();
        assert!(tally.holds(), "{tally}");
        let kills: u32 = tally.kills.values().sum();
        assert_eq!(kills, KILLS_OF_A_TEST);
        assert!(
            tally.kills.len() > 2 && tally.accepted.len() > 20,
            "{tally}"
        );
    }
}
