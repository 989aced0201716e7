// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Early data: what a client that does not keep to the rules gets served, and what somebody gets who
//! has recorded a first flight and sends it again. TRN-5, TRN-84.

use v1::request::Call;
use waxwing_transport::framing::{FrameDecoder, encode_frame};
use waxwing_transport::quic::{SERVER_NAME, bare};
use waxwing_transport::tls::TicketPlace;
use zeroize::Zeroizing;

use super::*;

/// A store in which a ticket that was spent is there again, as after the worst of crashes.
#[derive(Debug, Default)]
struct Forgetful(MemoryTickets);

impl TicketStore for Forgetful {
    fn put(&self, place: TicketPlace, sealed: Vec<u8>) {
        self.0.put(place, sealed);
    }

    fn take(&self, place: TicketPlace) -> Option<Vec<u8>> {
        let session = self.0.take(place)?;
        self.0.put(place, session.clone());
        Some(session)
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn forget_below(&self, generation: u64) {
        self.0.forget_below(generation);
    }

    fn count(&self, generation: u64) -> usize {
        self.0.count(generation)
    }

    fn keys(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.0.keys()
    }

    fn replace_keys(&self, keys: &[u8]) {
        self.0.replace_keys(keys);
    }
}

/// The place of each call in [`calls`]; a new kind of call does not compile before it stands here.
const fn place(call: &Call) -> usize {
    match call {
        Call::Register(_) => 0,
        Call::Authenticate(_) => 1,
        Call::ReplaceManifest(_) => 2,
        Call::PublishPrekeys(_) => 3,
        Call::PrekeyStatus(_) => 4,
        Call::CreateDeliveryIds(_) => 5,
        Call::RevokeDeliveryIds(_) => 6,
        Call::Subscribe(_) => 7,
        Call::AdvanceGeneration(_) => 8,
        Call::CloseAccount(_) => 9,
        Call::ResolveName(_) => 10,
        Call::FetchManifests(_) => 11,
        Call::TakePrekeys(_) => 12,
        Call::Send(_) => 13,
        Call::PutRendezvous(_) => 14,
        Call::FetchRendezvous(_) => 15,
        Call::OpenSending(_) => 16,
    }
}

/// One of each.
fn calls() -> [Call; 17] {
    let calls = [
        Call::Register(v1::RegisterRequest::default()),
        Call::Authenticate(v1::AuthenticateRequest::default()),
        Call::ReplaceManifest(v1::ReplaceManifestRequest::default()),
        Call::PublishPrekeys(v1::PublishPrekeysRequest::default()),
        Call::PrekeyStatus(v1::PrekeyStatusRequest {}),
        Call::CreateDeliveryIds(v1::CreateDeliveryIdsRequest::default()),
        Call::RevokeDeliveryIds(v1::RevokeDeliveryIdsRequest::default()),
        Call::Subscribe(v1::SubscribeRequest {}),
        Call::AdvanceGeneration(v1::AdvanceGenerationRequest::default()),
        Call::CloseAccount(v1::CloseAccountRequest::default()),
        Call::ResolveName(v1::ResolveNameRequest::default()),
        Call::FetchManifests(v1::FetchManifestsRequest::default()),
        Call::TakePrekeys(v1::TakePrekeysRequest::default()),
        Call::Send(v1::SendRequest::default()),
        Call::PutRendezvous(v1::PutRendezvousRequest::default()),
        Call::FetchRendezvous(v1::FetchRendezvousRequest::default()),
        Call::OpenSending(v1::OpenSendingRequest {}),
    ];
    for (number, call) in calls.iter().enumerate() {
        assert_eq!(place(call), number);
    }
    calls
}

/// The calls that reading changes nothing: the whole list, so that nobody marks one without a look
/// here.
const MARKED: [usize; 2] = [10, 11];

/// Serves every connection and refuses every call with `RATE_LIMITED`. Gives the places of those that
/// were handed to the application.
fn serve_and_count(world: &World) -> Arc<Mutex<Vec<usize>>> {
    let served = Arc::new(Mutex::new(Vec::new()));
    let (listener, clock) = (Arc::clone(&world.listener), Arc::clone(&world.clock));
    let seen = Arc::clone(&served);
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            let (clock, seen) = (Arc::clone(&clock), Arc::clone(&seen));
            tokio::spawn(async move {
                let Ok(connection) = serve_hello(link, clock).await else {
                    return;
                };
                while let Ok(pending) = connection.accept().await {
                    let Ok(call) = pending.read().await else {
                        continue;
                    };
                    seen.lock().unwrap().push(place(&call.request));
                    let code = v1::ErrorCode::RateLimited;
                    let _ = call.responder.refuse(code, None).await;
                }
            });
        }
    });
    served
}

/// Says something on a new stream and waits for one frame.
pub(super) async fn say<M: prost::Message, A: prost::Message + Default>(
    connection: &quinn::Connection,
    message: M,
) -> A {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let frame = encode_frame(&message, limits::FRAME_SIZE_MAX).unwrap();
    send.write_chunk(frame).await.unwrap();
    send.finish().unwrap();
    let answer = recv.read_to_end(limits::FRAME_SIZE_MAX).await.unwrap();
    let mut bytes = answer.into();
    let mut decoder = FrameDecoder::default();
    let frame = decoder.decode(&mut bytes, limits::FRAME_SIZE_MAX).unwrap();
    A::decode(frame.unwrap()).unwrap()
}

/// Greets and makes every call at once; gives what each is refused with.
async fn greet_and_call(connection: &quinn::Connection) -> Vec<v1::ErrorCode> {
    let mut all = tokio::task::JoinSet::new();
    // In this order on the connection: each task runs until it waits for its answer.
    let greeted = say::<_, v1::Hello>(connection, hello());
    let mut greeted = Box::pin(greeted);
    assert!(
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(greeted.as_mut().poll(context).is_pending())
        })
        .await
    );
    for call in calls() {
        let connection = connection.clone();
        all.spawn(async move {
            let number = place(&call);
            let request = v1::Request {
                deadline_ms: 0,
                call: Some(call),
            };
            let answer: v1::Response = say(&connection, request).await;
            let Some(v1::response::Result::Error(error)) = answer.result else {
                panic!("served");
            };
            (number, error.code())
        });
    }
    assert_eq!(greeted.await.protocol_max, 1);
    let mut codes = all.join_all().await;
    codes.sort_unstable_by_key(|(number, _)| *number);
    codes.into_iter().map(|(_, code)| code).collect()
}

/// A connection that gets a ticket, and one that is resumed by it, on which everything goes out early.
/// Gives what was refused how, and what the client had sent until the server's first word.
async fn all_at_once(world: &World) -> (Vec<v1::ErrorCode>, Vec<PacketEvent>) {
    let to = world.dial().await.unwrap().remote_address();
    let endpoint = world.network.endpoint("mallory").unwrap();
    let config = bare::resuming(identity().key_pin()).unwrap();
    let connect = || endpoint.connect_with(config.clone(), to, SERVER_NAME);
    let connection = connect().unwrap().await.unwrap();
    let codes = greet_and_call(&connection).await;
    assert_eq!(codes, vec![v1::ErrorCode::RateLimited; calls().len()]);
    connection.close(0_u32.into(), &[]);
    tokio::time::sleep(Duration::from_secs(5)).await;

    let events = world.record();
    let (connection, accepted) = connect().unwrap().into_0rtt().ok().unwrap();
    let codes = greet_and_call(&connection).await;
    assert!(accepted.await, "the server took the early data");
    connection.close(0_u32.into(), &[]);
    let events = events.lock().unwrap();
    let sent = events.iter().filter(|event| event.to == to);
    (codes, sent.cloned().collect())
}

#[tokio::test(start_paused = true)]
async fn only_marked_calls_are_served_early() {
    let (world, _) = world_with_tickets(41, Arc::new(MemoryTickets::default()));
    let served = serve_and_count(&world);
    let (codes, _) = all_at_once(&world).await;
    for (call, code) in calls().iter().zip(codes) {
        let is_marked = MARKED.contains(&place(call));
        assert_eq!(call.may_come_early(), is_marked, "{call:?}");
        let expected = if is_marked {
            v1::ErrorCode::RateLimited
        } else {
            v1::ErrorCode::TooEarly
        };
        assert_eq!(code, expected, "{call:?}");
    }
    // All of them on the first connection, and these on the second.
    let mut early = served.lock().unwrap()[calls().len()..].to_vec();
    early.sort_unstable();
    assert_eq!(early, MARKED);
}

/// Everything that the client ever sent comes again, from its address and from another one. Gives
/// what is served then.
async fn replay<S: TicketStore>(kept: S) -> Vec<usize> {
    let (world, _) = world_with_tickets(42, Arc::new(kept));
    let served = serve_and_count(&world);
    let (_, recorded) = all_at_once(&world).await;
    // The server forgets the connection.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let before = served.lock().unwrap().len();
    let (client, server) = (recorded[0].from, recorded[0].to);
    for from in [client, "10.9.9.1:40000".parse().unwrap()] {
        for event in &recorded {
            world.network.inject(from, server, &event.bytes);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let mut again = served.lock().unwrap()[before..].to_vec();
    again.sort_unstable();
    again
}

/// A ticket is spent: the replay is a handshake that nobody ends.
#[tokio::test(start_paused = true)]
async fn a_replayed_first_flight_is_not_read() {
    assert!(replay(MemoryTickets::default()).await.is_empty());
}

/// Even where the ticket is there again the replay reaches no call but those that are marked.
#[tokio::test(start_paused = true)]
async fn a_replay_to_a_server_that_forgets_reaches_marked_calls_alone() {
    let again = replay(Forgetful::default()).await;
    assert_eq!(again, [MARKED[0], MARKED[0], MARKED[1], MARKED[1]]);
}

/// A link that was handed out for its early data ends with its handshake, if that does not end well.
#[tokio::test(start_paused = true)]
async fn an_early_link_ends_with_its_handshake() {
    let (world, _) = world_with_tickets(43, Arc::new(MemoryTickets::default()));
    let (ours, theirs) = world.links().await;
    let begun = tokio::join!(
        Connection::establish(ours, Arc::clone(&world.clock)),
        serve_hello(theirs, Arc::clone(&world.clock)),
    );
    let (ours, theirs) = (begun.0.unwrap(), begun.1.unwrap());
    ours.link().close(CloseCode::Done);
    theirs.link().closed().await;

    let hello = encode_frame(&hello(), limits::CONTROL_FRAME_SIZE_MAX).unwrap();
    let (dialer, address) = (Arc::clone(&world.dialer), world.address.clone());
    tokio::spawn(async move {
        dialer
            .dial_early(&address, Plane::Account, hello)
            .await
            .is_ok()
    });
    let begun_ms = world.now_ms();
    let link = world.listener.accept().await.unwrap();
    // Its client has said this, and is not heard again.
    world.network.partition("alice", "relay");
    assert!(world.now_ms() - begun_ms <= 60);
    assert_eq!(
        link.exporter(b"EXPORTER-test", b""),
        Err(LinkError::Handshake)
    );
    let (_send, mut recv) = link.accept().await.unwrap();
    assert!(recv.is_early());
    assert!(recv.receive_frame(100).await.unwrap().is_some());
    link.closed().await;
    assert!(world.now_ms() - begun_ms <= u64::from(limits::CONNECT_TIMEOUT_MS) + 100);
}
