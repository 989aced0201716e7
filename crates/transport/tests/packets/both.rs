// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A session over QUIC that goes on over another transport while UDP is silent, and comes back: with nothing
//! lost and nothing doubled. The other transport is a simulated one, which is up where packets are not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use waxwing_transport::race::{Network, REMEMBERED_MS, RaceDialer};
use waxwing_transport::sim::{NetworkSettings, SimNetwork};
use waxwing_transport::{Transport, within};

use super::*;

const ROUND_TRIP_MS: u64 = 80;
/// Between two messages.
const PAUSE_MS: u64 = 700;
const HOUR_MS: u32 = 3_600_000;

/// How often each message came.
type Ledger = Arc<Mutex<BTreeMap<u32, u32>>>;

/// Two networks between the same hosts, a client that keeps a connection up, and what the server has.
struct Both {
    packets: PacketNetwork,
    frames: SimNetwork,
    clock: Arc<dyn Clock>,
    signals: Signals,
    connection: tokio::sync::watch::Receiver<Option<Connection>>,
    /// What carried each connection that came up, and when it did.
    ups: Arc<Mutex<Vec<(Transport, u64)>>>,
    downs: Arc<AtomicU32>,
    ledger: Ledger,
    /// Whether the server sends newcomers over QUIC away for an hour.
    is_full: Arc<AtomicBool>,
    /// How often each message was tried.
    calls: Vec<u32>,
}

impl Both {
    fn new(seed: u64, path: PacketSettings, is_choosing: bool) -> Self {
        let packets = PacketNetwork::new(seed, path);
        let frames = SimNetwork::new(seed, NetworkSettings::default());
        let clock: Arc<dyn Clock> = Arc::new(SimClock::new(1_700_000_000_000));
        let ledger = Ledger::default();
        let over_quic = listen(&packets, ListenerSettings::default());
        let over_frames = Arc::new(frames.listen("relay", PORT, identity().key_pin()));
        let is_full: Arc<AtomicBool> = Arc::default();
        account(over_quic, &clock, &ledger, &is_full);
        account(over_frames, &clock, &ledger, &Arc::default());
        let other: Box<dyn Dialer> = Box::new(frames.dialer("alice"));
        let dialer: Box<dyn Dialer> = if is_choosing {
            Box::new(RaceDialer::new(
                Box::new(packets.dialer("alice", DialerSettings::default())),
                other,
                Arc::clone(&clock),
                Arc::new(Network::default),
            ))
        } else {
            other
        };
        let address = ServerAddress {
            host: "relay".parse().unwrap(),
            port: PORT,
            key_pins: vec![identity().key_pin()],
        };
        let signals = Signals::new();
        let entropy = Arc::new(SimEntropy::new(seed, "keeper"));
        let seams = (Arc::new(dialer), Arc::clone(&clock), entropy as Arc<_>);
        let mut keeper = Keeper::new(seams, address, Plane::Account, &signals);
        let (show, connection) = tokio::sync::watch::channel(None);
        let ups: Arc<Mutex<Vec<_>>> = Arc::default();
        let downs: Arc<AtomicU32> = Arc::default();
        let (noted, noting) = (Arc::clone(&ups), Arc::clone(&clock));
        let lost = Arc::clone(&downs);
        tokio::spawn(async move {
            while !show.is_closed() {
                let connection = match keeper.next().await {
                    Kept::Up(connection) => Some(connection),
                    Kept::Down(_) => {
                        lost.fetch_add(1, Ordering::Relaxed);
                        None
                    }
                };
                if let Some(up) = &connection {
                    let up = (up.link().transport(), noting.monotonic_ms());
                    noted.lock().unwrap().push(up);
                }
                show.send_replace(connection);
            }
        });
        Self {
            packets,
            frames,
            clock,
            signals,
            connection,
            ups,
            downs,
            ledger,
            is_full,
            calls: Vec::new(),
        }
    }

    /// Sends the next message until it is answered; gives how often it was tried, and how long it took.
    async fn send(&mut self) -> (u32, u64) {
        let number = u32::try_from(self.calls.len()).unwrap();
        let begun_ms = self.clock.monotonic_ms();
        let _waiting = self.signals.wait();
        let mut calls = 0;
        loop {
            let current = self.connection.borrow_and_update().clone();
            let Some(connection) = current else {
                self.connection.changed().await.unwrap();
                continue;
            };
            calls += 1;
            tokio::select! {
                biased;
                answer = connection.call(numbered(number), 15_000) => match answer {
                    Ok(_) => {
                        self.calls.push(calls);
                        return (calls, self.clock.monotonic_ms() - begun_ms);
                    }
                    // The keeper knows, and tells.
                    Err(CallError::LinkLost(_)) => self.connection.changed().await.unwrap(),
                    Err(_) => {}
                },
                changed = self.connection.changed() => changed.unwrap(),
            }
        }
    }

    /// Sends messages for so long; gives how often the most tried was, and how long the slowest took.
    async fn send_for(&mut self, time_ms: u64) -> (u32, u64) {
        let until_ms = self.clock.monotonic_ms() + time_ms;
        let mut most = (0, 0);
        while self.clock.monotonic_ms() < until_ms {
            let (calls, took_ms) = self.send().await;
            most = (most.0.max(calls), most.1.max(took_ms));
            self.clock.sleep(PAUSE_MS).await;
        }
        most
    }

    fn mute(&self) {
        self.packets.partition_both("alice", "relay");
    }

    fn carriers(&self) -> Vec<Transport> {
        self.ups.lock().unwrap().iter().map(|up| up.0).collect()
    }

    /// Every message came, and none came more often than it was tried. Gives how many came again.
    fn judge(&self) -> u32 {
        let ledger = self.ledger.lock().unwrap();
        let sent = u32::try_from(self.calls.len()).unwrap();
        let numbers: Vec<u32> = ledger.keys().copied().collect();
        assert_eq!(numbers, (0..sent).collect::<Vec<u32>>());
        let mut tried = ledger.values().zip(&self.calls);
        assert!(tried.all(|(came, calls)| came <= calls));
        ledger.values().map(|times| times - 1).sum()
    }
}

/// Serves `put_rendezvous` on every connection, and counts what comes.
fn account<L: Listener>(
    listener: Arc<L>,
    clock: &Arc<dyn Clock>,
    ledger: &Ledger,
    is_full: &Arc<AtomicBool>,
) {
    let (clock, ledger) = (Arc::clone(clock), Arc::clone(ledger));
    let is_full = Arc::clone(is_full);
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            if is_full.load(Ordering::Relaxed) {
                link.close_with_retry(CloseCode::Overloaded, HOUR_MS);
                continue;
            }
            let (clock, ledger) = (Arc::clone(&clock), Arc::clone(&ledger));
            tokio::spawn(async move {
                let Ok(connection) = serve_hello(link, clock).await else {
                    return;
                };
                while let Ok(pending) = connection.accept().await {
                    let Ok(call) = pending.read().await else {
                        continue;
                    };
                    let v1::request::Call::PutRendezvous(put) = &call.request else {
                        panic!("another call");
                    };
                    *ledger.lock().unwrap().entry(put.slot).or_default() += 1;
                    let done = v1::PutRendezvousResponse {};
                    let done = v1::response::Result::PutRendezvous(done);
                    // Whether the answer arrives is for the client to find out.
                    let _ = call.responder.answer(done).await;
                }
            });
        }
    });
}

fn numbered(number: u32) -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            slot: number,
            value: vec![7; 300].into(),
            ..v1::PutRendezvousRequest::default()
        })),
    }
}

/// Without jitter: a packet of the handshake that overtakes another one is lost, and that takes longer than
/// the head start.
fn path(loss_per_mille: u32) -> PacketSettings {
    PacketSettings {
        loss_per_mille,
        jitter_ms: 0,
        reorder_per_mille: 0,
        ..PacketSettings::default()
    }
}

/// TRN-52, TRN-62, TRN-90: packets are lost without a word, and the session goes on over the other transport
/// after the first probe that is not answered and the head start. It looks for QUIC every ten minutes, and
/// is back there with the first look that finds it.
#[tokio::test(start_paused = true)]
async fn a_session_goes_on_over_the_other_transport_and_comes_back() {
    for seed in 0..12 {
        let mut both = Both::new(seed, path(0), true);
        both.send_for(20_000 + 137 * seed).await;
        assert_eq!(both.carriers(), [Transport::Quic]);

        both.mute();
        let (calls, took_ms) = both.send_for(30_000).await;
        // What was sent over QUIC last is sent again.
        assert_eq!(calls, 2, "seed {seed}");
        let bound_ms = 2_000 + 250 + 3 * ROUND_TRIP_MS;
        assert!(took_ms <= bound_ms, "{took_ms} ms, seed {seed}");
        assert_eq!(both.carriers(), [Transport::Quic, Transport::Simulated]);

        // A look that finds nothing costs nothing, and leaves nothing.
        let (calls, took_ms) = both.send_for(REMEMBERED_MS + 10_000).await;
        assert_eq!(calls, 1, "seed {seed}");
        assert!(took_ms <= 2 * ROUND_TRIP_MS, "{took_ms} ms, seed {seed}");
        assert_eq!(both.carriers(), [Transport::Quic, Transport::Simulated]);
        assert_eq!(both.frames.open_links(), 1);

        both.packets.heal_all();
        let (calls, took_ms) = both.send_for(REMEMBERED_MS + 10_000).await;
        // Nothing is cut by the way back.
        assert_eq!(calls, 1, "seed {seed}");
        assert!(took_ms <= 2 * ROUND_TRIP_MS, "{took_ms} ms, seed {seed}");
        let moves = [Transport::Quic, Transport::Simulated, Transport::Quic];
        assert_eq!(both.carriers(), moves, "seed {seed}");
        assert_eq!(both.frames.open_links(), 0);
        // What was sent again had not come the first time.
        assert_eq!(both.judge(), 0, "seed {seed}");
    }
}

/// The same on paths that lose packets, where either may win at any time: the sum is right.
#[tokio::test(start_paused = true)]
async fn with_loss_nothing_is_lost_or_doubled_on_the_way_to_and_fro() {
    let mut moves = 0;
    for seed in 100..120 {
        let mut both = Both::new(seed, path(100), true);
        for round in 0..4_u64 {
            both.send_for(20_000).await;
            both.mute();
            both.send_for(20_000 + 997 * round).await;
            both.packets.heal_all();
            both.send_for(REMEMBERED_MS).await;
        }
        moves += both.carriers().len() - 1;
        both.judge();
    }
    assert!(moves >= 60, "{moves}");
}

/// TRN-90: what is under way is not cut.
#[tokio::test(start_paused = true)]
async fn the_way_back_waits_until_nothing_waits() {
    let mut both = Both::new(40, path(0), true);
    both.mute();
    both.send().await;
    assert_eq!(both.carriers(), [Transport::Simulated]);
    both.packets.heal_all();
    let waiting = both.signals.wait();
    both.send_for(REMEMBERED_MS + 60_000).await;
    assert_eq!(both.carriers(), [Transport::Simulated]);
    drop(waiting);
    let moved = within(&*both.clock, 1, both.connection.changed()).await;
    assert!(moved.is_some());
    assert_eq!(both.carriers(), [Transport::Simulated, Transport::Quic]);
    assert_eq!(both.judge(), 0);
}

/// Where the connection ends while the better one waits for its moment, that one goes on.
#[tokio::test(start_paused = true)]
async fn the_better_connection_takes_over_when_the_other_ends() {
    let mut both = Both::new(41, path(0), true);
    both.mute();
    both.send().await;
    both.packets.heal_all();
    let _waiting = both.signals.wait();
    both.send_for(REMEMBERED_MS + 60_000).await;
    assert_eq!(both.carriers(), [Transport::Simulated]);
    both.frames.kill_links("alice", "relay");
    let (_, took_ms) = both.send().await;
    assert!(took_ms <= ROUND_TRIP_MS, "{took_ms}");
    assert_eq!(both.downs.load(Ordering::Relaxed), 0);
    assert_eq!(both.carriers(), [Transport::Simulated, Transport::Quic]);
    assert_eq!(both.judge(), 0);
}

/// TRN-63: a server that does not want to be called over QUIC for an hour is not, and keeps its client.
#[tokio::test(start_paused = true)]
async fn the_way_back_heeds_the_time_that_the_server_names() {
    let mut both = Both::new(43, path(0), true);
    both.mute();
    both.send().await;
    both.packets.heal_all();
    both.is_full.store(true, Ordering::Relaxed);
    both.send_for(REMEMBERED_MS + 10_000).await;
    let events = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&events);
    both.packets.set_tap(Arc::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    both.is_full.store(false, Ordering::Relaxed);
    let (calls, _) = both.send_for(u64::from(HOUR_MS) - 60_000).await;
    assert_eq!((calls, events.load(Ordering::Relaxed)), (1, 0));
    assert_eq!(both.carriers(), [Transport::Simulated]);
    // After that and half as much it is looked for again.
    both.send_for(u64::from(HOUR_MS / 2) + 120_000).await;
    assert_eq!(both.carriers(), [Transport::Simulated, Transport::Quic]);
    assert_eq!(both.judge(), 0);
}

/// Who has set one transport is not asked about another.
#[tokio::test(start_paused = true)]
async fn a_client_without_a_choice_stays() {
    let mut both = Both::new(42, path(0), false);
    let (calls, _) = both.send_for(3 * REMEMBERED_MS).await;
    assert_eq!(calls, 1);
    assert_eq!(both.carriers(), [Transport::Simulated]);
    assert_eq!(both.judge(), 0);
}
