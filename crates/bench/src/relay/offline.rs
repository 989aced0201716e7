// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages for a thousand people who are away; the server is killed; then all of them come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::clients::{Network, Receiver, Trouble, each};
use super::pace;
use super::people::{Person, Stamp};
use super::process::{Carrier, Kind, Server};
use crate::store::machine;

const MAILBOXES: u32 = 1_000;
/// Messages in each.
const EACH: u32 = 100;
const SENDERS: usize = 32;
/// Messages of one sender that were not accepted yet.
const UNDER_WAY: u32 = 48;
/// When nothing has come for so long, the rest is lost.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// How long it is watched whether anything comes twice.
const AFTER: Duration = Duration::from_millis(500);

/// What one run showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Messages a second that were accepted.
    pub(super) stored: f64,
    /// Messages a second that were taken and deleted, with the connects.
    pub(super) drained: f64,
    /// How much of its core this process used while it stored, and while it drained.
    pub(super) generator_storing: f64,
    pub(super) generator_draining: f64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
}

/// Starts a server, stores, kills it, starts it again and drains.
pub(super) fn measure(kind: Kind) -> Result<Sample> {
    let server = Server::start(kind, Carrier::Quic)?;
    let messages = f64::from(MAILBOXES * EACH);
    let runtime = crate::transport::runtime()?;
    let (people, storing) = runtime.block_on(async {
        let network = Network::of(&server)?;
        let people = network.people(&server, MAILBOXES).await?;
        let storing = store(&network, &people).await?;
        anyhow::Ok((people, storing))
    })?;
    // Nothing is closed in order before the kill.
    let server = server.kill_and_start_again()?;
    runtime.shutdown_background();
    let runtime = crate::transport::runtime()?;
    let drained = runtime.block_on(async { drain(&Network::of(&server)?, &people).await });
    let (draining, lost, doubled) = drained?;
    runtime.shutdown_background();
    Ok(Sample {
        stored: messages / storing.seconds,
        drained: messages / draining.seconds,
        generator_storing: storing.own / storing.seconds,
        generator_draining: draining.own / draining.seconds,
        lost,
        doubled,
    })
}

/// How long something took, and the processor time of this process.
#[derive(Clone, Copy)]
struct Time {
    seconds: f64,
    own: f64,
}

impl Time {
    fn start() -> Self {
        Self {
            seconds: machine::now(),
            own: machine::cpu(),
        }
    }

    fn since(self) -> Self {
        let now = Self::start();
        Self {
            seconds: now.seconds - self.seconds,
            own: now.own - self.own,
        }
    }
}

/// Sends everything; done when all of it was accepted.
async fn store(network: &Network, people: &[Arc<Person>]) -> Result<Time> {
    let trouble = Trouble::default();
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let accepted = Arc::new(Semaphore::new(usize::try_from(UNDER_WAY)?));
        let sender = network
            .sender(Arc::clone(&accepted), trouble.clone())
            .await?;
        senders.push((sender, accepted));
    }
    let start = Time::start();
    let mut tasks = JoinSet::new();
    for (index, (mut sender, accepted)) in senders.into_iter().enumerate() {
        let own = people.iter().skip(index).step_by(SENDERS);
        let own: Vec<Arc<Person>> = own.map(Arc::clone).collect();
        tasks.spawn(async move {
            for number in 0..u64::from(EACH) {
                for person in &own {
                    if accepted.available_permits() == 0 {
                        sender.flush().await?;
                    }
                    accepted.acquire().await?.forget();
                    let sent_ns = pace::now_ns();
                    sender.post(person, Stamp { sent_ns, number })?;
                }
            }
            sender.flush().await?;
            // All of them are back when nothing is under way.
            accepted.acquire_many(UNDER_WAY).await?.forget();
            anyhow::Ok(sender)
        });
    }
    let mut kept = Vec::new();
    while let Some(ended) = tokio::time::timeout(GIVEN_UP * 6, tasks.join_next())
        .await
        .context("messages were not accepted in time")?
    {
        kept.push(ended??);
    }
    let time = start.since();
    trouble.check()?;
    Ok(time)
}

/// Everybody connects and takes what waits. Gives what was lost and what came twice.
async fn drain(network: &Network, people: &[Arc<Person>]) -> Result<(Time, u64, u64)> {
    let came = Arc::new(AtomicU64::new(0));
    let start = Time::start();
    let counts = each(people, |_, person| {
        let (network, came) = (network.clone(), Arc::clone(&came));
        async move {
            let mut receiver = network.receiver(&person).await?;
            let mut mailbox = Mailbox::default();
            while mailbox.lacks_any() || !receiver.is_settled() {
                let taken = mailbox.take(&mut receiver, &came);
                match tokio::time::timeout(GIVEN_UP, taken).await {
                    Ok(taken) => taken?,
                    Err(_) => break,
                }
            }
            Ok((receiver, mailbox))
        }
    })
    .await?;
    let time = start.since();
    let (mut lost, mut doubled) = (0, 0);
    let mut after = JoinSet::new();
    for (mut receiver, mut mailbox) in counts {
        let came = Arc::clone(&came);
        after.spawn(async move {
            let more = async { while mailbox.take(&mut receiver, &came).await.is_ok() {} };
            let _nothing_more = tokio::time::timeout(AFTER, more).await;
            mailbox
        });
    }
    while let Some(mailbox) = after.join_next().await {
        let mailbox = mailbox?;
        lost += mailbox.lacking();
        doubled += mailbox.doubled;
    }
    let came = came.load(Ordering::Relaxed);
    let sent = u64::from(MAILBOXES * EACH);
    ensure!(came + lost == sent + doubled, "the counts do not fit");
    Ok((time, lost, doubled))
}

/// What one person has received.
struct Mailbox {
    has: Vec<bool>,
    doubled: u64,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            has: (0..EACH).map(|_| false).collect(),
            doubled: 0,
        }
    }
}

impl Mailbox {
    fn lacking(&self) -> u64 {
        self.has.iter().map(|has| u64::from(!has)).sum()
    }

    fn lacks_any(&self) -> bool {
        self.has.contains(&false)
    }

    async fn take(&mut self, receiver: &mut Receiver, came: &AtomicU64) -> Result<()> {
        let mut wrong = false;
        let mut take = |envelope: &[u8]| {
            let stamp = Stamp::of(envelope);
            let number = stamp.and_then(|stamp| usize::try_from(stamp.number).ok());
            match number.and_then(|number| self.has.get_mut(number)) {
                Some(has) => {
                    came.fetch_add(1, Ordering::Relaxed);
                    self.doubled += u64::from(*has);
                    *has = true;
                }
                None => wrong = true,
            }
        };
        receiver.receive(&mut take).await?;
        ensure!(!wrong, "something came that was never sent");
        Ok(())
    }
}
