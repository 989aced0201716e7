// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `bench relay`: the real server, `waxwingd`, against a bare relay in the same run.
//!
//! The bare relay is the least that does the same work with the same security and durability: same
//! provider, key exchange and raw key, an authenticated connection to receive and another one to send,
//! a log that is synced before "accepted" and before the delivery, acknowledgements that are durable
//! before they are answered, and a replay when it starts. Each server has the first core, this program
//! the second. A run in which this program uses more than 0.9 of its core does not count: it would
//! measure this program.

mod bare;
mod bare_client;
mod clients;
mod frames;
mod idle;
mod listen;
mod log;
mod offline;
mod online;
mod ours;
mod pace;
mod people;
mod process;
mod replay;

use anyhow::Result;

pub(crate) use self::listen::serve;
use self::online::{Load, Sample, measure};
pub(crate) use self::process::guard;
use self::process::{Carrier, Kind, pin_generator};
use crate::pairs::{PAIRS, alternate};
use crate::report::{Figure, median};

/// The first argument of a process that is the bare relay.
pub(crate) const SERVER: &str = "relay-server";
/// The first argument of a process that ends a server when its parent is gone.
pub(crate) const GUARD: &str = "relay-guard";

const AGAINST: &str = "a bare relay, same provider, connections, pattern and syncs";
/// How much of its core this program may use.
const GENERATOR_MAX: f64 = 0.9;
/// Pairs of which so few count say nothing.
const PAIRS_MIN: usize = 3;
/// The share of what the bare relay carries at window 1 at which latency is measured.
const LATENCY_SHARE: f64 = 0.4;
/// Processor time for each message that is aimed at, in microseconds; 100 are a second for 10,000.
const CPU_GOAL_QUIC_US: f64 = 20.0;
const CPU_GOAL_TCP_US: f64 = 10.0;
/// Measured once on another machine, in the same setting.
const PEERS: &str = "mosquitto 0.34, JetStream 0.55, ejabberd 1.0, prosody 5.8";

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Only figures that have this in their names.
    pub(crate) only: Option<String>,
    /// Seconds of each sample.
    pub(crate) seconds: u32,
}

impl Settings {
    fn has(&self, name: &str) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|only| name.contains(only))
    }
}

/// The names of the figures of one carrier, and its bars.
struct Plan {
    carrier: Carrier,
    w1: [&'static str; 2],
    w16: [&'static str; 2],
    latency: [&'static str; 2],
    idle: &'static str,
    idle_goal_kib: f64,
    cpu_bar: f64,
    cpu_goal_us: f64,
}

const QUIC: Plan = Plan {
    carrier: Carrier::Quic,
    w1: ["relay.quic_w1_rate", "relay.quic_w1_server_cpu"],
    w16: ["relay.quic_w16_server_cpu", "relay.quic_w16_rate"],
    latency: ["relay.quic_latency_p50", "relay.quic_latency_p99"],
    idle: "relay.quic_idle_memory",
    idle_goal_kib: 34.0,
    cpu_bar: 1.75,
    cpu_goal_us: CPU_GOAL_QUIC_US,
};

const TCP: Plan = Plan {
    carrier: Carrier::Tcp,
    w1: ["relay.tcp_w1_rate", "relay.tcp_w1_server_cpu"],
    w16: ["relay.tcp_w16_server_cpu", "relay.tcp_w16_rate"],
    latency: ["relay.tcp_latency_p50", "relay.tcp_latency_p99"],
    idle: "relay.tcp_idle_memory",
    idle_goal_kib: 12.0,
    cpu_bar: 2.0,
    cpu_goal_us: CPU_GOAL_TCP_US,
};

/// Measures everything.
///
/// # Errors
/// A server or a client failed, or the server was not built.
pub(crate) fn run(settings: &Settings) -> Result<Vec<Figure>> {
    pin_generator()?;
    let mut figures = Vec::new();
    for plan in [QUIC, TCP] {
        figures.extend(plan.run(settings)?);
    }
    let offline = [
        "relay.offline_store",
        "relay.offline_drain",
        "relay.offline_lost",
        "relay.offline_doubled",
    ];
    if offline.iter().any(|name| settings.has(name)) {
        figures.extend(run_offline(offline)?);
    }
    figures.retain(|figure| settings.has(figure.name));
    Ok(figures)
}

type Pairs<T> = Vec<(T, T)>;

impl Plan {
    fn run(&self, settings: &Settings) -> Result<Vec<Figure>> {
        let has = |names: &[&str]| names.iter().any(|name| settings.has(name));
        let pairs = |load| self.pairs(load, settings.seconds);
        let mut figures = Vec::new();
        if has(&self.w16) {
            let samples = pairs(Load::Window(16))?;
            let [cpu, rate] = self.w16;
            let cpu = figure(
                cpu,
                "us",
                &samples,
                |it| it.server_cpu_us,
                |it| it.with_bar(self.cpu_bar).with_goal(self.cpu_goal_us),
            );
            let goal = format!(
                "{:.3} s of processor time for 10,000 messages; the goal is {:.2}, peers {PEERS}",
                cpu.value / 100.0,
                self.cpu_goal_us / 100.0
            );
            figures.push(cpu.with_note(goal));
            figures.push(figure(rate, "msg/s", &samples, |it| it.rate, |it| it));
        }
        let mut bare_rate = None;
        if has(&self.w1) {
            let samples = pairs(Load::Window(1))?;
            let [rate, cpu] = self.w1;
            let rate = figure(
                rate,
                "msg/s",
                &samples,
                |it| it.rate,
                |it| it.with_floor(0.65),
            );
            bare_rate = Some(rate.against_value);
            figures.push(rate);
            figures.push(figure(cpu, "us", &samples, |it| it.server_cpu_us, |it| it));
        }
        if has(&self.latency) {
            let bare_rate = match bare_rate {
                Some(rate) => rate,
                None => self.bare_rate(settings.seconds)?,
            };
            let samples = pairs(Load::Rate(bare_rate * LATENCY_SHARE))?;
            let [p50, p99] = self.latency;
            let bar = |it: Figure| it.with_bar(1.5);
            let p50 = figure(p50, "ms", &samples, |it| it.p50_ms, bar);
            let rate = bare_rate * LATENCY_SHARE;
            figures.push(p50.with_note(format!("at {rate:.0} messages a second")));
            figures.push(figure(p99, "ms", &samples, |it| it.p99_ms, bar));
        }
        if has(&[self.idle]) {
            let sample = |kind| move || idle::measure(kind, self.carrier);
            let samples = alternate(sample(Kind::Ours), sample(Kind::Bare))?;
            let figure = Figure::from_pairs(self.idle, "KiB", AGAINST, samples);
            figures.push(self.idle_bar(figure));
        }
        Ok(figures)
    }

    /// Over TCP an absolute bar; over QUIC a tenth more than bare, and 2 KiB.
    fn idle_bar(&self, mut figure: Figure) -> Figure {
        if let Carrier::Tcp = self.carrier {
            figure.holds = Some(figure.value <= self.idle_goal_kib);
        } else {
            figure = figure.clone().with_bar(1.10 + 2.0 / figure.against_value);
        }
        figure.with_goal(self.idle_goal_kib)
    }

    /// What the bare relay carries at window 1, where that was not measured already.
    fn bare_rate(&self, seconds: u32) -> Result<f64> {
        let sample = |_| Ok(measure(Kind::Bare, self.carrier, Load::Window(1), seconds)?.rate);
        Ok(median(
            (0..PAIRS_MIN).map(sample).collect::<Result<Vec<_>>>()?,
        ))
    }

    fn pairs(&self, load: Load, seconds: u32) -> Result<Pairs<Sample>> {
        let sample = |kind| measure(kind, self.carrier, load, seconds);
        (0..PAIRS)
            .map(|_| Ok((sample(Kind::Ours)?, sample(Kind::Bare)?)))
            .collect()
    }
}

/// A figure of what counts; its bar is held or broken only where enough does.
fn figure(
    name: &'static str,
    unit: &'static str,
    samples: &[(Sample, Sample)],
    value: impl Fn(&Sample) -> f64,
    bar: impl FnOnce(Figure) -> Figure,
) -> Figure {
    let middle = |value: fn(&(Sample, Sample)) -> f64| median(samples.iter().map(value));
    let (ours, bare) = (middle(|it| it.0.server), middle(|it| it.1.server));
    let others = middle(|it| it.0.others.max(it.1.others));
    let servers = format!(
        "the servers used {ours:.2} and {bare:.2} of theirs, the rest of the machine {others:.2}"
    );
    counting(name, unit, samples, value, |it| it.generator, bar).with_note(servers)
}

fn counting<T>(
    name: &'static str,
    unit: &'static str,
    samples: &[(T, T)],
    value: impl Fn(&T) -> f64,
    generator: impl Fn(&T) -> f64,
    bar: impl FnOnce(Figure) -> Figure,
) -> Figure {
    let is_counted = |it: &&(T, T)| generator(&it.0).max(generator(&it.1)) <= GENERATOR_MAX;
    let values = |it: &(T, T)| (value(&it.0), value(&it.1));
    let counted: Vec<_> = samples.iter().filter(is_counted).map(values).collect();
    let most = |side: fn(&(T, T)) -> &T| {
        let shares = samples.iter().map(|it| generator(side(it)));
        shares.fold(0.0, f64::max)
    };
    let (ours, bare) = (most(|it| &it.0), most(|it| &it.1));
    let uses = format!("this program used up to {ours:.2} and {bare:.2} of its core");
    let (enough, all) = (counted.len() >= PAIRS_MIN, samples.len());
    if enough {
        let note = format!("{} of {all} pairs count: {uses}", counted.len());
        return bar(Figure::from_pairs(name, unit, AGAINST, counted)).with_note(note);
    }
    let every = samples.iter().map(values).collect();
    let mut figure = bar(Figure::from_pairs(name, unit, AGAINST, every));
    figure.holds = None;
    figure.with_note(format!("DOES NOT COUNT: {uses}"))
}

fn run_offline([store, drain, lost, doubled]: [&'static str; 4]) -> Result<Vec<Figure>> {
    let samples: Pairs<offline::Sample> = (0..PAIRS)
        .map(|_| Ok((offline::measure(Kind::Ours)?, offline::measure(Kind::Bare)?)))
        .collect::<Result<_>>()?;
    let stored = counting(
        store,
        "msg/s",
        &samples,
        |it| it.stored,
        |it| it.generator_storing,
        |it| it.with_floor(0.55),
    );
    let drained = counting(
        drain,
        "msg/s",
        &samples,
        |it| it.drained,
        |it| it.generator_draining,
        |it| it.with_floor(0.60),
    );
    let none = |name, count: fn(&offline::Sample) -> u64| {
        let exact = |it: &offline::Sample| f64::from(u32::try_from(count(it)).unwrap_or(u32::MAX));
        let counts = samples.iter().map(|it| (exact(&it.0), exact(&it.1)));
        let mut figure = Figure::from_pairs(name, "messages", AGAINST, counts.collect());
        figure.holds = Some(samples.iter().all(|it| count(&it.0) == 0));
        figure
    };
    Ok(vec![
        stored,
        drained,
        none(lost, |it| it.lost),
        none(doubled, |it| it.doubled),
    ])
}
