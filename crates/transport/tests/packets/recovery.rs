// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Outages, moves, restarts: how soon the first message gets through, and that the same seed gives
//! the same run.

use super::*;

/// A path without loss, so that times have a bound: a round trip takes at most 140 ms.
const STEADY: PacketSettings = PacketSettings {
    delay_ms: 40,
    jitter_ms: 30,
    loss_per_mille: 0,
    duplicate_per_mille: 20,
    reorder_per_mille: 0,
    corrupt_per_mille: 0,
    datagram_size_max: 1472,
};
const ROUND_TRIP_MS: u64 = 140;

/// The connection that a keeper keeps, for whoever wants to call.
struct Kin {
    connection: tokio::sync::watch::Receiver<Option<Connection>>,
    ups: Arc<Mutex<Vec<u64>>>,
    downs: Arc<Mutex<Vec<(u64, CallError)>>>,
}

impl Kin {
    fn of(world: &World, signals: &Signals) -> Self {
        let mut keeper = world.keeper(signals);
        let (show, connection) = tokio::sync::watch::channel(None);
        let (ups, downs) = (Arc::default(), Arc::default());
        let kin = Self {
            connection,
            ups: Arc::clone(&ups),
            downs: Arc::clone(&downs),
        };
        let clock = Arc::clone(&world.clock);
        tokio::spawn(async move {
            while !show.is_closed() {
                match keeper.next().await {
                    Kept::Up(connection) => {
                        ups.lock().unwrap().push(clock.monotonic_ms());
                        show.send_replace(Some(connection));
                    }
                    Kept::Down(error) => {
                        downs.lock().unwrap().push((clock.monotonic_ms(), error));
                        show.send_replace(None);
                    }
                }
            }
        });
        kin
    }

    /// One message: tried under the same id on whatever connection there is until it is answered.
    async fn send(&mut self, signals: &Signals, fill: u8) {
        let _waiting = signals.wait();
        loop {
            let current = self.connection.borrow_and_update().clone();
            let Some(connection) = current else {
                self.connection.changed().await.unwrap();
                continue;
            };
            let sent = async {
                let answer = connection.call(bring(1024, fill), 15_000).await;
                answer.is_ok()
            };
            tokio::select! {
                biased;
                is_sent = sent => if is_sent { return },
                _ = self.connection.changed() => {}
            }
        }
    }
}

/// An outage of so long while a message waits; gives how late after its end the message is through.
async fn late_after_outage(seed: u64, outage_ms: u64) -> u64 {
    let world = world(seed, STEADY);
    world.serve();
    let signals = Signals::new();
    let mut kin = Kin::of(&world, &signals);
    kin.send(&signals, 1).await;
    tokio::time::sleep(Duration::from_millis(3_000 + seed % 977)).await;
    world.network.partition_both("alice", "relay");
    let network = world.network.clone();
    let healed_ms = world.now_ms() + outage_ms;
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(outage_ms)).await;
        network.heal_all();
    });
    kin.send(&signals, 2).await;
    world.now_ms().saturating_sub(healed_ms)
}

/// TRN-61, TRN-62.
#[tokio::test(start_paused = true)]
async fn a_waiting_message_is_through_soon_after_any_outage() {
    for (seed, outage_ms) in [
        (1, 1_000),
        (2, 5_000),
        (3, 30_000),
        (4, 59_000),
        (5, 61_000),
        (6, 90_000),
        (7, 300_000),
        (8, 590_000),
    ] {
        let late_ms = late_after_outage(seed, outage_ms).await;
        let bound_ms = 2_000 + 3 * ROUND_TRIP_MS;
        assert!(late_ms <= bound_ms, "{late_ms} ms after {outage_ms} ms");
    }
}

/// What this is for: the same outage on a connection that nobody probes (T6).
#[tokio::test(start_paused = true)]
async fn a_raw_connection_is_late_by_many_seconds() {
    let world = world(3, STEADY);
    world.serve();
    let connection = world.connect().await;
    world.network.partition_both("alice", "relay");
    let network = world.network.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        network.heal_all();
    });
    exchange(&connection, 1024, 1).await.unwrap();
    assert!(world.now_ms() > 30_000 + 5_000, "{}", world.now_ms());
}

/// TRN-61.
#[tokio::test(start_paused = true)]
async fn an_outage_that_nobody_waits_for_ends_within_half_a_minute() {
    for (seed, outage_ms) in [(1, 20_000), (2, 45_000), (3, 200_000)] {
        let world = world(seed, STEADY);
        world.serve();
        let signals = Signals::new();
        let mut kin = Kin::of(&world, &signals);
        kin.send(&signals, 1).await;
        world.network.partition_both("alice", "relay");
        tokio::time::sleep(Duration::from_millis(outage_ms)).await;
        world.network.heal_all();
        let bound_ms = u64::from(limits::PROBE_IDLE_MS) + 3 * ROUND_TRIP_MS;
        tokio::time::sleep(Duration::from_millis(bound_ms)).await;
        // It is there now: one round trip, without a probe.
        let connection = kin.connection.borrow().clone().unwrap();
        let begun_ms = world.now_ms();
        exchange(&connection, 1024, 2).await.unwrap();
        assert!(world.now_ms() - begun_ms <= 2 * ROUND_TRIP_MS);
    }
}

/// TRN-60.
#[tokio::test(start_paused = true)]
async fn a_move_to_another_network_costs_three_round_trips_at_most() {
    for seed in 0..20 {
        let world = world(seed, STEADY);
        world.serve();
        let signals = Signals::new();
        let mut kin = Kin::of(&world, &signals);
        kin.send(&signals, 1).await;
        tokio::time::sleep(Duration::from_millis(500 + 37 * seed)).await;
        world.network.move_host("alice");
        let moved_ms = world.now_ms();
        signals.network_changed();
        kin.send(&signals, 2).await;
        let late_ms = world.now_ms() - moved_ms;
        assert!(late_ms <= 3 * ROUND_TRIP_MS, "{late_ms} ms, seed {seed}");
        // The connection moved: no new one was needed.
        assert_eq!(kin.ups.lock().unwrap().len(), 1);
    }
}

/// The path back to the moved connection is closed: the fresh one wins. TRN-60.
#[tokio::test(start_paused = true)]
async fn where_the_connection_cannot_move_a_fresh_one_wins() {
    let world = world(21, STEADY);
    world.serve();
    let signals = Signals::new();
    let mut kin = Kin::of(&world, &signals);
    kin.send(&signals, 1).await;
    // The server has lost its state and its keys: it has nothing to answer the old connection.
    world.network.crash("relay");
    let other_keys = StableKeys {
        reset: [9; 32],
        token: [9; 32],
    };
    let again = world.network.listen(
        "relay",
        PORT,
        (&identity(), &other_keys, None),
        ListenerSettings::default(),
    );
    serve(Arc::new(again.unwrap()), Arc::clone(&world.clock));
    let moved_ms = world.now_ms();
    signals.network_changed();
    kin.send(&signals, 2).await;
    let late_ms = world.now_ms() - moved_ms;
    // Handshake, greeting, call; and where the greeting overtakes the end of the handshake, it is
    // lost, and sent again after another three.
    assert!(late_ms <= 6 * ROUND_TRIP_MS, "{late_ms}");
    assert_eq!(kin.ups.lock().unwrap().len(), 2);
}

/// The server keeps its reset key over restarts: the first packet shows that it has forgotten.
#[tokio::test(start_paused = true)]
async fn a_restarted_server_is_noticed_with_the_first_packet() {
    let world = world(22, STEADY);
    world.serve();
    let signals = Signals::new();
    let mut kin = Kin::of(&world, &signals);
    kin.send(&signals, 1).await;
    world.network.crash("relay");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = listen(&world.network, ListenerSettings::default());
    serve(again, Arc::clone(&world.clock));
    let begun_ms = world.now_ms();
    kin.send(&signals, 2).await;
    // A round trip for the reset, at most 250 ms of back-off, three for the new connection; and where
    // the greeting overtakes the end of the handshake, it is lost, and sent again after another two.
    let late_ms = world.now_ms() - begun_ms;
    assert!(late_ms <= 250 + 6 * ROUND_TRIP_MS, "{late_ms}");
    let downs = kin.downs.lock().unwrap();
    let reset = CallError::LinkLost(LinkError::Closed(CloseReason::Reset));
    assert_eq!(downs.iter().map(|it| it.1).collect::<Vec<_>>(), [reset]);
}

/// TRN-63: thousands of clients must not return at once, whatever waits and whatever changes.
#[tokio::test(start_paused = true)]
async fn what_the_server_asks_for_overrides_everything() {
    let world = world(23, STEADY);
    let signals = Signals::new();
    let mut kin = Kin::of(&world, &signals);
    let theirs = world.listener.accept().await.unwrap();
    let served = serve_hello(theirs, Arc::clone(&world.clock)).await.unwrap();
    while kin.connection.borrow_and_update().is_none() {
        kin.connection.changed().await.unwrap();
    }
    served
        .link()
        .close_with_retry(CloseCode::ShuttingDown, 20_000);
    let closed_ms = world.now_ms();
    world.serve();
    let _waiting = signals.wait();
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        signals.network_changed();
    }
    assert_eq!(kin.ups.lock().unwrap().len(), 1);
    kin.send(&signals, 1).await;
    let back_ms = kin.ups.lock().unwrap()[1] - closed_ms;
    assert!((20_000..=31_000).contains(&back_ms), "{back_ms}");
}

/// A call on any link is probed while it waits.
#[tokio::test(start_paused = true)]
async fn a_single_call_gets_through_after_an_outage() {
    let world = world(24, STEADY);
    world.serve();
    let connection = world.connect().await;
    world.network.partition_both("alice", "relay");
    let network = world.network.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        network.heal_all();
    });
    let signals = Signals::new();
    let call = exchange(&connection, 1024, 1);
    let begun_ms = world.now_ms();
    probing(connection.link(), &*world.clock, &signals, call)
        .await
        .unwrap();
    let late_ms = world.now_ms() - begun_ms - 30_000;
    let bound_ms = 2_000 + 3 * ROUND_TRIP_MS;
    assert!(late_ms <= bound_ms, "{late_ms}");
}

/// Times, sizes and counts follow from the seed, although the keys do not.
#[test]
fn the_same_seed_gives_the_same_packets() {
    async fn run(seed: u64) -> ([u8; 32], u64) {
        let rough = PacketSettings {
            loss_per_mille: 100,
            reorder_per_mille: 50,
            ..STEADY
        };
        let world = world(seed, rough);
        world.serve();
        let signals = Signals::new();
        let mut kin = Kin::of(&world, &signals);
        for fill in 0..20 {
            match fill {
                5 => world.network.rebind_nat_port("alice"),
                9 => {
                    world.network.move_host("alice");
                    signals.network_changed();
                }
                13 => {
                    world.network.crash("relay");
                    let again = listen(&world.network, ListenerSettings::default());
                    serve(again, Arc::clone(&world.clock));
                }
                _ => {}
            }
            kin.send(&signals, fill).await;
        }
        world.network.log()
    }
    let run = |seed| {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(run(seed))
    };
    let (hash, sent) = run(77);
    assert!(sent > 200, "{sent}");
    assert_eq!((hash, sent), run(77));
    assert_ne!(hash, run(78).0);
}
