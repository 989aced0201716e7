// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The loop of a sending stream, over calls that end when the test lets them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use waxwing_proto::limits;
use waxwing_proto::v1::send_response::Outcome as Answer;
use waxwing_transport::sim::{NetworkSettings, SimClock, SimNetwork};
use waxwing_transport::{Connection, Dialer as _, Listener as _, Plane, serve_hello};

use super::*;
use crate::tests::sendings::{RawStream, refused};
use crate::tests::world::Client;

/// What the calls of one stream wait for, and what became of them.
struct Gate {
    free: Semaphore,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Gate {
    async fn pass(&self) -> Result<v1::SendResponse, Refusal> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.free.acquire().await.unwrap().forget();
        self.ended.fetch_add(1, Ordering::Relaxed);
        Ok(v1::SendResponse {
            outcome: Some(Answer::Accepted(v1::Accepted {})),
        })
    }

    fn count(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.begun), count(&self.ended))
    }
}

struct Fixture {
    client: Client,
    gate: Arc<Gate>,
    drain: Draining,
    serving: JoinHandle<()>,
}

impl Fixture {
    async fn open() -> Self {
        let network = SimNetwork::new(1, NetworkSettings::default());
        let clock: Arc<dyn Clock> = Arc::new(SimClock::new(0));
        let pin = waxwing_proto::KeyPin([1; 32]);
        let listener = network.listen("server", 1, pin);
        let server = SimNetwork::server_address("server", 1, vec![pin]).unwrap();
        let gate = Arc::new(Gate {
            free: Semaphore::new(0),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        });
        let drain = Draining::default();
        let draining = drain.clone();
        let (serving_clock, gated) = (Arc::clone(&clock), Arc::clone(&gate));
        let serving = tokio::spawn(async move {
            let link = listener.accept().await.unwrap();
            let connection = serve_hello(link, Arc::clone(&serving_clock)).await.unwrap();
            let call = connection.accept().await.unwrap().read().await.unwrap();
            let (sink, source) = call.into_sending().await.unwrap();
            let stream = Stream {
                clock: serving_clock,
                draining,
                source,
                outcomes: Outcomes::new(sink),
                under_way: UnderWay::default(),
                alarm: None,
                frame_at_ms: 0,
            };
            stream
                .run(|place, calls| {
                    let gate = Arc::clone(&gated);
                    async move {
                        let passing = calls.iter().map(|_| gate.pass());
                        (place, join_all(passing).await)
                    }
                })
                .await;
        });
        let dialer = network.dialer("client");
        let link = dialer.dial(&server, Plane::Anonymous).await.unwrap();
        Self {
            client: Client(Connection::establish(link, clock).await.unwrap()),
            gate,
            drain,
            serving,
        }
    }
}

async fn a_while() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

fn some() -> Option<v1::SendRequest> {
    Some(v1::SendRequest::default())
}

/// TRN-89.
#[tokio::test(start_paused = true)]
async fn no_more_is_taken_than_there_is_room_for() {
    let fixture = Fixture::open().await;
    let mut stream = RawStream::open(&fixture.client).await;
    for number in 1..=100 {
        stream.sending(number, some()).await;
    }
    a_while().await;
    let max = limits::SENDINGS_UNDER_WAY_MAX;
    assert_eq!(fixture.gate.count(), (max, 0));
    // Those that came together end together.
    fixture.gate.free.add_permits(max - 1);
    a_while().await;
    assert_eq!(fixture.gate.count(), (max, max - 1));
    fixture.gate.free.add_permits(1);
    a_while().await;
    assert_eq!(fixture.gate.count(), (100, max));
    fixture.gate.free.add_permits(1000);
    stream.opened().await;
    let told: Vec<u32> = stream.outcomes(100).await.iter().map(|it| it.0).collect();
    assert_eq!(told, (1..=100).collect::<Vec<u32>>());
}

/// TRN-17. At its deadline a call is answered once; it goes on, and keeps its room.
#[tokio::test(start_paused = true)]
async fn a_late_sending_is_told_so_once() {
    let fixture = Fixture::open().await;
    let mut stream = RawStream::open(&fixture.client).await;
    stream.sending(1, some()).await;
    a_while().await;
    stream.sending(2, some()).await;
    stream.opened().await;
    let late = refused(ErrorCode::DeadlineExceeded);
    assert_eq!(stream.outcomes(1).await, [(1, late.clone())]);
    assert_eq!(stream.outcomes(1).await, [(2, late)]);
    assert_eq!(fixture.gate.count(), (2, 0));
    stream.sending(3, some()).await;
    fixture.gate.free.add_permits(3);
    assert_eq!(stream.outcomes(1).await, [(3, None)]);
    assert_eq!(fixture.gate.count(), (3, 3));
    stream.send.finish().await.unwrap();
    assert!(stream.has_ended().await);
    fixture.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_finished_although_nobody_listens() {
    let fixture = Fixture::open().await;
    let mut stream = RawStream::open(&fixture.client).await;
    stream.sending(1, some()).await;
    a_while().await;
    drop((stream, fixture.client));
    a_while().await;
    assert_eq!(fixture.gate.count(), (1, 0));
    assert!(!fixture.serving.is_finished());
    fixture.gate.free.add_permits(1);
    fixture.serving.await.unwrap();
    assert_eq!(fixture.gate.count(), (1, 1));
}

/// TRN-23.
#[tokio::test(start_paused = true)]
async fn a_drain_takes_no_more_and_answers_what_was_taken() {
    let fixture = Fixture::open().await;
    let mut stream = RawStream::open(&fixture.client).await;
    stream.sending(1, some()).await;
    a_while().await;
    fixture.drain.start();
    a_while().await;
    stream.sending(2, some()).await;
    a_while().await;
    fixture.gate.free.add_permits(2);
    stream.opened().await;
    assert_eq!(stream.outcomes(1).await, [(1, None)]);
    assert!(stream.has_ended().await);
    assert_eq!(fixture.gate.count(), (1, 1));
    fixture.serving.await.unwrap();
}

/// TRN-89. Whether nothing comes or a frame that never ends.
#[tokio::test(start_paused = true)]
async fn a_stream_without_whole_frames_ends() {
    for first in [true, false] {
        let fixture = Fixture::open().await;
        fixture.gate.free.add_permits(1);
        let mut stream = RawStream::open(&fixture.client).await;
        stream.send.flush().await.unwrap();
        stream.opened().await;
        if first {
            stream.sending(1, some()).await;
            assert_eq!(stream.outcomes(1).await, [(1, None)]);
            stream.begin_a_frame().await;
        }
        let idle = Duration::from_millis(limits::SENDING_IDLE_MS.into());
        tokio::time::sleep(idle - Duration::from_millis(500)).await;
        assert!(!fixture.serving.is_finished());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(fixture.serving.is_finished());
    }
}
