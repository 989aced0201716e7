// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that stops sends its clients to another address of the same server, and they come back.

use std::fs;
use std::sync::Arc;

use rustix::process::Signal;
use waxwing_identity::ServerLink;
use waxwing_proto::{ServerAddress, v1};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::quic::{DialerSettings, QuicDialer};
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings};
use waxwing_transport::{
    CallError, Clock, Connection, Dialer, Entropy, Keeper, Kept, Plane, Signals,
};

use crate::client::block_on;
use crate::process::{Place, Server};

/// Two places of one server: the second shows the key of the first, which sends clients there when it stops.
fn pair() -> (Place, Place) {
    let (first, second) = (Place::new(), Place::new());
    first.init();
    second.init();
    let key = |place: &Place| place.data().join("server.key");
    fs::copy(key(&first), key(&second)).unwrap();
    let file = first.data().join("waxwingd.toml");
    let text = fs::read_to_string(&file).unwrap();
    let elsewhere = format!("elsewhere = \"127.0.0.1:{}\"\n", port_of(&second));
    fs::write(&file, elsewhere + &text).unwrap();
    (first, second)
}

/// The port that the place is made for.
fn port_of(place: &Place) -> u16 {
    let text = fs::read_to_string(place.data().join("waxwingd.toml")).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("listen"))
        .unwrap();
    let port = line.trim_end_matches('"').rsplit(':').next().unwrap();
    port.parse().unwrap()
}

fn serve(place: &Place) -> Server {
    Server::start(&place.data(), &["serve"])
}

/// The next connection, and what was said about the one before it.
async fn next<D: Dialer>(keeper: &mut Keeper<D>) -> (Connection, Vec<CallError>) {
    let mut said = Vec::new();
    loop {
        match keeper.next().await {
            Kept::Up(connection) => return (connection, said),
            Kept::Down(error) => {
                said.push(error);
                assert!(said.len() < 4, "{said:?}");
            }
        }
    }
}

fn port(connection: &Connection) -> u16 {
    connection.link().remote_address().port()
}

/// Whether a server is behind the connection: one that nobody has registered at.
async fn is_served(connection: &Connection) -> bool {
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PrekeyStatus(v1::PrekeyStatusRequest {})),
    };
    let answer = connection.call(request, 0).await;
    matches!(
        answer,
        Err(CallError::Refused {
            code: v1::ErrorCode::Unauthenticated,
            ..
        })
    )
}

async fn goes_there_and_comes_back<D: Dialer>(dialer: D) {
    let (first, second) = pair();
    let (here, there) = (serve(&first), serve(&second));
    let address: ServerAddress = {
        let link: ServerLink = here.text("server").parse().unwrap();
        link.server().clone()
    };
    assert_eq!(there.text("key_pin"), here.text("key_pin"));
    let (first_port, second_port) = (port_of(&first), port_of(&second));
    assert_ne!(first_port, second_port);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let seams = (Arc::new(dialer), clock, entropy);
    let mut keeper = Keeper::new(seams, address, Plane::Account, &Signals::new());

    let (connection, _) = next(&mut keeper).await;
    assert_eq!(port(&connection), first_port);
    assert!(is_served(&connection).await);
    // TRN-70, TRN-71: the server names a time, and the other address.
    let (status, errors) = here.end_by(Signal::TERM);
    assert!(status.success(), "{errors}");
    let (connection, said) = next(&mut keeper).await;
    assert_eq!(port(&connection), second_port);
    assert!(said[0].retry_after_ms() >= Some(1_000), "{said:?}");
    assert!(is_served(&connection).await);

    // The other one names no address, and the client goes home.
    let here = serve(&first);
    let (status, errors) = there.end_by(Signal::TERM);
    assert!(status.success(), "{errors}");
    let (connection, _) = next(&mut keeper).await;
    assert_eq!(port(&connection), first_port);
    assert!(is_served(&connection).await);
    drop(here);
}

#[test]
fn clients_over_quic_go_elsewhere_and_come_back() {
    block_on(goes_there_and_comes_back(QuicDialer::new(
        DialerSettings::default(),
    )));
}

#[test]
fn clients_over_tcp_go_elsewhere_and_come_back() {
    let settings = TcpDialerSettings::default();
    let dialer = TcpDialer::new(settings, Arc::new(SystemEntropy));
    block_on(goes_there_and_comes_back(dialer));
}
