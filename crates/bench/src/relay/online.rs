// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A hundred pairs, of which each one sends to another who is there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

use super::clients::{Network, Receiver, Sender, Trouble, each};
use super::pace::{self, Pacer};
use super::people::{Person, Stamp};
use super::process::{CORES, Carrier, Kind, Server};
use crate::store::machine;

/// People who send, and as many who receive.
const PAIRS: u32 = 100;
/// Before anything is measured.
const WARM: Duration = Duration::from_secs(1);

/// When messages are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    /// So many of each pair are under way: a slot is free when the recipient has the message.
    Window(usize),
    /// So many a second of all pairs together, whatever arrives.
    Rate(f64),
}

/// What one run showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Messages a second that arrived.
    pub(super) rate: f64,
    /// Microseconds of the server's processor time for each.
    pub(super) server_cpu_us: f64,
    /// How much of its core the server used, and this process of its own.
    pub(super) server: f64,
    pub(super) generator: f64,
    /// What the rest of the machine used of both.
    pub(super) others: f64,
    /// From the time at which a message was to be sent to its arrival, in milliseconds.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Starts a server, connects everybody, and measures for so long.
pub(super) fn measure(kind: Kind, carrier: Carrier, load: Load, seconds: u32) -> Result<Sample> {
    let server = Server::start(kind, carrier)?;
    let runtime = crate::transport::runtime()?;
    let sample = runtime.block_on(async {
        let stage = Stage::set(&server).await?;
        stage.run(&server, load, seconds).await
    });
    // Tasks that are left see their connections end.
    runtime.shutdown_background();
    sample
}

/// What arrived.
#[derive(Default)]
struct Arrivals {
    count: AtomicU64,
    is_measured: AtomicBool,
    latencies_us: Mutex<Vec<u32>>,
}

impl Arrivals {
    fn took(&self, stamp: Stamp) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.is_measured.load(Ordering::Relaxed) {
            let us = pace::now_ns().saturating_sub(stamp.sent_ns) / 1000;
            let us = u32::try_from(us).unwrap_or(u32::MAX);
            self.latencies_us().push(us);
        }
    }

    fn latencies_us(&self) -> MutexGuard<'_, Vec<u32>> {
        let latencies = self.latencies_us.lock();
        latencies.unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that so many hundredths of the messages took at most, in milliseconds.
    fn percentile_ms(&self, hundredths: usize) -> Result<f64> {
        let mut sorted = self.latencies_us();
        sorted.sort_unstable();
        let index = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
        let us = sorted.get(index).context("nothing arrived")?;
        Ok(f64::from(*us) / 1000.0)
    }
}

/// Everybody, connected.
struct Stage {
    people: Vec<Arc<Person>>,
    receivers: Vec<Receiver>,
    senders: Vec<Sender>,
    trouble: Trouble,
}

impl Stage {
    async fn set(server: &Server) -> Result<Self> {
        let network = Network::of(server)?;
        let people = network.people(server, PAIRS).await?;
        let trouble = Trouble::default();
        let receivers = each(&people, |_, person| {
            let network = network.clone();
            async move { network.receiver(&person).await }
        })
        .await?;
        let senders = each(&people, |_, _| {
            let (network, trouble) = (network.clone(), trouble.clone());
            // Here a slot is freed by the arrival and not by the answer.
            async move {
                let accepted = Arc::new(Semaphore::new(0));
                network.sender(accepted, trouble).await
            }
        })
        .await?;
        Ok(Self {
            people,
            receivers,
            senders,
            trouble,
        })
    }

    async fn run(self, server: &Server, load: Load, seconds: u32) -> Result<Sample> {
        let Self {
            people,
            receivers,
            senders,
            trouble,
        } = self;
        let arrivals = Arc::new(Arrivals::default());
        let window = match load {
            Load::Window(window) => window,
            Load::Rate(_) => 0,
        };
        let mut slots = Vec::new();
        for receiver in receivers {
            let free = Arc::new(Semaphore::new(window));
            slots.push(Arc::clone(&free));
            let (arrivals, trouble) = (Arc::clone(&arrivals), trouble.clone());
            tokio::spawn(async move {
                let ended = take_all(receiver, &arrivals, &free).await;
                trouble.has(ended.err().unwrap_or_else(|| anyhow::anyhow!("it ended")));
            });
        }
        let mut pacer = match load {
            Load::Rate(rate) => Some(Pacer::new(senders.len(), rate)),
            Load::Window(_) => None,
        };
        for ((sender, person), free) in senders.into_iter().zip(people).zip(slots) {
            let times = pacer.as_mut().and_then(Pacer::next_times);
            let trouble = trouble.clone();
            tokio::spawn(async move {
                let ended = match times {
                    Some(times) => send_at(sender, &person, times).await,
                    None => send_into(sender, &person, &free).await,
                };
                if let Err(error) = ended {
                    trouble.has(error.context("a sender failed"));
                }
            });
        }
        let pacing = pacer.map(Pacer::start);
        let sample = watch(server, &arrivals, seconds).await;
        // Before anything ends.
        trouble.check()?;
        drop(pacing);
        sample
    }
}

/// Measures what happens meanwhile.
async fn watch(server: &Server, arrivals: &Arrivals, seconds: u32) -> Result<Sample> {
    let count = || arrivals.count.load(Ordering::Relaxed);
    tokio::time::sleep(WARM).await;
    let (began, before) = (machine::now(), count());
    let (cpu, own, busy) = (server.cpu_seconds()?, machine::cpu(), machine::busy(CORES)?);
    arrivals.is_measured.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    arrivals.is_measured.store(false, Ordering::Relaxed);
    let (took, arrived) = (machine::now() - began, count() - before);
    let (cpu, own) = (server.cpu_seconds()? - cpu, machine::cpu() - own);
    let others = machine::busy(CORES)? - busy - cpu - own;
    ensure!(arrived > 0, "nothing arrived");
    let arrived = f64::from(u32::try_from(arrived)?);
    Ok(Sample {
        rate: arrived / took,
        server_cpu_us: cpu * 1e6 / arrived,
        server: cpu / took,
        generator: own / took,
        others: others / took,
        p50_ms: arrivals.percentile_ms(50)?,
        p99_ms: arrivals.percentile_ms(99)?,
    })
}

/// Takes messages for ever. Each frees a slot, and each must come once; calls that are under way together
/// may overtake each other.
async fn take_all(mut receiver: Receiver, arrivals: &Arrivals, free: &Semaphore) -> Result<()> {
    let mut next = 0;
    let mut ahead = BTreeSet::new();
    loop {
        let mut wrong = None;
        let mut count = 0;
        let mut take = |envelope: &[u8]| match Stamp::of(envelope) {
            Some(stamp) if stamp.number >= next && ahead.insert(stamp.number) => {
                while ahead.remove(&next) {
                    next += 1;
                }
                count += 1;
                arrivals.took(stamp);
            }
            other => wrong = Some(other),
        };
        receiver.receive(&mut take).await?;
        ensure!(
            wrong.is_none(),
            "it was not sent, or came twice: {wrong:?}; the next is {next}"
        );
        free.add_permits(count);
    }
}

/// Sends as often as there is a slot.
async fn send_into(mut sender: Sender, person: &Person, free: &Semaphore) -> Result<()> {
    let mut number = 0;
    loop {
        free.acquire().await?.forget();
        loop {
            let sent_ns = pace::now_ns();
            sender.post(person, Stamp { sent_ns, number })?;
            number += 1;
            match free.try_acquire() {
                Ok(slot) => slot.forget(),
                Err(_) => break,
            }
        }
        sender.flush().await?;
    }
}

/// Sends at the times that it is told.
async fn send_at(
    mut sender: Sender,
    person: &Person,
    mut times: UnboundedReceiver<u64>,
) -> Result<()> {
    let mut number = 0;
    while let Some(mut sent_ns) = times.recv().await {
        loop {
            sender.post(person, Stamp { sent_ns, number })?;
            number += 1;
            match times.try_recv() {
                Ok(next) => sent_ns = next,
                Err(_) => break,
            }
        }
        sender.flush().await?;
    }
    Ok(())
}
