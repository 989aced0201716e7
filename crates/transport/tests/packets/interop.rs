// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cases of the QUIC interop runner, under its names, so that an outsider can compare.
//!
//! Not here: `http3`, `v2` and `ecn`, as this protocol has none of them; `ipv6`, which is tested
//! on real sockets; `chacha20`, as both ends of this protocol are this program, which prefers AES.

use super::*;

/// 1 % to 3 % of everything goes wrong.
const ROUGH: PacketSettings = PacketSettings {
    delay_ms: 40,
    jitter_ms: 30,
    loss_per_mille: 20,
    duplicate_per_mille: 20,
    reorder_per_mille: 30,
    corrupt_per_mille: 0,
    datagram_size_max: 1472,
};

#[tokio::test(start_paused = true)]
async fn handshake() {
    let steady = PacketSettings {
        reorder_per_mille: 0,
        ..PacketSettings::default()
    };
    let world = world(1, steady);
    let events = world.record();
    let begun_ms = world.now_ms();
    let (ours, theirs) = world.links().await;
    assert_eq!(ours.negotiated_group(), KeyExchange::X25519MlKem768);
    assert_eq!(
        ours.exporter(b"EXPORTER-test", b""),
        theirs.exporter(b"EXPORTER-test", b"")
    );
    // One round trip and a half until the server has it all, of at most 140 ms each.
    assert!(world.now_ms() - begun_ms <= 210);

    let events = events.lock().unwrap();
    let client = events[0].from;
    let first_answer = events.iter().position(|event| event.from != client);
    let flight = &events[..first_answer.unwrap()];
    // The hybrid key share needs two datagrams, and no more.
    assert_eq!(flight.len(), 2);
    assert!(flight.iter().all(|event| event.bytes.len() == 1200));
    // The server's flight, which goes out in one moment.
    let answered_ms = events[first_answer.unwrap()].time_ms;
    let answers = events
        .iter()
        .filter(|event| event.to == client && event.time_ms <= answered_ms + 30);
    let size: usize = answers.map(|event| event.bytes.len()).sum();
    assert!(size <= 3 * 1024, "{size}");
}

#[tokio::test(start_paused = true)]
async fn transfer() {
    let world = world(2, ROUGH);
    world.serve();
    let connection = world.connect().await;
    for (size, fill) in [(1, 1), (5_000, 2), (60_000, 3), (300_000, 4)] {
        exchange(&connection, size, fill).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn longrtt() {
    let far = PacketSettings {
        delay_ms: 750,
        jitter_ms: 0,
        reorder_per_mille: 0,
        ..PacketSettings::default()
    };
    let world = world(3, far);
    world.serve();
    let begun_ms = world.now_ms();
    let connection = world.connect().await;
    exchange(&connection, 1_000, 1).await.unwrap();
    // Handshake, greeting, call: three round trips of 1.5 s.
    assert!(world.now_ms() - begun_ms <= 4_600);
}

#[tokio::test(start_paused = true)]
async fn multiplexing() {
    let world = world(4, ROUGH);
    world.serve();
    let connection = world.connect().await;
    let mut calls = tokio::task::JoinSet::new();
    // Far more than may be open at a time: credit has to come back.
    for number in 0..1_000_u32 {
        let connection = connection.clone();
        let fill = number.to_le_bytes()[0];
        calls.spawn(async move { exchange(&connection, 32, fill).await });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap().unwrap();
    }
}

/// TRN-80, TRN-81: the second connection is resumed by a ticket, with a key share of its own and in one
/// round trip; the certificate and its signature are not sent again.
#[tokio::test(start_paused = true)]
async fn resumption() {
    let (world, kept) = world_with_tickets(9, Arc::new(MemoryTickets::default()));
    world.serve();
    let events = world.record();

    let mut flights = Vec::new();
    for _ in 0..3 {
        // What the connection before still says is over.
        tokio::time::sleep(Duration::from_secs(5)).await;
        events.lock().unwrap().clear();
        let begun_ms = world.now_ms();
        let connection = world.connect().await;
        // Handshake and greeting, a round trip each, and what the library waits before it sends.
        let took_ms = world.now_ms() - begun_ms;
        assert!((200..=210).contains(&took_ms), "{took_ms}");
        exchange(&connection, 1_000, 1).await.unwrap();
        assert_eq!(kept.count(1), 1, "a ticket serves once, and gives another");
        connection.link().close(CloseCode::Done);

        let events = events.lock().unwrap();
        let client = events[0].from;
        let first_answer = events.iter().position(|event| event.from != client);
        assert_eq!(first_answer, Some(2), "two datagrams ask");
        let answered_ms = events[2].time_ms;
        let answers = events
            .iter()
            .filter(|event| event.to == client && event.time_ms <= answered_ms + 30);
        flights.push(answers.map(|event| event.bytes.len()).sum::<usize>());
    }
    let [full, resumed, again] = flights[..] else {
        panic!("three connections");
    };
    // What is saved is the signature; its bytes are padding now.
    assert!(resumed <= full && again <= full, "{flights:?}");
}

/// TRN-5: what goes out with the first packets of a resumed connection is answered with the server's
/// first, and a call that goes out with the last of the handshake a round trip later.
#[tokio::test(start_paused = true)]
async fn zerortt() {
    let (world, _) = world_with_tickets(16, Arc::new(MemoryTickets::default()));
    world.serve();
    let events = world.record();
    let first = bring(1_000, 1);
    let mut times_ms = Vec::new();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        events.lock().unwrap().clear();
        let begun_ms = world.now_ms();
        let to = (&world.address, Plane::Account);
        let clock = Arc::clone(&world.clock);
        let dialled = Connection::dial(&*world.dialer, to, clock, Some(&first)).await;
        let connection = dialled.unwrap();
        let greeted_ms = world.now_ms() - begun_ms;
        exchange(&connection, 1_000, 1).await.unwrap();
        times_ms.push((greeted_ms, world.now_ms() - begun_ms));
        connection.link().close(CloseCode::Done);
        let events = events.lock().unwrap();
        let client = events[0].from;
        let first_answer = events.iter().position(|event| event.from != client);
        assert_eq!(first_answer, Some(2), "two datagrams ask, and greet");
    }
    let [full, resumed, again] = times_ms[..] else {
        panic!("three connections");
    };
    // A round trip is 100 ms; the rest is what the library waits before it sends.
    let within = |time_ms: u64, bound_ms: u64| (bound_ms..=bound_ms + 10).contains(&time_ms);
    assert!(within(full.0, 200) && within(full.1, 200), "{full:?}");
    for (greeted_ms, answered_ms) in [resumed, again] {
        assert!(within(greeted_ms, 100), "{greeted_ms}");
        assert!(within(answered_ms, 200), "{answered_ms}");
    }
}

/// TRN-66: a server under load lets clients show their address first.
#[tokio::test(start_paused = true)]
async fn retry() {
    let listening = ListenerSettings {
        retry_above: 0,
        ..ListenerSettings::default()
    };
    let world = world_with(5, PacketSettings::default(), listening);
    world.serve();
    let events = world.record();
    let connection = world.connect().await;
    exchange(&connection, 1_000, 1).await.unwrap();
    let events = events.lock().unwrap();
    let client = events[0].from;
    let answer = events.iter().find(|event| event.to == client).unwrap();
    // RFC 9000, section 17.2.5: a long header of type 3.
    assert_eq!(answer.bytes[0] & 0xf0, 0xf0);
}

#[tokio::test(start_paused = true)]
async fn blackhole() {
    let world = world(6, PacketSettings::default());
    world.serve();
    let connection = world.connect().await;
    world.network.partition_both("alice", "relay");
    let network = world.network.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        network.heal_all();
    });
    exchange(&connection, 10_000, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keyupdate() {
    let world = world(7, ROUGH);
    world.serve();
    let connection = world.connect().await;
    for fill in 0..10 {
        connection.link().update_keys();
        exchange(&connection, 5_000, fill).await.unwrap();
    }
}

/// TRN-87, in bytes.
#[tokio::test(start_paused = true)]
async fn amplificationlimit() {
    // The client's second datagram and everything after it is lost: the server may answer with
    // three times the first one, and must then wait.
    let world = world(8, PacketSettings::default());
    let events = world.record();
    let (network, tap_events) = (world.network.clone(), Arc::clone(&events));
    tokio::spawn(async move {
        while tap_events.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Both datagrams of the flight are on their way; nothing follows them.
        network.partition("alice", "relay");
    });
    // The client has what it needs; the server never hears so.
    let _link = world.dial().await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let events = events.lock().unwrap();
    let client = events[0].from;
    let arrived = events
        .iter()
        .filter(|it| it.from == client && it.copies > 0);
    let received: usize = arrived
        .map(|it| it.bytes.len() * usize::try_from(it.copies).unwrap())
        .sum();
    let answers = events.iter().filter(|event| event.to == client);
    let sent: usize = answers.map(|event| event.bytes.len()).sum();
    assert!(received >= 2400 && sent > 0);
    assert!(sent <= 3 * received, "{sent} bytes for {received}");
}

#[tokio::test(start_paused = true)]
async fn handshakeloss() {
    // Called `multiconnect` too: many connections, one after the other, 30 % of packets lost.
    let lossy = PacketSettings {
        loss_per_mille: 300,
        ..PacketSettings::default()
    };
    let world = world(9, lossy);
    world.serve();
    for fill in 0..20 {
        let connection = loop {
            // An attempt ends after ten seconds; a client tries again.
            if let Ok(link) = world.dial().await
                && let Ok(connection) = Connection::establish(link, Arc::clone(&world.clock)).await
            {
                break connection;
            }
        };
        exchange(&connection, 1_000, fill).await.unwrap();
        connection.link().close(CloseCode::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn transferloss() {
    let lossy = PacketSettings {
        loss_per_mille: 20,
        ..PacketSettings::default()
    };
    let world = world(10, lossy);
    world.serve();
    let connection = world.connect().await;
    for fill in 0..4 {
        exchange(&connection, 500_000, fill).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn handshakecorruption() {
    let noisy = PacketSettings {
        corrupt_per_mille: 300,
        ..PacketSettings::default()
    };
    let world = world(11, noisy);
    world.serve();
    let mut connected = 0;
    for fill in 0..20 {
        // A damaged packet is no packet, and a call on what was connected is answered whole.
        let Ok(link) = world.dial().await else {
            continue;
        };
        if let Ok(connection) = Connection::establish(link, Arc::clone(&world.clock)).await {
            exchange(&connection, 1_000, fill).await.unwrap();
            connected += 1;
        }
    }
    assert!(connected >= 10, "{connected} of 20");
}

#[tokio::test(start_paused = true)]
async fn transfercorruption() {
    let noisy = PacketSettings {
        corrupt_per_mille: 20,
        ..PacketSettings::default()
    };
    let world = world(12, noisy);
    world.serve();
    let connection = world.connect().await;
    for fill in 0..4 {
        exchange(&connection, 500_000, fill).await.unwrap();
    }
}

/// The address translator gives the client another port, and the client does not know.
#[tokio::test(start_paused = true)]
async fn rebind_port() {
    let world = world(13, ROUGH);
    world.serve();
    let connection = world.connect().await;
    for fill in 0..5 {
        exchange(&connection, 50_000, fill).await.unwrap();
        world.network.rebind_nat_port("alice");
    }
    assert_eq!(connection.link().close_reason(), None);
}

/// The address translator gives the client another address, and the client does not know.
#[tokio::test(start_paused = true)]
async fn rebind_addr() {
    let world = world(14, ROUGH);
    world.serve();
    let connection = world.connect().await;
    for fill in 0..5 {
        exchange(&connection, 50_000, fill).await.unwrap();
        world.network.rebind_nat_address("alice");
    }
    assert_eq!(connection.link().close_reason(), None);
}

/// The client goes to another network, and knows.
#[tokio::test(start_paused = true)]
async fn connectionmigration() {
    let world = world(15, ROUGH);
    world.serve();
    let connection = world.connect().await;
    for fill in 0..5 {
        exchange(&connection, 50_000, fill).await.unwrap();
        world.network.move_host("alice");
        connection.link().probe();
    }
    assert_eq!(connection.link().close_reason(), None);
}
