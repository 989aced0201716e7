// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same seed, the same run.

use super::*;

/// A run with every kind of fault; gives the hash of everything that went over the network.
async fn faulty_run(seed: u64) -> ([u8; 32], u64, Vec<u8>) {
    let settings = NetworkSettings {
        loss_per_mille: 100,
        duplicate_per_mille: 50,
        jitter_ms: 60,
        ..NetworkSettings::default()
    };
    let world = world(seed, settings);
    let log = Arc::new(Mutex::new((EventLog::default(), Vec::new())));
    let tap = Arc::clone(&log);
    world.network.set_tap(Arc::new(move |event| {
        let mut log = tap.lock().unwrap();
        log.0.record(event);
        if let TapKind::Bytes(bytes) = &event.kind {
            log.1.extend_from_slice(bytes);
        }
    }));
    world.serve();
    let bob = world.network.dialer("bob");
    let (address, clock) = (world.address.clone(), Arc::clone(&world.clock));
    let bobs = tokio::spawn(async move {
        let link = bob.dial(&address, Plane::Account).await.unwrap();
        let connection = Connection::establish(link, clock).await.unwrap();
        for _ in 0..50 {
            let _ = connection.call(status(), 700).await;
        }
    });
    let connection = world.connect().await;
    for round in 0..50_u64 {
        match round {
            10 => world.network.partition("alice", "relay"),
            12 => world.network.partition_both("bob", "relay"),
            15 => world.network.heal_all(),
            _ => {}
        }
        let (one, two) = tokio::join!(
            connection.call(status(), 900),
            connection.call(never_answered(), 50),
        );
        assert!(two.is_err());
        if round > 20 {
            assert!(one.is_ok(), "{one:?}");
        }
    }
    bobs.await.unwrap();
    let log = log.lock().unwrap();
    (log.0.hash(), log.0.events(), log.1.clone())
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let run = |seed| {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(faulty_run(seed))
    };
    let (first, events, bytes) = run(42);
    assert!(events > 300);
    assert!(!bytes.is_empty());
    assert_eq!((first, events, bytes), run(42));
    assert_ne!(first, run(43).0);
}
