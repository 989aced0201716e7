// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SIGKILLs of the real programs while people talk: a server, and for each person a host.
//!
//! What `send` accepted is in the sender's outbox, durably, so it must be in both histories once,
//! whoever was killed and when. What was shown must have been shown at least once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Shown;
use crate::demo::story;
use crate::stage::{Person, Running, Server, ServerOptions, Stage, text};

/// The longest pause between two kills.
const PAUSE_MS_MAX: u64 = 250;
/// Of four kills of the server, one is followed by another while it starts.
const STARTING: u64 = 4;
/// Tries of a final command, each with a deadline of its own.
const TRIES: u32 = 20;
/// Looks for what was sent, 300 ms apart. A device for which nothing waits notices within 30 s that its
/// server has begun anew (TRN-61).
const LOOKS: u32 = 150;

/// SplitMix64: which is killed, and when; it need not be good.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(end).unwrap_or(0)
    }

    fn pause(&mut self) {
        std::thread::park_timeout(Duration::from_millis(self.below(PAUSE_MS_MAX)));
    }
}

/// A person whose host runs and prints what arrives into a file.
struct Host {
    person: Person,
    output: PathBuf,
    running: Option<Running>,
}

impl Host {
    fn new(stage: &Stage, folder: &Path, name: &str) -> Result<Self> {
        Ok(Self {
            person: stage
                .person(&format!("{}/{name}", folder.display()))?
                .named(name),
            output: stage.folder().join(folder).join(format!("{name}.printed")),
            running: None,
        })
    }

    fn start(&mut self) -> Result<()> {
        let name = self.person.name.clone();
        let arguments = ["receive", "--follow"];
        self.running = Some(self.person.start_into(&name, &arguments, &self.output)?);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.running.take().context("the host does not run")?.kill()
    }

    /// The texts that were printed. A line that a kill has cut is passed over.
    fn printed(&self) -> Result<Vec<String>> {
        let printed = std::fs::read_to_string(&self.output)?;
        let objects = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(objects
            .filter_map(|object| text(&object, "body").ok().map(str::to_owned))
            .collect())
    }
}

/// Sends texts until it is told to stop; gives the ones that were accepted.
fn talk(from: &Person, to: &str, done: &AtomicBool, tried: &Mutex<Vec<String>>) -> Vec<String> {
    let mut accepted = Vec::new();
    for number in 0_u32.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let body = format!("{} {number}", from.name);
        if let Ok(mut tried) = tried.lock() {
            tried.push(body.clone());
        }
        // A command whose host is killed under it fails; what became of the text is open then.
        if from
            .run(&from.name, &["send", to, &body, "--timeout", "2s"])
            .is_ok()
        {
            accepted.push(body);
        }
    }
    accepted
}

/// Plays a session and judges what is there at its end.
pub(super) fn session(stage: &Stage, seed: u64, kills: u64) -> Result<Shown> {
    let folder = PathBuf::from(format!("session-{seed}"));
    std::fs::create_dir_all(stage.folder().join(&folder))?;
    let mut dice = Dice(seed);
    let mut server = stage.server(
        &folder.join("server").display().to_string(),
        ServerOptions::default(),
    )?;
    let mut alice = Host::new(stage, &folder, "alice")?;
    let mut bob = Host::new(stage, &folder, "bob")?;
    for host in [&alice, &bob] {
        story::register(&host.person, &server)?;
    }
    story::introduce(&alice.person, &bob.person)?;
    story::introduce(&bob.person, &alice.person)?;
    let senders = [
        stage
            .person(&format!("{}/alice", folder.display()))?
            .named("alice"),
        stage
            .person(&format!("{}/bob", folder.display()))?
            .named("bob"),
    ];
    alice.start()?;
    bob.start()?;
    let done = AtomicBool::new(false);
    let tried = [Mutex::new(Vec::new()), Mutex::new(Vec::new())];
    let (killed, accepted) = std::thread::scope(|scope| {
        let talks: Vec<_> = senders
            .iter()
            .zip(["bob", "alice"])
            .zip(&tried)
            .map(|((from, to), tried)| scope.spawn(|| talk(from, to, &done, tried)))
            .collect();
        let killed = kill(&mut dice, kills, (&mut server, &mut alice, &mut bob));
        done.store(true, Ordering::Relaxed);
        let accepted = talks
            .into_iter()
            .map(|talk| talk.join().unwrap_or_default());
        (killed, accepted.collect::<Vec<_>>())
    });
    killed?;
    let sent: usize = accepted.iter().map(Vec::len).sum();
    let problems = judge(&alice, &bob, &accepted, &tried)?;
    for host in [&mut alice, &mut bob] {
        host.kill()?;
    }
    drop(server);
    std::fs::remove_dir_all(stage.folder().join(&folder))?;
    let holds = problems.is_empty() && sent > 0;
    let line = if problems.is_empty() {
        format!("{sent} texts accepted, 0 lost, 0 doubled")
    } else {
        problems.join("; ")
    };
    Ok(Shown {
        holds,
        line,
        kills,
        images: 0,
    })
}

fn kill(
    dice: &mut Dice,
    kills: u64,
    (server, alice, bob): (&mut Server, &mut Host, &mut Host),
) -> Result<()> {
    let mut left = kills;
    while left > 0 {
        dice.pause();
        left = left.saturating_sub(1);
        match dice.below(3) {
            0 => {
                server.kill()?;
                if left > 0 && dice.below(STARTING) == 0 {
                    server.restart_and_kill(Duration::from_millis(dice.below(80)))?;
                    left = left.saturating_sub(1);
                }
                server.restart()?;
            }
            1 => {
                alice.kill()?;
                alice.start()?;
            }
            _ => {
                bob.kill()?;
                bob.start()?;
            }
        }
    }
    Ok(())
}

/// What is wrong at the end, in words.
fn judge(
    alice: &Host,
    bob: &Host,
    accepted: &[Vec<String>],
    tried: &[Mutex<Vec<String>>],
) -> Result<Vec<String>> {
    for (from, to) in [(alice, bob), (bob, alice)] {
        settle(
            &from.person,
            &to.person,
            &format!("{} ends", from.person.name),
        )?;
    }
    let mut problems = Vec::new();
    let [from_alice, from_bob] = [
        history(&alice.person, "bob")?,
        history(&bob.person, "alice")?,
    ];
    let sides = [(alice, bob), (bob, alice)];
    for ((from, to), (accepted, tried)) in sides.iter().zip(accepted.iter().zip(tried)) {
        let (own, others) = if from.person.name == "alice" {
            (&from_alice, &from_bob)
        } else {
            (&from_bob, &from_alice)
        };
        let name = &from.person.name;
        let own = own.iter().filter(|(is_own, _)| *is_own);
        let own: Vec<&String> = own.map(|(_, body)| body).collect();
        let theirs = others.iter().filter(|(is_own, _)| !is_own);
        let theirs: Vec<&String> = theirs.map(|(_, body)| body).collect();
        let times = times(&theirs);
        for body in accepted {
            match times.get(body.as_str()) {
                None => problems.push(format!("lost: `{body}`")),
                Some(1) => {}
                Some(count) => problems.push(format!("`{body}` is there {count} times")),
            }
        }
        if own != theirs {
            problems.push(format!("what {name} sent differs on the two sides"));
        }
        let tried = tried.lock().map(|tried| tried.clone()).unwrap_or_default();
        let ends = format!("{name} ends");
        if let Some(body) = theirs
            .iter()
            .find(|body| ***body != ends && !tried.contains(body))
        {
            problems.push(format!("`{body}` was never sent"));
        }
        let missing = never_printed(to, accepted)?;
        problems.extend(missing.iter().map(|body| format!("never shown: `{body}`")));
    }
    Ok(problems)
}

/// What was not printed, after some time in which it may be: it is stored before it is printed.
fn never_printed(host: &Host, accepted: &[String]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for _ in 0..TRIES {
        let printed = host.printed()?;
        missing = accepted
            .iter()
            .filter(|body| !printed.contains(body))
            .cloned()
            .collect();
        if missing.is_empty() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(300));
    }
    Ok(missing)
}

fn times<'a>(bodies: &[&'a String]) -> BTreeMap<&'a str, usize> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for body in bodies {
        let count = times.entry(body.as_str()).or_default();
        *count = count.saturating_add(1);
    }
    times
}

/// Sends a last text and waits until the other side has it: then it has all that came before.
fn settle(from: &Person, to: &Person, body: &str) -> Result<()> {
    let mut is_sent = false;
    let mut tries = 0_u32;
    for _ in 0..LOOKS {
        if !is_sent && tries < TRIES {
            tries = tries.saturating_add(1);
            let wait = ["send", &to.name, body, "--wait", "--timeout", "10s"];
            let sent = from.run(&from.name, &wait);
            // Where it was accepted and not stored in time it is on its way; not a second one.
            is_sent = match sent {
                Ok(_) => true,
                Err(error) => format!("{error:#}").contains("not_stored_in_time"),
            };
        }
        let there = history(to, &from.name)?;
        if there.iter().any(|(_, there)| there == body) {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(300));
    }
    bail!("{} did not hear the last text of {}", to.name, from.name);
}

/// The conversation as a profile stores it: whether each text is one's own, and the text.
fn history(person: &Person, with: &str) -> Result<Vec<(bool, String)>> {
    let mut pages: Vec<Vec<(bool, String)>> = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut arguments = vec!["history", with, "--limit", "500"];
        if let Some(before) = &before {
            arguments.extend(["--before", before]);
        }
        let found = person.run(&person.name, &arguments)?;
        let page: Vec<(bool, String)> = found
            .iter()
            .map(|message| {
                let is_own = message.pointer("/from/own") == Some(&Value::Bool(true));
                Ok((is_own, text(message, "body")?.to_owned()))
            })
            .collect::<Result<_>>()?;
        let is_last = page.len() < 500;
        pages.push(page);
        if is_last {
            pages.reverse();
            return Ok(pages.into_iter().flatten().collect());
        }
        let cursor = found.first().and_then(|first| first.get("cursor"));
        before = Some(cursor.context("a message has no cursor")?.to_string());
        ensure!(pages.len() < 100, "the history does not end");
    }
}
