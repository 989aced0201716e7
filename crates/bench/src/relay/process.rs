// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two servers as processes of their own, pinned to the first core while this process has the
//! second, and what the kernel knows about them.
//!
//! Each runs below a guard: this program again, which ends the server when its own standard input
//! ends. So no server outlives the benchmark, however that ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use tempfile::TempDir;
use waxwing_identity::InviteLink;
use waxwing_proto::ServerAddress;

use super::{GUARD, SERVER};
use crate::store::machine::TICKS_PER_SECOND;
use crate::transport::{identity, resident_kib};

const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
/// Those two.
pub(super) const CORES: usize = 2;

/// What carries the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Quic,
    Tcp,
}

impl Carrier {
    const fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        }
    }
}

impl FromStr for Carrier {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "quic" => Ok(Self::Quic),
            "tcp" => Ok(Self::Tcp),
            other => bail!("nothing carries over {other}"),
        }
    }
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `waxwingd`.
    Ours,
    /// The bare relay of this crate.
    Bare,
}

/// A server that runs. It ends when this is dropped.
pub(super) struct Server {
    guard: Guard,
    folder: TempDir,
    pub(super) kind: Kind,
    pub(super) carrier: Carrier,
    /// Where it is, and its key.
    pub(super) address: ServerAddress,
    process: u32,
}

impl Server {
    /// Starts one with an empty folder.
    pub(super) fn start(kind: Kind, carrier: Carrier) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        if kind == Kind::Ours {
            prepare(&data(&folder))?;
        }
        Self::run(kind, carrier, folder)
    }

    /// Kills it and starts it again on what it left.
    pub(super) fn kill_and_start_again(self) -> Result<Self> {
        let Self {
            guard,
            folder,
            kind,
            carrier,
            ..
        } = self;
        drop(guard);
        Self::run(kind, carrier, folder)
    }

    fn run(kind: Kind, carrier: Carrier, folder: TempDir) -> Result<Self> {
        let data = data(&folder);
        let (guard, address, process) = match kind {
            Kind::Ours => {
                let mut arguments = vec![program()?, "serve".into(), "--json".into()];
                arguments.extend(["--data".into(), data]);
                let (guard, line) = Guard::start(&arguments)?;
                let ready: Value = serde_json::from_str(&line).context("waxwingd did not start")?;
                let number = |name: &str| ready.get(name).and_then(Value::as_u64);
                let process = number("pid").context("no process id")?.try_into()?;
                let pin = ready.get("key_pin").and_then(Value::as_str);
                let pin = key_pin(pin.context("no key")?)?;
                let port = number("port").context("no port")?.try_into()?;
                (guard, local(port, pin)?, process)
            }
            Kind::Bare => {
                let itself = std::env::current_exe()?;
                let arguments = [itself, SERVER.into(), carrier.name().into(), data];
                let (guard, line) = Guard::start(&arguments)?;
                let (port, process) = line
                    .trim()
                    .split_once(' ')
                    .context("the bare relay did not start")?;
                let address = local(port.parse()?, identity()?.key_pin())?;
                (guard, address, process.parse()?)
            }
        };
        Ok(Self {
            guard,
            folder,
            kind,
            carrier,
            address,
            process,
        })
    }

    /// An invite for so many accounts, made as an operator makes it.
    pub(super) fn invite(&self, uses: usize) -> Result<InviteLink> {
        let uses = uses.to_string();
        let arguments = ["invite", "new", "--json", "--expires", "never", "--uses"];
        let mut command = waxwingd(&data(&self.folder))?;
        let made = json(command.args(arguments).arg(uses))?;
        let link = made.get("invite").and_then(Value::as_str);
        Ok(link.context("no invite")?.parse()?)
    }

    /// Its resident memory, in KiB.
    pub(super) fn resident_kib(&self) -> Result<f64> {
        let text = self.proc_file("status")?;
        resident_kib(&text).context("no VmRSS")
    }

    fn proc_file(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.process);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    /// Processor time of all its threads, in seconds.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let text = self.proc_file("stat")?;
        // The name before the parenthesis may hold spaces; user and system time are the 14th and 15th.
        let fields = text.rsplit_once(") ").context("another stat")?.1;
        let mut times = fields.split(' ').skip(11).map(str::parse::<f64>);
        let (user, system) = times.next().zip(times.next()).context("no times")?;
        Ok((user? + system?) / TICKS_PER_SECOND)
    }
}

/// The process that ends a server; ended itself when this is dropped.
struct Guard {
    process: Child,
    /// Held open, so that the server never writes into a closed pipe.
    out: BufReader<ChildStdout>,
}

impl Guard {
    /// Starts a program below a guard and waits for the first line that it prints.
    fn start(arguments: &[PathBuf]) -> Result<(Self, String)> {
        // What is started inherits the core of whoever starts it.
        pin(SERVER_CORE)?;
        let spawned = Command::new(std::env::current_exe()?)
            .arg(GUARD)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        pin(GENERATOR_CORE)?;
        let mut process = spawned.context("cannot start a server")?;
        let out = process.stdout.take().context("no output")?;
        let mut guard = Self {
            process,
            out: BufReader::new(out),
        };
        let mut line = String::new();
        guard.out.read_line(&mut line)?;
        Ok((guard, line))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It has killed the server, and waited for its end, when it ends.
        let _ended = self.process.wait();
    }
}

/// The guard's side: starts the program that the arguments name, and kills it when the standard input ends.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn guard(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let program = arguments.next().context("which program?")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove("WAXWINGD_DATA")
        .stdin(Stdio::null())
        .spawn()?;
    let read = std::io::stdin().lock().read_to_end(&mut Vec::new());
    child.kill()?;
    child.wait()?;
    read?;
    Ok(())
}

/// Keeps this thread, and what it starts from now on, on one core.
pub(super) fn pin_generator() -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores > GENERATOR_CORE,
        "this benchmark needs a core for the server and one for itself"
    );
    pin(GENERATOR_CORE)
}

fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("cannot stay on one core")
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// The built server, next to this program.
fn program() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("waxwingd");
    ensure!(
        path.exists(),
        "there is no {}: build it with `cargo build --release --package waxwing-server`",
        path.display()
    );
    Ok(path)
}

fn waxwingd(data: &Path) -> Result<Command> {
    let mut command = Command::new(program()?);
    command.arg("--data").arg(data).stdin(Stdio::null());
    Ok(command)
}

fn json(command: &mut Command) -> Result<Value> {
    let said = command.stderr(Stdio::inherit()).output()?;
    ensure!(said.status.success(), "waxwingd failed: {}", said.status);
    Ok(serde_json::from_slice(&said.stdout)?)
}

/// Makes a server's folder. Everybody here has one address, so the rates of strangers are off, with the
/// setting that the server has for measurements; every other bound stays.
fn prepare(data: &Path) -> Result<()> {
    let listen = ["init", "--json", "--listen", "127.0.0.1:0"];
    json(waxwingd(data)?.args(listen))?;
    let file = data.join("waxwingd.toml");
    let text = std::fs::read_to_string(&file)?;
    let unlimited = text.replace("\nrate_limits = true\n", "\nrate_limits = false\n");
    ensure!(text != unlimited, "the configuration has no rate_limits");
    Ok(std::fs::write(&file, unlimited)?)
}

fn local(port: u16, pin: waxwing_proto::KeyPin) -> Result<ServerAddress> {
    Ok(ServerAddress {
        host: "127.0.0.1".parse()?,
        port,
        key_pins: vec![pin],
    })
}

fn key_pin(hex: &str) -> Result<waxwing_proto::KeyPin> {
    let digits = hex.as_bytes().chunks(2);
    let bytes: Vec<u8> = digits
        .map(|two| Ok(u8::from_str_radix(std::str::from_utf8(two)?, 16)?))
        .collect::<Result<_>>()?;
    let pin = <[u8; 32]>::try_from(bytes).ok().context("another key")?;
    Ok(waxwing_proto::KeyPin(pin))
}
