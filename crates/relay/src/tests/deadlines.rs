// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TRN-17: calls whose time is over before the relay has done what they ask for.

use std::sync::Arc;

use tokio::sync::Semaphore;
use waxwing_proto::limits;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_storage::embedded::ServerLimits;
use waxwing_transport::Clock as _;

use super::people::Person;
use super::world::{Client, World};
use crate::Settings;
use crate::connection::told;

/// What an answer takes on its way, at most.
const WAY_MS: u64 = 500;

/// A relay whose disk stands still while there is no permit.
async fn standing(permits: usize) -> (World, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(permits));
    let passing = Arc::clone(&gate);
    let syncs = move || {
        let passing = Arc::clone(&passing);
        Box::pin(async move { passing.acquire().await.unwrap().forget() })
            as core::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    };
    let settings = Settings {
        open_registration: true,
        ..Settings::default()
    };
    let world = World::on(Arc::new(syncs), settings, ServerLimits::default()).await;
    (world, gate)
}

/// Makes a call as a client does that has no clock: it waits for the answer, however long that takes.
async fn call_patiently(client: &Client, call: Call, deadline_ms: u32) -> Answer {
    let (mut send, mut recv) = client.0.link().open().await.unwrap();
    let request = v1::Request {
        deadline_ms,
        call: Some(call),
    };
    send.send(&request, limits::FRAME_SIZE_MAX).await.unwrap();
    send.finish().await.unwrap();
    let response: Option<v1::Response> = recv.receive(limits::FRAME_SIZE_MAX).await.unwrap();
    response.unwrap().result.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_told_so() {
    for (named_ms, expected_ms) in [
        (2_000, 2_000),
        (0, u64::from(limits::DEADLINE_MS_DEFAULT)),
        (u32::MAX, u64::from(limits::DEADLINE_MS_MAX)),
    ] {
        let (world, gate) = standing(1_000).await;
        let alice = Person::new("alice", 1);
        let client = world.connect("alice").await;
        gate.forget_permits(usize::MAX);
        let register = Call::Register(alice.register_request());
        let begun_ms = world.clock.monotonic_ms();
        let answer = call_patiently(&client, register, named_ms).await;
        let Answer::Error(error) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(error.code, i32::from(ErrorCode::DeadlineExceeded));
        assert_eq!(error.retry_after_ms, 0);
        let took_ms = world.clock.monotonic_ms() - begun_ms;
        let range_ms = expected_ms..=expected_ms + WAY_MS;
        assert!(range_ms.contains(&took_ms), "{took_ms} of {expected_ms}");

        // What does not need the disk is answered meanwhile, on the same connection.
        let unknown = call_patiently(&client, Call::PrekeyStatus(v1::PrekeyStatusRequest {}), 0);
        assert!(matches!(
            unknown.await,
            Answer::Error(error) if error.code == i32::from(ErrorCode::Unauthenticated)
        ));
        gate.add_permits(1_000);
    }
}

/// The step is not cut: it may have changed the store, and whoever waits for that is woken.
#[tokio::test(start_paused = true)]
async fn the_step_of_a_late_call_goes_on_to_its_end() {
    let (world, gate) = standing(1_000).await;
    let alice = Person::new("alice", 1);
    world.settle(&alice).await;
    let client = world.connect_as(&alice, 0).await;
    let mut subscription = client.subscribe().await;
    subscription.drained().await;
    let sender = world.connect("bob").await;
    gate.forget_permits(usize::MAX);
    let send = Call::Send(alice.send_request(alice.own_id, 1));
    let answer = call_patiently(&sender, send, 2_000).await;
    assert!(matches!(
        answer,
        Answer::Error(error) if error.code == i32::from(ErrorCode::DeadlineExceeded)
    ));
    assert!(subscription.is_silent().await);
    let free_ms = world.clock.monotonic_ms();
    gate.add_permits(1_000);
    let envelope = subscription.envelope().await.envelope;
    assert_eq!(envelope, "sealed 1".as_bytes());
    // Without the wake it would be found a minute later.
    let woken_ms = world.clock.monotonic_ms() - free_ms;
    assert!(woken_ms <= WAY_MS, "{woken_ms}");
}

/// [TRN-91]
#[tokio::test(start_paused = true)]
async fn an_answer_that_no_link_takes_is_given_up() {
    let (world, _) = standing(1_000).await;
    let kept = Arc::new(());
    let held = Arc::clone(&kept);
    let begun_ms = world.clock.monotonic_ms();
    let stuck = async move {
        let _held = held;
        core::future::pending().await
    };
    told(&world.clock, stuck).await;
    assert_eq!(world.clock.monotonic_ms() - begun_ms, 15_000);
    assert_eq!(Arc::strong_count(&kept), 1, "what it held is given back");
}
