// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server with another key: whoever keeps a connection up takes it when told to.

use waxwing_transport::sim::SimEntropy;
use waxwing_transport::{Entropy, Keeper, Kept, Signals};

use super::*;

const NEXT: KeyPin = KeyPin([8; 32]);

/// [TRN-94].
#[tokio::test(start_paused = true)]
async fn attempts_take_the_keys_that_are_known_by_then() {
    let world = world(31, NetworkSettings::default());
    world.serve();
    let seams = (
        Arc::new(world.dialer.clone()),
        Arc::clone(&world.clock),
        Arc::new(SimEntropy::new(31, "keeper")) as Arc<dyn Entropy>,
    );
    let signals = Signals::new();
    let mut keeper = Keeper::new(seams, world.address.clone(), Plane::Account, &signals);
    let key_pins = keeper.key_pins();
    let Kept::Up(first) = keeper.next().await else {
        panic!("a connection");
    };
    assert_eq!(first.link().server_key(), Some(PIN));
    key_pins.replace(vec![PIN, NEXT]);
    // The one that is up stays.
    first.call(status(), 0).await.unwrap();
    world.network.crash("relay");
    let listener = Arc::new(world.network.listen("relay", 4433, NEXT));
    let again = World { listener, ..world };
    again.serve();
    let second = loop {
        if let Kept::Up(connection) = keeper.next().await {
            break connection;
        }
    };
    assert_eq!(second.link().server_key(), Some(NEXT));
    // Without it nobody is taken for the server.
    key_pins.replace(vec![PIN]);
    again.network.crash("relay");
    let _listener = again.network.listen("relay", 4433, NEXT);
    let refused = CallError::LinkLost(LinkError::ServerKeyMismatch);
    loop {
        match keeper.next().await {
            Kept::Up(_) => panic!("taken for the server"),
            Kept::Down(error) if error == refused => break,
            Kept::Down(_) => {}
        }
    }
}
