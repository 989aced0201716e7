// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One seed: faults, one after the other, and a message after each.

mod faults;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use waxwing_proto::{ServerAddress, limits};
use waxwing_transport::quic::{
    DialerSettings, ListenerSettings, QuicDialer, ServerIdentity, StableKeys,
};
use waxwing_transport::sim::{PacketEvent, PacketNetwork, PacketSettings, SimClock, SimEntropy};
use waxwing_transport::tls::{MemoryTickets, Tickets};
use waxwing_transport::{Clock, Connection, Keeper, Kept, Plane, Signals};

use self::faults::Fault;
use super::figures::Figures;
use super::ledger::{Ledger, message};
use crate::dice::Dice;

const PORT: u16 = 4433;
const SERVER: &str = "relay";
const CLIENT: &str = "alice";
/// Messages have less than so many bytes: up to three packets.
const SIZE_MAX: u64 = 4_000;
/// So many fit into one packet.
const SMALL_SIZE_MAX: u64 = 1_000;
/// Faults in one run.
const FAULTS: usize = 6;

/// What came out of a seed.
#[derive(Debug)]
pub struct Run {
    /// A hash over times, addresses and sizes of all packets, in hexadecimal digits.
    pub hash: String,
    /// How many packets were sent.
    pub packets: u64,
    /// How long the run was, in virtual milliseconds.
    pub lasted_ms: u64,
    /// Messages that were sent and answered.
    pub messages: u32,
    /// Packets that were lost, of a thousand.
    pub loss_per_mille: u32,
    /// How late messages were.
    pub figures: Figures,
    /// Broken promises.
    pub failures: Vec<String>,
}

/// Runs one seed to its end, and prints every fault and every packet where it is traced.
///
/// # Errors
/// The world could not be set up.
pub fn run(seed: u64, is_traced: bool) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(async { Course::begin(seed, is_traced)?.play().await })
}

struct Course {
    network: PacketNetwork,
    clock: Arc<dyn Clock>,
    dice: Dice,
    path: PacketSettings,
    is_traced: bool,
    identity: ServerIdentity,
    keys: StableKeys,
    /// They outlive the server.
    tickets: Arc<Tickets>,
    ledger: Ledger,
    server: JoinSet<()>,
    signals: Signals,
    connection: watch::Receiver<Option<Connection>>,
    keeping: JoinSet<()>,
    next: u32,
    /// How often each message was tried.
    calls: Vec<u32>,
    figures: Figures,
    failures: Vec<String>,
}

impl Course {
    fn begin(seed: u64, is_traced: bool) -> anyhow::Result<Self> {
        let mut dice = Dice::new(seed, "quic");
        // Three paths of ten lose nothing, so that times have a bound there.
        let loss = [0, 0, 0, 10, 20, 50, 100, 100, 200, 300];
        let place = usize::try_from(dice.below(10))?;
        let loss_per_mille = loss.get(place).copied().unwrap_or(0);
        let path = PacketSettings {
            delay_ms: dice.between(1, 80),
            jitter_ms: dice.below(40),
            loss_per_mille,
            duplicate_per_mille: u32::try_from(dice.below(50))?,
            // A packet that is late by four times the delay would blur what times are bounded by.
            reorder_per_mille: if loss_per_mille == 0 { 0 } else { 30 },
            corrupt_per_mille: loss_per_mille / 10,
            ..PacketSettings::default()
        };
        let network = PacketNetwork::new(seed, path);
        if is_traced {
            print_line(&format!("{path:?}"));
            network.set_tap(Arc::new(print_packet));
        }
        let clock: Arc<dyn Clock> = Arc::new(SimClock::new(1_700_000_000_000));
        let identity = ServerIdentity::from_seed(&[1; 32])?;
        let address = ServerAddress {
            host: SERVER.parse()?,
            port: PORT,
            key_pins: vec![identity.key_pin()],
        };
        let signals = Signals::new();
        let dialer = Arc::new(network.dialer(CLIENT, DialerSettings::default()));
        let entropy = Arc::new(SimEntropy::new(seed, "keeper"));
        let keeper = Keeper::new(
            (dialer, Arc::clone(&clock), entropy),
            address,
            Plane::Account,
            &signals,
        );
        let (show, connection) = watch::channel(None);
        let mut keeping = JoinSet::new();
        keeping.spawn(keep(keeper, show));
        let keys = StableKeys {
            reset: [2; 32],
            token: [3; 32],
        };
        let tickets = Arc::new(Tickets::new(
            Arc::new(MemoryTickets::default()),
            Arc::clone(&clock),
            Arc::new(SimEntropy::new(seed, "tickets")),
        ));
        let mut course = Self {
            network,
            clock,
            dice,
            path,
            is_traced,
            identity,
            keys,
            tickets,
            ledger: Ledger::default(),
            server: JoinSet::new(),
            signals,
            connection,
            keeping,
            next: 0,
            calls: Vec::new(),
            figures: Figures::default(),
            failures: Vec::new(),
        };
        course.start_server()?;
        Ok(course)
    }

    fn start_server(&mut self) -> anyhow::Result<()> {
        let listener = self.network.listen(
            SERVER,
            PORT,
            (&self.identity, &self.keys, Some(&self.tickets)),
            ListenerSettings::default(),
        )?;
        let (ledger, clock) = (self.ledger.clone(), Arc::clone(&self.clock));
        self.server.spawn(ledger.serve(Arc::new(listener), clock));
        Ok(())
    }

    async fn play(mut self) -> anyhow::Result<Run> {
        self.send().await;
        for _ in 0..FAULTS {
            self.clock.sleep(self.dice.between(1, 40_000)).await;
            let fault = Fault::drawn(&mut self.dice);
            self.suffer(fault).await?;
            // What follows meets a connection that works, or none.
            self.send().await;
        }
        self.judge();
        self.keeping.shutdown().await;
        let (hash, packets) = self.network.log();
        Ok(Run {
            hash: data_encoding::HEXLOWER.encode(&hash),
            packets,
            lasted_ms: self.clock.monotonic_ms(),
            messages: self.next,
            loss_per_mille: self.path.loss_per_mille,
            figures: self.figures,
            failures: self.failures,
        })
    }

    /// Sends the next message, and says that it waits. Gives when it was answered.
    async fn send(&mut self) -> u64 {
        let _waiting = self.signals.wait();
        self.send_untold(SIZE_MAX).await
    }

    /// Sends the next message, on whatever connection there is, until it is answered. Gives when.
    async fn send_untold(&mut self, size_max: u64) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let size = usize::try_from(self.dice.between(10, size_max)).unwrap_or(10);
        self.calls.push(0);
        loop {
            let current = self.connection.borrow_and_update().clone();
            if let Some(connection) = current {
                if let Some(calls) = self.calls.last_mut() {
                    *calls = calls.saturating_add(1);
                }
                let call = connection.call(message(number, size), limits::DEADLINE_MS_DEFAULT);
                tokio::select! {
                    biased;
                    answer = call => if answer.is_ok() {
                        return self.clock.monotonic_ms();
                    },
                    changed = self.connection.changed() => {
                        if changed.is_err() {
                            self.failures.push("the keeper has ended".to_owned());
                            return self.clock.monotonic_ms();
                        }
                    }
                }
            } else if tokio::time::timeout(Duration::from_secs(1_200), self.connection.changed())
                .await
                .is_err()
            {
                self.failures
                    .push(format!("message {number} has no connection for 20 minutes"));
                return self.clock.monotonic_ms();
            }
        }
    }

    /// Everything that was answered is in the ledger, in order, and no call was carried out twice: not by a
    /// packet that came twice, not by a first flight that was sent again.
    fn judge(&mut self) {
        let came = self.ledger.accepted();
        let accepted: Vec<u32> = came.iter().map(|one| one.number).collect();
        let expected: Vec<u32> = (0..self.next).collect();
        for (one, calls) in came.iter().zip(&self.calls) {
            if one.came > *calls {
                let text = format!("{one:?}, of {calls} calls");
                self.failures.push(text);
            }
        }
        if accepted != expected {
            self.failures.push(format!(
                "sent 0 to {}, the ledger has {accepted:?}",
                self.next
            ));
        }
    }
}

#[allow(clippy::print_stdout, reason = "a trace was asked for")]
fn print_line(line: &str) {
    println!("{line}");
}

fn print_packet(packet: &PacketEvent) {
    let form = match packet.bytes.first() {
        Some(first) if first & 0x80 == 0 => "1-RTT",
        Some(first) => match first & 0x30 {
            0 => "initial",
            0x10 => "0-RTT",
            0x20 => "handshake",
            _ => "retry",
        },
        None => "empty",
    };
    print_line(&format!(
        "{} ms: {} to {}: {form} {} bytes, {} times",
        packet.time_ms,
        packet.from,
        packet.to,
        packet.bytes.len(),
        packet.copies
    ));
}

/// Keeps the connection up and shows it.
async fn keep(mut keeper: Keeper<QuicDialer>, show: watch::Sender<Option<Connection>>) {
    loop {
        let connection = match keeper.next().await {
            Kept::Up(connection) => Some(connection),
            Kept::Down(_) => None,
        };
        show.send_replace(connection);
    }
}
