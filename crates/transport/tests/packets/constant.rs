// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets of one length, so that an observer learns nothing from lengths. TRN-86.

use std::collections::BTreeSet;

use super::*;

/// What every path carries (RFC 9000, section 14).
const LENGTH: usize = 1200;

fn constant_world(seed: u64, settings: PacketSettings, constant_packets: bool) -> World {
    let listening = ListenerSettings {
        constant_packets,
        ..ListenerSettings::default()
    };
    let dialing = DialerSettings {
        constant_packets,
        ..DialerSettings::default()
    };
    let world = world_with(seed, settings, listening);
    World {
        dialer: Arc::new(world.network.dialer("alice", dialing)),
        ..world
    }
}

/// The lengths of the datagrams without a packet of the handshake (RFC 9000, section 17.3).
fn lengths(events: &[PacketEvent]) -> BTreeSet<usize> {
    let after = events.iter().filter(|event| event.bytes[0] & 0x80 == 0);
    after.map(|event| event.bytes.len()).collect()
}

/// Everything that makes a side send: calls of many sizes, acknowledgements, lost packets and probes
/// for them, a key update, another port and another network, and silence.
async fn session(world: &World) {
    world.serve();
    let connection = world.connect().await;
    for (size, fill) in [
        (0, 1),
        (1, 2),
        (150, 3),
        (1_000, 4),
        (5_000, 5),
        (300_000, 6),
    ] {
        exchange(&connection, size, fill).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    // Right after an answer: quinn takes a key update for good that it may have to give up (RFC 9001,
    // section 6.1, wants an acknowledgement under the keys before).
    exchange(&connection, 10, 7).await.unwrap();
    connection.link().update_keys();
    exchange(&connection, 10, 7).await.unwrap();
    world.network.rebind_nat_port("alice");
    exchange(&connection, 10, 8).await.unwrap();
    world.network.move_host("alice");
    connection.link().probe();
    let mut moved = core::pin::pin!(exchange(&connection, 10, 9));
    loop {
        tokio::select! {
            biased;
            answered = &mut moved => break answered.unwrap(),
            () = tokio::time::sleep(Duration::from_secs(1)) => connection.link().probe(),
        }
    }
    // Kept alive.
    tokio::time::sleep(Duration::from_secs(120)).await;
    // A call that is given up.
    let call = connection.call(bring(100, 1), 1_000);
    drop(tokio::time::timeout(Duration::from_millis(1), call).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn packets_of_a_session_have_one_length() {
    for (seed, loss_per_mille) in [(51, 0), (52, 50), (53, 100), (54, 100), (55, 150)] {
        // In order: a packet that comes again, or after its connection id was given back, is answered by
        // a stateless reset, whose length is random.
        let settings = PacketSettings {
            jitter_ms: 0,
            loss_per_mille,
            duplicate_per_mille: 0,
            reorder_per_mille: 0,
            ..PacketSettings::default()
        };
        let world = constant_world(seed, settings, true);
        let events = world.record();
        session(&world).await;
        // The end too.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let events = events.lock().unwrap();
        assert_eq!(lengths(&events), BTreeSet::from([LENGTH]), "seed {seed}");
        assert!(events.len() > 500, "{}", events.len());
    }
}

/// Without the setting the lengths tell: the same session, to see that the test above could fail.
#[tokio::test(start_paused = true)]
async fn packets_have_many_lengths_without_it() {
    let world = constant_world(51, PacketSettings::default(), false);
    let events = world.record();
    session(&world).await;
    let lengths = lengths(&events.lock().unwrap());
    assert!(lengths.len() > 10, "{lengths:?}");
    // Longer ones too: the path is tried.
    assert!(lengths.iter().any(|length| *length > LENGTH));
}
