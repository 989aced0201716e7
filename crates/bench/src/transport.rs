// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `bench transport`: the RPC layer over QUIC against plain quinn, and over QUIC and TCP against plain TLS
//! over TCP, in the same run.
//!
//! Both have the same provider, key exchange, raw key, transport settings and sockets: the bare
//! programs take them from the transport crate. Each server is a process of its own with one
//! thread, so that its CPU time and its memory are its own; the clients are in this process. The
//! pattern of each figure, frames and acknowledgements, is the same on both sides.

mod bare;
mod child;
mod drops;
mod login;
mod ours;
pub(crate) mod tcp;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

pub(crate) use self::child::resident_kib;
use self::child::{Child, Kind};
pub(crate) use self::ours::{any_port, identity, keys};
use crate::pairs::alternate;
use crate::report::Figure;

/// The first argument of a process that is a server of this benchmark.
pub(crate) const SERVER: &str = "transport-server";

const AGAINST: &str = "plain quinn, same provider, settings, sockets and pattern";
/// Our links over QUIC beside plain TLS over TCP: the window, and the names.
const AGAINST_TLS: [(usize, [&str; 2]); 2] = [
    (1, ["transport.tls_w1_server_cpu", "transport.tls_w1_time"]),
    (
        16,
        ["transport.tls_w16_server_cpu", "transport.tls_w16_time"],
    ),
];
const CONNECTIONS: usize = 100;
const MESSAGE_SIZE: usize = 1024;
/// Messages of one sample, over all connections.
const MESSAGES: u32 = 300_000;
/// Calls of one sample.
const CALLS: u32 = 160_000;
/// Calls under way on one connection.
const CALLS_AT_A_TIME: usize = 4;
const HANDSHAKES: u32 = 400;
const IDLE_CONNECTIONS: u32 = 1_000;
/// 1,200 a second on one core.
const HANDSHAKE_GOAL_US: f64 = 833.0;
/// Rates that were measured once on another machine.
const HANDSHAKE_PEERS: &str = "mosquitto 1,785, NATS 2,064, ejabberd 94";
/// Uploads of one sample, and the size of each: the largest that one frame takes.
const UPLOADS: u32 = 800;
const UPLOAD_SIZE: usize = 1_000_000;
const UPLOADS_AT_A_TIME: usize = 4;

/// What one run over one server showed.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Seconds that it took.
    seconds: f64,
    /// CPU seconds of the server.
    server_cpu_seconds: f64,
    /// Datagrams that the kernel dropped because a socket of either side was full.
    drops: u64,
}

/// The server's side: runs until its standard input ends.
///
/// # Errors
/// The server could not be started.
pub(crate) fn serve(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let kind = arguments.next().context("which server?")?;
    let window = arguments.next().context("which window?")?.parse()?;
    let runtime = runtime()?;
    match kind.parse()? {
        Kind::Ours => runtime.block_on(ours::serve(window)),
        Kind::Bare => runtime.block_on(bare::serve(window)),
        Kind::OursTcp => runtime.block_on(ours::serve_tcp(window)),
        Kind::BareTcp => runtime.block_on(tcp::serve(window)),
    }
}

/// How many of `count` each of `lanes` carries.
fn share(count: u32, lanes: usize) -> Result<usize> {
    let count = usize::try_from(count)?;
    count.checked_div(lanes).context("no lanes")
}

/// A runtime of this thread.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// What is measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Only what has this in its name.
    pub(crate) only: Option<String>,
    /// Also what needs thousands of connections.
    pub(crate) heavy: bool,
}

impl Plan {
    fn has(&self, part: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| part.contains(only.as_str()))
    }
}

/// Measures and compares.
///
/// # Errors
/// One of the programs failed.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if plan.has("stream_w1") {
        let names = [
            "transport.stream_w1_server_cpu",
            "transport.stream_w1_time",
            "transport.stream_w1_drops",
        ];
        figures.extend(stream(1, names)?);
    }
    if plan.has("stream_w16") {
        let names = [
            "transport.stream_w16_server_cpu",
            "transport.stream_w16_time",
            "transport.stream_w16_drops",
        ];
        figures.extend(stream(16, names)?);
    }
    for (window, names) in AGAINST_TLS {
        if names.iter().any(|name| plan.has(name)) {
            figures.extend(tcp::quic_against_tls(window, names)?);
        }
    }
    for (window, names) in tcp::STREAMS {
        if names.iter().any(|name| plan.has(name)) {
            figures.extend(tcp::streams(window, names)?);
        }
    }
    if plan.has("unary") {
        let samples = pairs(|kind| {
            measure(kind, 1, |kind, port| match kind {
                Kind::Ours => ours::unary(port, CONNECTIONS, CALLS),
                _ => bare::unary(port, CONNECTIONS, CALLS),
            })
        })?;
        figures.push(cpu("transport.unary_server_cpu", &samples, CALLS).with_bar(1.15));
        figures.push(time("transport.unary_time", &samples, CALLS).with_bar(1.0 / 0.85));
    }
    if plan.has("upload") {
        let samples = pairs(|kind| {
            measure(kind, 1, |kind, port| match kind {
                Kind::Ours => ours::upload(port, UPLOADS),
                _ => bare::upload(port, UPLOADS),
            })
        })?;
        figures.push(time("transport.upload_1mb_time", &samples, UPLOADS).with_bar(1.0 / 0.9));
    }
    if plan.has("handshake") {
        let samples = pairs(|kind| {
            measure(kind, 1, |kind, port| {
                bare::handshakes(port, HANDSHAKES, kind == Kind::Ours)
            })
        })?;
        let full = cpu("transport.handshake_server_cpu", &samples, HANDSHAKES);
        let rate = format!(
            "{:.0} a second on one core; the goal is 1,200, peers {HANDSHAKE_PEERS}",
            1e6 / full.value
        );
        let full = full.with_bar(1.5).with_goal(HANDSHAKE_GOAL_US);
        let parts =
            "a full handshake with the server's signature, the ticket and the greeting; no login";
        figures.push(full.with_note(rate).with_note(parts.to_owned()));
    }
    if plan.has("login") {
        figures.push(login()?);
    }
    if plan.has("resumed") {
        figures.push(resumed()?);
    }
    if plan.has("idle_memory") {
        figures.push(idle_memory("transport.idle_memory", IDLE_CONNECTIONS)?);
        if plan.heavy {
            figures.push(idle_memory("transport.idle_memory_5000", 5_000)?);
            figures.push(idle_memory("transport.idle_memory_10000", 10_000)?);
        }
    }
    Ok(figures)
}

/// The long-lived framed stream with so many messages under way on each connection.
fn stream(
    window: usize,
    [cpu_name, time_name, drop_name]: [&'static str; 3],
) -> Result<[Figure; 3]> {
    let mut drops = Vec::new();
    let samples = pairs(|kind| {
        let sample = measure(kind, window, |kind, port| match kind {
            Kind::Ours => ours::stream(port, CONNECTIONS, MESSAGES),
            _ => bare::stream(port, CONNECTIONS, MESSAGES),
        })?;
        drops.push((kind, sample.drops));
        Ok(sample)
    })?;
    Ok([
        cpu(cpu_name, &samples, MESSAGES).with_bar(1.15),
        time(time_name, &samples, MESSAGES).with_bar(1.0 / 0.85),
        dropped(drop_name, &drops, window == 16),
    ])
}

/// The server's CPU for a connect that says who it is: what the handshake figure has, and a login, which
/// is one Ed25519 signature that the server checks. Neither server looks anything up.
fn login() -> Result<Figure> {
    let samples = pairs(|kind| {
        measure(kind, 1, |kind, port| {
            bare::logins(port, HANDSHAKES, kind == Kind::Ours)
        })
    })?;
    let figure = cpu("transport.login_server_cpu", &samples, HANDSHAKES).with_bar(1.5);
    let parts = format!(
        "of one connect: key exchange, server's signature, ticket, greeting, and one Ed25519 signature \
         of the device checked; {HANDSHAKES} connects a sample"
    );
    Ok(figure.with_note(parts))
}

/// Our connections that a ticket resumes, against our full ones: handshake, greeting and one call.
fn resumed() -> Result<Figure> {
    let sample = |is_resumed: bool| {
        let connects = |_, port| bare::connects(port, HANDSHAKES, is_resumed);
        let sample = measure(Kind::Ours, 1, connects)?;
        Ok(sample.server_cpu_seconds * 1e6 / f64::from(HANDSHAKES))
    };
    let samples = alternate(|| sample(true), || sample(false))?;
    let against = "the same server's connections without a ticket";
    Ok(Figure::from_pairs("transport.resumed_server_cpu", "us", against, samples).with_bar(0.9))
}

/// Five alternating pairs of samples.
fn pairs(mut sample: impl FnMut(Kind) -> Result<Sample>) -> Result<Vec<(Sample, Sample)>> {
    (0..crate::pairs::PAIRS)
        .map(|_| Ok((sample(Kind::Ours)?, sample(Kind::Bare)?)))
        .collect()
}

/// One sample: a fresh server, and clients that connect first and are then measured.
fn measure(
    kind: Kind,
    window: usize,
    work: impl FnOnce(Kind, u16) -> Result<Work>,
) -> Result<Sample> {
    let server = Child::start(kind, window)?;
    let work = work(kind, server.port())?;
    let cpu_before = server.cpu_seconds()?;
    let begun = clock();
    let finished = work()?;
    let seconds = begun.elapsed().as_secs_f64();
    let server_cpu_seconds = server.cpu_seconds()? - cpu_before;
    let drops = drops::of(&[std::process::id(), server.id()])?;
    // Sockets take their counters with them, so they end after the counters were read.
    drop(finished);
    Ok(Sample {
        seconds,
        server_cpu_seconds,
        drops,
    })
}

/// What is measured, once everything is connected. It gives what has to live until the counters
/// were read.
type Work = Box<dyn FnOnce() -> Result<Box<dyn std::any::Any>>>;

fn cpu(name: &'static str, samples: &[(Sample, Sample)], count: u32) -> Figure {
    let us = |sample: &Sample| sample.server_cpu_seconds * 1e6 / f64::from(count);
    let samples = samples.iter().map(|it| (us(&it.0), us(&it.1))).collect();
    Figure::from_pairs(name, "us", AGAINST, samples)
}

fn time(name: &'static str, samples: &[(Sample, Sample)], count: u32) -> Figure {
    let us = |sample: &Sample| sample.seconds * 1e6 / f64::from(count);
    let samples = samples.iter().map(|it| (us(&it.0), us(&it.1))).collect();
    Figure::from_pairs(name, "us", AGAINST, samples)
}

/// Exact counts. `must_be_none`: ours has to be 0 in every sample.
fn dropped(name: &'static str, drops: &[(Kind, u64)], must_be_none: bool) -> Figure {
    let of = |wanted: Kind| drops.iter().filter(move |it| it.0 == wanted).map(|it| it.1);
    #[allow(clippy::cast_precision_loss, reason = "a count of packets")]
    let samples = of(Kind::Ours)
        .zip(of(Kind::Bare))
        .map(|(ours, bare)| (ours as f64, bare as f64))
        .collect();
    let mut figure = Figure::from_pairs(name, "packets", AGAINST, samples);
    if must_be_none {
        figure.holds = Some(of(Kind::Ours).all(|count| count == 0));
    }
    figure
}

/// Lets this process, and those that it starts, hold so many connections.
pub(crate) fn allow_descriptors(connections: u32) -> Result<()> {
    let wanted = u64::from(connections).saturating_mul(2).saturating_add(200);
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.or(Some(wanted));
    setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    Ok(())
}

/// Server memory for each connection that is idle after its greeting.
fn idle_memory(name: &'static str, connections: u32) -> Result<Figure> {
    let sample = |kind| -> Result<f64> {
        let server = Child::start(kind, 1)?;
        // What the first connections allocate for good is not counted.
        let warm = bare::idle(server.port(), 20, kind == Kind::Ours)?;
        let before = server.resident_kib()?;
        let held = bare::idle(server.port(), connections, kind == Kind::Ours)?;
        let after = server.resident_kib()?;
        drop((warm, held));
        if after < before {
            bail!("the server's memory shrank: {before} to {after} KiB");
        }
        Ok((after - before) / f64::from(connections))
    };
    let samples = alternate(|| sample(Kind::Ours), || sample(Kind::Bare))?;
    let figure = Figure::from_pairs(name, "KiB", AGAINST, samples);
    // 2 KiB are allowed besides.
    let allowed = 1.10 + 2.0 / figure.against_value;
    Ok(figure.with_bar(allowed).with_goal(34.0))
}

#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock; what it shows decides nothing in the product"
)]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
