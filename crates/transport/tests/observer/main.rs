// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What somebody reads who stands between a client and a server: packets are recorded on their way, and
//! what anybody can decrypt of them is decrypted. It is the same for everyone.
#![cfg(all(feature = "quic", feature = "tcp", feature = "platform"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod hello;
mod initial;
mod quic;
mod relay;
mod tcp;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use waxwing_proto::{ServerAddress, v1};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::tls::{MemoryTickets, ServerIdentity, Tickets};
use waxwing_transport::{Clock, Connection, Dialer, Listener, Plane, serve_hello};

use hello::Hello;
use relay::Recorded;

/// What only the two ends may know.
const SECRET: &[u8] = b"alice@relay.example tells bob";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn identity(seed: u8) -> ServerIdentity {
    ServerIdentity::from_seed(&[seed; 32]).unwrap()
}

fn tickets() -> Arc<Tickets> {
    let store = Arc::new(MemoryTickets::default());
    Arc::new(Tickets::new(store, clock(), Arc::new(SystemEntropy)))
}

/// The public key of a server.
fn public_key(identity: &ServerIdentity) -> Vec<u8> {
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(identity.to_pkcs8().to_vec());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(der.into()).unwrap();
    let spki = key.public_key().unwrap();
    spki[spki.len() - 32..].to_vec()
}

/// Answers every call with nothing.
fn serve(listener: impl Listener) {
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            tokio::spawn(async move {
                let connection = serve_hello(link, clock()).await.unwrap();
                while let Ok(pending) = connection.accept().await {
                    let call = pending.read().await.unwrap();
                    let answer = v1::PrekeyStatusResponse::default();
                    let answer = v1::response::Result::PrekeyStatus(answer);
                    call.responder.answer(answer).await.unwrap();
                }
            });
        }
    });
}

/// One connection from its beginning to its end, with a call that says [`SECRET`].
async fn call(dialer: &dyn Dialer, at: SocketAddr, identity: &ServerIdentity, plane: Plane) {
    let address = ServerAddress {
        host: at.ip().to_string().parse().unwrap(),
        port: at.port(),
        key_pins: vec![identity.key_pin()],
    };
    let link = dialer.dial(&address, plane).await.unwrap();
    let connection = Connection::establish(link, clock()).await.unwrap();
    let put = v1::PutRendezvousRequest {
        value: SECRET.into(),
        ..v1::PutRendezvousRequest::default()
    };
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(put)),
    };
    connection.call(request, 0).await.unwrap();
}

/// What must not be seen in anything that went over the wire.
fn nothing_is_seen(recorded: &[Recorded], identities: &[ServerIdentity]) {
    let mut hidden = vec![SECRET.to_vec(), b"alice".to_vec(), b"relay".to_vec()];
    for identity in identities {
        hidden.push(identity.key_pin().0.to_vec());
        hidden.push(public_key(identity));
    }
    let all: Vec<u8> = recorded.iter().flat_map(|it| it.bytes.clone()).collect();
    assert!(all.len() > 3_000, "nothing was recorded");
    for bytes in hidden {
        let is_seen = all.windows(bytes.len()).any(|it| it == bytes);
        assert!(!is_seen, "{} is on the wire", bytes.escape_ascii());
    }
}

/// The hellos of four connections (two clients, two servers, both planes) and of a resumed one, which is
/// the last.
fn all_the_same(hellos: &[Hello], extensions: &[u16]) {
    let (resumed, full) = hellos.split_last().unwrap();
    let first = &full[0];
    assert_eq!(first.server_name(), b"waxwing");
    // TRN-2: nothing else is offered.
    assert_eq!(first.groups(), [hello::X25519MLKEM768]);
    assert_eq!(first.key_shares(), [(hello::X25519MLKEM768, 1184 + 32)]);
    assert_eq!(
        first.extensions.keys().copied().collect::<Vec<_>>(),
        extensions
    );
    for hello in hellos {
        assert_eq!(hello.masked(), first.masked());
    }
    // What differs is random: none of it comes twice.
    let of_all = |part: fn(&Hello) -> Vec<u8>| hellos.iter().map(part).collect::<Vec<_>>();
    for part in [|it: &Hello| it.random.clone(), Hello::key_share] {
        let values = of_all(part);
        let distinct: BTreeSet<_> = values.iter().collect();
        assert_eq!(distinct.len(), hellos.len());
        assert!(values.iter().all(|it| it.len() >= 32));
    }
    for hello in full {
        assert_eq!(hello.ticket(), None);
    }
    // TRN-80: a ticket is a random name.
    assert_eq!(resumed.ticket().unwrap().len(), 32);
}
