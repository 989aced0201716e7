// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Floods, and what an observer sees.

use super::*;

/// TRN-66, TRN-67: handshakes that never end, from addresses that do not answer, shut nobody out,
/// and the server sends to none of them more than three times what came from there.
#[tokio::test(start_paused = true)]
async fn a_flood_of_handshakes_shuts_nobody_out() {
    const FLOOD: u64 = 400;
    let steady = PacketSettings {
        duplicate_per_mille: 0,
        reorder_per_mille: 0,
        ..PacketSettings::default()
    };
    let world = world(31, steady);
    world.serve();
    let events = world.record();
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..FLOOD {
        let name = format!("mallory{number}");
        let dialer = world.network.dialer(&name, DialerSettings::default());
        // What the server answers never arrives, as with a forged address.
        world.network.partition("relay", &name);
        let address = world.address.clone();
        flood.spawn(async move { dialer.dial(&address, Plane::Anonymous).await.is_err() });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let connection = world.connect().await;
    exchange(&connection, 1_000, 1).await.unwrap();
    while let Some(failed) = flood.join_next().await {
        assert!(failed.unwrap());
    }

    let events = events.lock().unwrap();
    let server = events[0].to;
    let (mut bytes, mut retries) = (std::collections::BTreeMap::new(), 0_u64);
    for event in events.iter() {
        let peer = if event.to == server {
            event.from
        } else {
            event.to
        };
        // Hosts have their networks in the order in which they were named: the server, alice.
        if peer.ip() == std::net::IpAddr::from([10, 0, 1, 1]) {
            continue;
        }
        let counts: &mut (usize, usize) = bytes.entry(peer).or_default();
        if event.to == server {
            counts.0 += event.bytes.len();
        } else {
            counts.1 += event.bytes.len();
            retries += u64::from(event.bytes[0] & 0xf0 == 0xf0);
        }
    }
    assert_eq!(bytes.len(), usize::try_from(FLOOD).unwrap());
    for (received, sent) in bytes.values() {
        assert!(*sent <= 3 * received, "{sent} bytes for {received}");
    }
    // Above the mark nobody gets more than a Retry, which costs the server no memory.
    let held = u64::try_from(limits::CONNECTING_UNVALIDATED_MAX).unwrap();
    assert!(retries >= FLOOD - held, "{retries}");
}

/// Where others have taken what a server grants, a connection gets small windows, and everything works:
/// it takes longer where the path is long. TRN-79.
#[tokio::test(start_paused = true)]
async fn small_windows_carry_large_calls() {
    let mut times_ms = Vec::new();
    for windows_full_max in [limits::QUIC_WINDOWS_FULL_MAX, 0] {
        let listening = ListenerSettings {
            windows_full_max,
            ..ListenerSettings::default()
        };
        let world = world_with(38, PacketSettings::default(), listening);
        world.serve();
        let connection = world.connect().await;
        let begun_ms = world.now_ms();
        exchange(&connection, 200_000, 1).await.unwrap();
        times_ms.push(world.now_ms() - begun_ms);
        let mut calls = tokio::task::JoinSet::new();
        for fill in 0..100 {
            let connection = connection.clone();
            calls.spawn(async move { exchange(&connection, 3_000, fill).await });
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap().unwrap();
        }
    }
    // Which shows that the second one had others than the first.
    assert!(times_ms[1] > times_ms[0] + 500, "{times_ms:?}");
}

/// A call that is given up at any moment returns its stream: 100,000 of them, far more than may be
/// open at a time, and the connection is as good as before. TRN-77.
#[tokio::test(start_paused = true)]
async fn cancelled_calls_leak_no_credit() {
    const CALLS: u32 = 100_000;
    let near = PacketSettings {
        delay_ms: 1,
        jitter_ms: 2,
        loss_per_mille: 5,
        ..PacketSettings::default()
    };
    let world = world(32, near);
    world.serve();
    let connection = world.connect().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        if calls.len() >= 48 {
            calls.join_next().await.unwrap().unwrap();
        }
        let connection = connection.clone();
        calls.spawn(async move {
            let call = connection.call(bring(40, 7), 15_000);
            // From before the first byte until after the answer.
            let patience = Duration::from_millis(u64::from(number % 9));
            let _ = tokio::time::timeout(patience, call).await;
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    // The streams that a client may have open are there again, at once, but for an eighth: quinn
    // announces credit when so much of it is free.
    let mut held = Vec::new();
    for _ in 0..limits::STREAMS_PER_CONNECTION_MAX / 8 * 7 {
        let opened = tokio::time::timeout(Duration::from_secs(5), connection.link().open());
        held.push(opened.await.unwrap().unwrap());
    }
    drop(held);
    exchange(&connection, 1_000, 1).await.unwrap();
}

/// Messages go before everything else that one connection has to send. TRN-76.
#[tokio::test(start_paused = true)]
async fn a_message_overtakes_bulk() {
    let slow = PacketSettings {
        delay_ms: 100,
        jitter_ms: 0,
        duplicate_per_mille: 0,
        reorder_per_mille: 0,
        ..PacketSettings::default()
    };
    let world = world(33, slow);
    let (ours, theirs) = world.links().await;
    let served = tokio::spawn(serve_hello(theirs, Arc::clone(&world.clock)));
    let connection = Connection::establish(ours, Arc::clone(&world.clock)).await;
    let (connection, served) = (connection.unwrap(), served.await.unwrap().unwrap());
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    tokio::spawn(async move {
        while let Ok(pending) = served.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let call = pending.read().await.unwrap();
                let name = match call.request {
                    v1::request::Call::Send(_) => "message",
                    _ => "bulk",
                };
                seen.lock().unwrap().push(name);
                let _ = call
                    .responder
                    .refuse(v1::ErrorCode::Unavailable, None)
                    .await;
            });
        }
    });
    let bulk = connection.clone();
    let bulk = tokio::spawn(async move {
        let _ = bulk.call(bring(900_000, 1), 60_000).await;
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let message = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::Send(v1::SendRequest::default())),
    };
    let begun_ms = world.now_ms();
    assert!(connection.call(message, 0).await.is_err());
    // One round trip, although the bulk has filled what the path takes.
    assert!(
        world.now_ms() - begun_ms <= 450,
        "{}",
        world.now_ms() - begun_ms
    );
    bulk.await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["message", "bulk"]);
}

/// What an observer records and sends again changes nothing: a connection that was not resumed has no
/// early data, so its first flight gets no further than the handshake. See `early` for the others.
#[tokio::test(start_paused = true)]
async fn a_replayed_first_flight_reaches_no_call() {
    let world = world(36, PacketSettings::default());
    let events = world.record();
    let served = Arc::new(Mutex::new(0_u32));
    let (listener, clock) = (Arc::clone(&world.listener), Arc::clone(&world.clock));
    let count = Arc::clone(&served);
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            *count.lock().unwrap() += 1;
            tokio::spawn(serve_link(link, Arc::clone(&clock)));
        }
    });
    let connection = world.connect().await;
    exchange(&connection, 1_000, 1).await.unwrap();
    assert_eq!(*served.lock().unwrap(), 1);
    connection.link().close(CloseCode::Done);
    // The server forgets the connection; then everything that the client ever sent comes again,
    // from its address and from another one.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let recorded: Vec<PacketEvent> = events.lock().unwrap().clone();
    let (client, server) = (recorded[0].from, recorded[0].to);
    let elsewhere = "10.9.9.1:40000".parse().unwrap();
    for from in [client, elsewhere] {
        for event in recorded.iter().filter(|event| event.from == client) {
            world.network.inject(from, server, &event.bytes);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let answered = |peer| {
        let events = events.lock().unwrap();
        events[recorded.len()..]
            .iter()
            .any(|event| event.to == peer)
    };
    // The server has taken the replay for a new handshake, and it came to nothing.
    assert!(answered(client) && answered(elsewhere));
    assert_eq!(*served.lock().unwrap(), 1);
}

/// A server that ends names another address, and the clients go there. TRN-71.
#[tokio::test(start_paused = true)]
async fn clients_go_where_a_server_sends_them() {
    let world = world(37, PacketSettings::default());
    let (identity, keys) = (identity(), keys());
    let settings = ListenerSettings::default();
    let second = world
        .network
        .listen("second", 999, (&identity, &keys, None), settings);
    serve(Arc::new(second.unwrap()), Arc::clone(&world.clock));
    let signals = Signals::new();
    let mut keeper = world.keeper(&signals);
    let (kept, theirs) = tokio::join!(keeper.next(), async {
        let link = world.listener.accept().await.unwrap();
        serve_hello(link, Arc::clone(&world.clock)).await.unwrap()
    });
    assert!(matches!(kept, Kept::Up(_)));
    let elsewhere = waxwing_transport::Elsewhere {
        host: "second".parse().unwrap(),
        port: 999,
    };
    theirs
        .link()
        .send_elsewhere(CloseCode::ShuttingDown, 1_000, &elsewhere);
    assert!(matches!(keeper.next().await, Kept::Down(_)));
    let Kept::Up(connection) = keeper.next().await else {
        panic!("not connected");
    };
    assert_eq!(connection.link().remote_address().port(), 999);
    // It disappears without a word: the server's own address is tried again.
    world.network.crash("second");
    world.serve();
    loop {
        if let Kept::Up(connection) = keeper.next().await {
            assert_eq!(connection.link().remote_address().port(), PORT);
            break;
        }
    }
}

/// [TRN-65]: in every packet of a handshake a server names itself with 8 bytes.
#[tokio::test(start_paused = true)]
async fn a_servers_connection_ids_are_eight_bytes() {
    let world = world(38, PacketSettings::default());
    world.serve();
    let events = world.record();
    let connection = world.connect().await;
    exchange(&connection, 1_000, 1).await.unwrap();
    let events = events.lock().unwrap();
    let server = events[0].to;
    let mut seen = 0;
    for event in events.iter().filter(|event| event.from == server) {
        // A long header (RFC 9000, section 17.2): the client's id, then the server's.
        if event.bytes[0] & 0x80 != 0 {
            let of_client = usize::from(event.bytes[5]);
            assert_eq!(event.bytes[6 + of_client], 8);
            seen += 1;
        }
    }
    assert!(seen > 0);
}
