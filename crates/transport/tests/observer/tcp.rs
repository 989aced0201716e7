// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Over TCP: the first record of every client looks alike.

use waxwing_transport::Plane;
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings, TcpListener, TcpListenerSettings};

use super::*;

fn listen(seed: u8) -> (SocketAddr, ServerIdentity) {
    let identity = identity(seed);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = TcpListenerSettings::default();
    let listener = TcpListener::bind(any, &identity, Some(&tickets()), settings).unwrap();
    let at = listener.local_address().unwrap();
    serve(listener);
    (at, identity)
}

/// The first message of what a client sent; it stands in one record.
fn first(record: &[Recorded], client: usize) -> Hello {
    let sent = record.iter().filter(|it| it.is_to_server);
    let sent = sent.filter(|it| it.client == client);
    let sent: Vec<u8> = sent.flat_map(|it| it.bytes.clone()).collect();
    // RFC 8446, section 5.1: a handshake record.
    assert_eq!(sent[0], 22);
    let length = usize::from(u16::from_be_bytes([sent[3], sent[4]]));
    Hello::read(&sent[5..5 + length]).unwrap()
}

/// [TRN-2], [TRN-40].
#[tokio::test]
async fn first_records_tell_nobody_apart() {
    let ((at_one, one), (at_two, two)) = (listen(1), listen(2));
    let (at_one, record_one) = relay::tcp(at_one).await;
    let (at_two, record_two) = relay::tcp(at_two).await;
    let dialer = || TcpDialer::new(TcpDialerSettings::default(), Arc::new(SystemEntropy));
    let (alice, bob) = (dialer(), dialer());
    call(&alice, at_one, &one, Plane::Account).await;
    call(&alice, at_one, &one, Plane::Anonymous).await;
    call(&bob, at_one, &one, Plane::Account).await;
    call(&alice, at_one, &one, Plane::Account).await;
    call(&bob, at_two, &two, Plane::Account).await;
    let (at_one, at_two) = (record_one.lock().unwrap(), record_two.lock().unwrap());
    let hellos = [
        first(&at_one, 0),
        first(&at_one, 1),
        first(&at_one, 2),
        first(&at_two, 0),
        // Alice again, with a ticket.
        first(&at_one, 3),
    ];
    all_the_same(&hellos, &[0, 5, 10, 11, 13, 16, 20, 23, 43, 45, 51]);
    assert_eq!(hellos[0].protocol(), b"waxwing-tcp/1");
    // RFC 8446, appendix D.4: random, and no session that anybody knows.
    let ids: BTreeSet<_> = hellos.iter().map(|it| &it.session_id).collect();
    assert_eq!(ids.len(), hellos.len());
    let all = [at_one.as_slice(), at_two.as_slice()].concat();
    nothing_is_seen(&all, &[one, two]);
}
