// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What goes over the network while nothing happens: a client asks for a sign of life now and then, and a server
//! never begins.

use std::net::SocketAddr;

use super::*;

/// Nothing is left to chance, and a round trip takes 100 ms.
const CALM: PacketSettings = PacketSettings {
    delay_ms: 50,
    jitter_ms: 0,
    loss_per_mille: 0,
    duplicate_per_mille: 0,
    reorder_per_mille: 0,
    corrupt_per_mille: 0,
    datagram_size_max: 1472,
};
const ROUND_TRIP_MS: u64 = 100;
/// How long a receiver may keep an acknowledgement back (RFC 9000, section 18.2), and the library's timer.
const ACKNOWLEDGE_MS: u64 = 30;
/// After so long nothing of a beginning is under way.
const SETTLED_MS: u64 = 10_000;
const KEEP_ALIVE_MS: u64 = 25_000;
const MINUTES: u64 = 20;

async fn pass(time_ms: u64) {
    tokio::time::sleep(Duration::from_millis(time_ms)).await;
}

/// When datagrams went out, those to `client` and the others.
fn times(events: &[PacketEvent], server: SocketAddr) -> (Vec<u64>, Vec<u64>) {
    let of = |is_server: bool| {
        let sent = events
            .iter()
            .filter(move |it| (it.from == server) == is_server);
        sent.map(|it| it.time_ms).collect::<Vec<u64>>()
    };
    (of(true), of(false))
}

/// Every 25 seconds one datagram goes out on the connection that a client keeps up, and one comes back: an
/// address translator remembers it, and a radio sleeps in between.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_costs_a_datagram_each_way_in_25_seconds() {
    let world = world(60, CALM);
    world.serve();
    let signals = Signals::new();
    let mut keeper = world.keeper(&signals);
    let Kept::Up(connection) = keeper.next().await else {
        panic!("it is not up");
    };
    let keeping = tokio::spawn(async move { panic!("{:?}", keeper.next().await) });
    let server = connection.link().remote_address();
    pass(SETTLED_MS).await;
    let events = world.record();
    pass(MINUTES * 60_000).await;
    assert!(!keeping.is_finished());
    let (from_server, from_client) = times(&events.lock().unwrap(), server);
    // One interval begins before the record, and each is as much longer as an answer takes.
    let most = MINUTES * 60_000 / KEEP_ALIVE_MS;
    let count = u64::try_from(from_client.len()).unwrap();
    assert!((most - 1..=most).contains(&count), "{count} of {most}");
    assert_eq!(from_server.len(), from_client.len());
    for (asked_ms, answered_ms) in from_client.iter().zip(&from_server) {
        let after_ms = answered_ms - asked_ms;
        let within = ROUND_TRIP_MS / 2..=ROUND_TRIP_MS / 2 + ACKNOWLEDGE_MS;
        assert!(within.contains(&after_ms), "{after_ms}");
    }
    for pair in from_client.windows(2) {
        let pause_ms = pair[1] - pair[0];
        let within = KEEP_ALIVE_MS..=KEEP_ALIVE_MS + ROUND_TRIP_MS + ACKNOWLEDGE_MS;
        assert!(within.contains(&pause_ms), "{pause_ms}");
    }
}

/// A phone sleeps, or is gone: nothing is sent to wake it, and no word about the end of the connection.
#[tokio::test(start_paused = true)]
async fn a_server_sends_nothing_to_a_client_that_sleeps() {
    let world = world(61, CALM);
    let (ours, theirs) = world.links().await;
    let clock = Arc::clone(&world.clock);
    let served = tokio::spawn(serve_hello(theirs, clock));
    let established = Connection::establish(ours, Arc::clone(&world.clock)).await;
    let connection = established.unwrap();
    let served = served.await.unwrap().unwrap();
    pass(SETTLED_MS).await;
    world.network.crash("alice");
    let events = world.record();
    pass(MINUTES * 60_000).await;
    assert_eq!(*events.lock().unwrap(), []);
    let gone = served.link().close_reason();
    assert_eq!(gone, Some(CloseReason::TimedOut));
    drop(connection);
}

/// On the anonymous plane a client asks for nothing either.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_on_an_idle_connection_of_the_anonymous_plane() {
    let world = world(62, CALM);
    let (ours, theirs) = tokio::join!(
        world.dialer.dial(&world.address, Plane::Anonymous),
        world.listener.accept()
    );
    let (_ours, _theirs) = (ours.unwrap(), theirs.unwrap());
    pass(SETTLED_MS).await;
    let events = world.record();
    pass(MINUTES * 60_000).await;
    assert_eq!(*events.lock().unwrap(), []);
}
