// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Limits, draining and restarts.

use super::*;

#[tokio::test]
async fn more_connections_than_allowed_are_refused() {
    let settings = ListenerSettings {
        connections_max: 1,
        ..ListenerSettings::default()
    };
    let listener = listen(settings);
    let (_ours, _theirs) = links(&listener).await;
    let address = address(&listener, vec![identity(1).key_pin()]);
    let refused = dialer().dial(&address, Plane::Account).await;
    assert_eq!(refused.unwrap_err(), LinkError::Refused);
}

/// [TRN-65]: the server keeps its reset key, so that a client learns of a restart with its next packet.
#[test]
fn a_restarted_server_resets_the_connections_that_it_forgot() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (first_life, second_life, clients) = (runtime(), runtime(), runtime());
    let (listener, theirs, ours, dialer) = {
        let listener = first_life.block_on(async { listener() });
        let address = address(&listener, vec![identity(1).key_pin()]);
        let dialer = dialer();
        let ours = clients
            .block_on(dialer.dial(&address, Plane::Account))
            .unwrap();
        let theirs = first_life.block_on(listener.accept()).unwrap();
        (listener, theirs, ours, dialer)
    };
    let at = listener.local_address().unwrap();
    // The process ends without a word: its tasks are gone before anything is closed.
    drop(first_life);
    drop((theirs, listener));
    let _again = second_life.block_on(async {
        QuicListener::bind(at, &identity(1), &keys(), None, ListenerSettings::default()).unwrap()
    });
    let reason = clients.block_on(async {
        // Any packet will do; one of the client's own may have told it before.
        if let Ok((mut send, _recv)) = ours.open().await {
            let _ = send.send(&status(), limits::FRAME_SIZE_MAX).await;
        }
        ours.closed().await
    });
    assert_eq!(reason, CloseReason::Reset);
    drop(dialer);
}
