// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QUIC first, TCP beside it: under a virtual clock, over a simulated network.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use waxwing_proto::{KeyPin, ServerAddress};
use waxwing_transport::race::{HEAD_START_MS, Network, REMEMBERED_MS, RaceDialer, TransportChoice};
use waxwing_transport::sim::{NetworkSettings, SimClock, SimDialer, SimListener, SimNetwork};
use waxwing_transport::{BoxFuture, Clock, Dialer, Link, LinkError, Plane};

/// What one transport does when it is dialled.
#[derive(Clone, Copy)]
enum Manner {
    /// Its packets disappear.
    Silent,
    /// It takes so many milliseconds.
    After(u64),
    Fails(LinkError),
}

/// A transport whose manner can be changed, and that notes when it was dialled.
#[derive(Clone)]
struct Scripted {
    inner: SimDialer,
    manner: Arc<Mutex<Manner>>,
    dialled_ms: Arc<Mutex<Vec<u64>>>,
    clock: Arc<SimClock>,
}

impl Scripted {
    fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// When it was dialled since this was asked last.
    fn dialled(&self) -> Vec<u64> {
        std::mem::take(&mut *self.dialled_ms.lock().unwrap())
    }
}

impl Dialer for Scripted {
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>> {
        Box::pin(async move {
            self.dialled_ms
                .lock()
                .unwrap()
                .push(self.clock.monotonic_ms());
            let manner = *self.manner.lock().unwrap();
            match manner {
                Manner::Silent => {
                    self.clock.sleep(10_000).await;
                    Err(LinkError::TimedOut)
                }
                Manner::After(delay_ms) => {
                    self.clock.sleep(delay_ms).await;
                    self.inner.dial(server, plane).await
                }
                Manner::Fails(error) => Err(error),
            }
        })
    }
}

struct World {
    clock: Arc<SimClock>,
    quic: Scripted,
    tcp: Scripted,
    here: Arc<Mutex<Network>>,
    race: RaceDialer,
    address: ServerAddress,
    _listener: SimListener,
}

const PIN: KeyPin = KeyPin([7; 32]);

fn world() -> World {
    let settings = NetworkSettings {
        jitter_ms: 0,
        ..NetworkSettings::default()
    };
    let network = SimNetwork::new(1, settings);
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    let scripted = || Scripted {
        inner: network.dialer("alice"),
        manner: Arc::new(Mutex::new(Manner::After(0))),
        dialled_ms: Arc::default(),
        clock: Arc::clone(&clock),
    };
    let (quic, tcp) = (scripted(), scripted());
    let here = Arc::new(Mutex::new(Network::default()));
    let probe = Arc::clone(&here);
    World {
        race: RaceDialer::new(
            Box::new(quic.clone()),
            Box::new(tcp.clone()),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(move || *probe.lock().unwrap()),
        ),
        address: SimNetwork::server_address("relay", 4433, vec![PIN]).unwrap(),
        _listener: network.listen("relay", 4433, PIN),
        clock,
        quic,
        tcp,
        here,
    }
}

impl World {
    /// Dials, and gives how long after the start each transport was dialled, QUIC's and TCP's.
    async fn dial(&self) -> (Result<Link, LinkError>, Option<u64>, Option<u64>) {
        let start_ms = self.clock.monotonic_ms();
        let outcome = self.race.dial(&self.address, Plane::Account).await;
        let after = |dialled: Vec<u64>| dialled.first().map(|at| at - start_ms);
        (
            outcome,
            after(self.quic.dialled()),
            after(self.tcp.dialled()),
        )
    }
}

/// [TRN-52].
#[tokio::test(start_paused = true)]
async fn quic_alone_where_it_gets_through() {
    let world = world();
    let (link, quic, tcp) = world.dial().await;
    assert!(link.is_ok());
    assert_eq!((quic, tcp), (Some(0), None));
}

/// [TRN-52], [TRN-53].
#[tokio::test(start_paused = true)]
async fn tcp_joins_after_the_head_start_and_is_remembered_for_this_network_and_server() {
    let world = world();
    world.quic.set(Manner::Silent);
    let (link, quic, tcp) = world.dial().await;
    assert!(link.is_ok());
    assert_eq!((quic, tcp), (Some(0), Some(HEAD_START_MS)));
    // The next time TCP is first, and QUIC is not waited for.
    let (link, quic, tcp) = world.dial().await;
    assert!(link.is_ok());
    assert_eq!((quic, tcp), (None, Some(0)));
    // Another network knows nothing of it.
    *world.here.lock().unwrap() = Network {
        ipv4: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
        ipv6: None,
    };
    let (_, quic, tcp) = world.dial().await;
    assert_eq!((quic, tcp), (Some(0), Some(HEAD_START_MS)));
    *world.here.lock().unwrap() = Network::default();
    assert_eq!(world.dial().await.2, Some(0));
    // After a while QUIC has the head start again, and keeps it when it gets through.
    world.quic.set(Manner::After(10));
    tokio::time::sleep(Duration::from_millis(REMEMBERED_MS)).await;
    for _ in 0..2 {
        let (link, quic, tcp) = world.dial().await;
        assert!(link.is_ok());
        assert_eq!((quic, tcp), (Some(0), None));
    }
}

/// [TRN-52].
#[tokio::test(start_paused = true)]
async fn a_slow_leader_can_still_win() {
    let world = world();
    world.quic.set(Manner::After(300));
    world.tcp.set(Manner::After(300));
    let (link, quic, tcp) = world.dial().await;
    assert!(link.is_ok());
    assert_eq!((quic, tcp), (Some(0), Some(HEAD_START_MS)));
    // QUIC has won: it stays first.
    assert_eq!(world.dial().await.1, Some(0));
}

/// [TRN-52], [TRN-53].
#[tokio::test(start_paused = true)]
async fn a_leader_that_fails_is_not_waited_for_and_tcp_gives_way_to_quic() {
    let world = world();
    world.quic.set(Manner::Fails(LinkError::Refused));
    let (link, quic, tcp) = world.dial().await;
    assert!(link.is_ok());
    assert_eq!((quic, tcp), (Some(0), Some(0)));
    // A server that gave TCP up is found over QUIC at once, and QUIC is first from then on.
    world.quic.set(Manner::After(0));
    world.tcp.set(Manner::Fails(LinkError::Refused));
    let (link, quic, tcp) = world.dial().await;
    assert!(link.is_ok());
    assert_eq!((quic, tcp), (Some(0), Some(0)));
    assert_eq!(world.dial().await.2, None);
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_error_that_says_most_is_told() {
    let world = world();
    for (quic, tcp, expected) in [
        (
            Manner::Fails(LinkError::ServerKeyMismatch),
            Manner::Fails(LinkError::Refused),
            LinkError::ServerKeyMismatch,
        ),
        (
            Manner::Silent,
            Manner::Fails(LinkError::ServerKeyMismatch),
            LinkError::ServerKeyMismatch,
        ),
        (Manner::Silent, Manner::Silent, LinkError::TimedOut),
        (
            Manner::Silent,
            Manner::Fails(LinkError::Refused),
            LinkError::Refused,
        ),
    ] {
        world.quic.set(quic);
        world.tcp.set(tcp);
        assert_eq!(world.dial().await.0.err(), Some(expected));
    }
    world.quic.set(Manner::Fails(LinkError::NoKeyPin));
    let (outcome, _, tcp) = world.dial().await;
    assert_eq!((outcome.err(), tcp), (Some(LinkError::NoKeyPin), None));
}

#[test]
fn choices_have_names() {
    for choice in [
        TransportChoice::Auto,
        TransportChoice::Quic,
        TransportChoice::Tcp,
    ] {
        assert_eq!(choice.as_str().parse(), Ok(choice));
    }
    assert!("udp".parse::<TransportChoice>().is_err());
}
