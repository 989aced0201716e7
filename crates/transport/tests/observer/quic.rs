// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Over QUIC: the first packets of every client look alike.

use std::collections::BTreeSet;

use waxwing_transport::Plane;
use waxwing_transport::quic::{
    DialerSettings, ListenerSettings, QuicDialer, QuicListener, StableKeys,
};

use super::*;

fn listen(seed: u8) -> (SocketAddr, ServerIdentity) {
    let identity = identity(seed);
    let keys = StableKeys {
        reset: [seed; 32],
        token: [seed; 32],
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = ListenerSettings::default();
    let listener = QuicListener::bind(any, &identity, &keys, Some(&tickets()), settings).unwrap();
    let at = listener.local_address().unwrap();
    serve(listener);
    (at, identity)
}

/// [TRN-1], [TRN-2], [TRN-6].
#[tokio::test]
async fn first_packets_tell_nobody_apart() {
    let ((at_one, one), (at_two, two)) = (listen(1), listen(2));
    let (at_one, record_one) = relay::udp(at_one).await;
    let (at_two, record_two) = relay::udp(at_two).await;
    let dialer = || QuicDialer::new(DialerSettings::default());
    let (alice, bob) = (dialer(), dialer());
    call(&alice, at_one, &one, Plane::Account).await;
    call(&alice, at_one, &one, Plane::Anonymous).await;
    call(&bob, at_one, &one, Plane::Account).await;
    call(&alice, at_one, &one, Plane::Account).await;
    call(&bob, at_two, &two, Plane::Account).await;
    let (at_one, at_two) = (record_one.lock().unwrap(), record_two.lock().unwrap());
    let first = |record: &[Recorded], client: usize| {
        let sent = record.iter().filter(|it| it.is_to_server);
        let of_client = sent.filter(|it| it.client == client);
        initial::read(of_client.map(|it| it.bytes.as_slice()))
    };
    let firsts = [
        first(&at_one, 0),
        first(&at_one, 1),
        first(&at_one, 2),
        first(&at_two, 0),
        // Alice again, with a ticket.
        first(&at_one, 3),
    ];
    let hellos: Vec<Hello> = firsts.iter().map(|it| it.hello.clone()).collect();
    all_the_same(&hellos, &[0, 5, 10, 11, 13, 16, 20, 23, 43, 45, 51, 57]);
    assert_eq!(hellos[0].protocol(), b"waxwing/1");
    assert!(hellos.iter().all(|it| it.session_id.is_empty()));
    // Ids are random, and of one length.
    for ids in [
        firsts.each_ref().map(|it| it.destination.clone()),
        firsts.each_ref().map(|it| it.source.clone()),
    ] {
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|it| it.len() == ids[0].len()));
    }
    let all = [at_one.as_slice(), at_two.as_slice()].concat();
    nothing_is_seen(&all, &[one, two]);
}
