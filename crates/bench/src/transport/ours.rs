// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The RPC layer: a server that delivers and answers, and the clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use waxwing_proto::{ServerAddress, limits, v1};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::quic::{
    DialerSettings, ListenerSettings, QuicDialer, QuicListener, ServerIdentity, StableKeys,
};
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings, TcpListener, TcpListenerSettings};
use waxwing_transport::tls::{MemoryTickets, Tickets};
use waxwing_transport::{
    AcknowledgeSink, AcknowledgeStream, Clock, Connection, DeliverySink, DeliveryStream, Dialer,
    Link, Listener, Plane, serve_hello,
};

use super::login;
use super::{CALLS_AT_A_TIME, MESSAGE_SIZE, UPLOAD_SIZE, UPLOADS_AT_A_TIME, Work, runtime, share};

pub(crate) fn identity() -> Result<ServerIdentity> {
    Ok(ServerIdentity::from_seed(&[1; 32])?)
}

pub(crate) const fn keys() -> StableKeys {
    StableKeys {
        reset: [1; 32],
        token: [2; 32],
    }
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Says where the server listens, and waits until whoever started it is gone.
#[allow(
    clippy::print_stdout,
    reason = "the port is for the process that started this one"
)]
pub(super) async fn announce(port: u16) -> Result<()> {
    println!("{port}");
    let mut nothing = Vec::new();
    tokio::io::stdin().read_to_end(&mut nothing).await?;
    Ok(())
}

pub(super) async fn serve(window: usize) -> Result<()> {
    let settings = ListenerSettings {
        // All clients of a benchmark come from one address.
        connections_per_prefix_max: limits::CONNECTIONS_MAX,
        ..ListenerSettings::default()
    };
    // As a server that people run: each handshake gives a ticket.
    let tickets = Tickets::new(
        Arc::new(MemoryTickets::default()),
        clock(),
        Arc::new(SystemEntropy),
    );
    let tickets = Some(Arc::new(tickets));
    let identity = identity()?;
    let listener = QuicListener::bind(any_port(), &identity, &keys(), tickets.as_ref(), settings)?;
    serve_over(Arc::new(listener), window).await
}

/// The same over TCP.
pub(super) async fn serve_tcp(window: usize) -> Result<()> {
    let settings = TcpListenerSettings {
        connections_per_prefix_max: limits::CONNECTIONS_MAX,
        ..TcpListenerSettings::default()
    };
    let listener = TcpListener::bind(any_port(), &identity()?, None, settings)?;
    serve_over(Arc::new(listener), window).await
}

async fn serve_over(listener: Arc<dyn Listener>, window: usize) -> Result<()> {
    let port = listener.local_address().context("not bound")?.port();
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            tokio::spawn(serve_link(link, window));
        }
    });
    announce(port).await
}

async fn serve_link(link: Link, window: usize) {
    let Ok(connection) = Box::pin(serve_hello(link, clock())).await else {
        return;
    };
    while let Ok(pending) = connection.accept().await {
        let link = connection.link().clone();
        tokio::spawn(async move {
            let Ok(call) = pending.read().await else {
                return;
            };
            if let v1::request::Call::Authenticate(login) = &call.request {
                let exporter = link.exporter(login::EXPORTER_LABEL, &[]);
                let is_device =
                    exporter.is_ok_and(|it| login::verify(&it, &login.signature).is_ok());
                let known = v1::AuthenticateResponse::default();
                let _ = if is_device {
                    let answer = v1::response::Result::Authenticate(known);
                    call.answer_with(|_| async { Ok(answer) }).await
                } else {
                    let code = v1::ErrorCode::Unauthenticated;
                    call.responder.refuse(code, None).await
                };
            } else if matches!(call.request, v1::request::Call::Subscribe(_)) {
                if let Ok((sink, source)) = call.into_stream().await {
                    // What only waits holds no room for what other calls need.
                    tokio::spawn(deliver(sink, source, window));
                }
            } else {
                let answer = v1::response::Result::PutRendezvous(v1::PutRendezvousResponse {});
                let _ = call.answer_with(|_| async { Ok(answer) }).await;
            }
        });
    }
}

/// Keeps `window` messages on their way until the client has enough.
async fn deliver(mut sink: DeliverySink, mut source: AcknowledgeStream, window: usize) {
    const ENVELOPE: &[u8] = &[0xa5; MESSAGE_SIZE];
    let envelope = Bytes::from_static(ENVELOPE);
    let message = |position| v1::Delivery {
        event: Some(v1::delivery::Event::Envelope(v1::StoredEnvelope {
            position,
            envelope: envelope.clone(),
            ..v1::StoredEnvelope::default()
        })),
    };
    let mut position: u64 = 0;
    let mut room = window;
    loop {
        for _ in 0..room {
            position = position.saturating_add(1);
            if sink.queue(&message(position)).is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
        match source.receive().await {
            Ok(Some(acknowledged)) => room = acknowledged.positions.len(),
            _ => return,
        }
    }
}

pub(super) struct Clients {
    runtime: tokio::runtime::Runtime,
    connections: Vec<Connection>,
}

fn connect(port: u16, count: usize) -> Result<Clients> {
    let dialer = QuicDialer::new(DialerSettings::default());
    connect_over(&dialer, port, count)
}

/// The same over TCP.
pub(super) fn connect_tcp(port: u16, count: usize) -> Result<Clients> {
    let settings = TcpDialerSettings::default();
    let dialer = TcpDialer::new(settings, Arc::new(SystemEntropy));
    connect_over(&dialer, port, count)
}

fn connect_over(dialer: &dyn Dialer, port: u16, count: usize) -> Result<Clients> {
    let runtime = runtime()?;
    let connections = runtime.block_on(async {
        let address = ServerAddress {
            host: "127.0.0.1".parse()?,
            port,
            key_pins: vec![identity()?.key_pin()],
        };
        let mut connections = Vec::new();
        for _ in 0..count {
            let link = dialer.dial(&address, Plane::Account).await?;
            connections.push(Connection::establish(link, clock()).await?);
        }
        anyhow::Ok(connections)
    })?;
    Ok(Clients {
        runtime,
        connections,
    })
}

/// Takes `messages` over `connections` long-lived streams.
pub(super) fn stream(port: u16, connections: usize, messages: u32) -> Result<Work> {
    stream_of(connect(port, connections)?, messages)
}

pub(super) fn stream_of(clients: Clients, messages: u32) -> Result<Work> {
    let each = share(messages, clients.connections.len())?;
    Ok(Box::new(move || {
        let kept = clients.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for connection in clients.connections.clone() {
                tasks.spawn(async move {
                    let (sink, source) = connection.subscribe(0).await?;
                    receive(sink, source, each).await
                });
            }
            let mut kept = Vec::new();
            while let Some(done) = tasks.join_next().await {
                kept.push(done??);
            }
            anyhow::Ok(kept)
        })?;
        Ok(Box::new((kept, clients)))
    }))
}

async fn receive(
    mut sink: AcknowledgeSink,
    mut source: DeliveryStream,
    count: usize,
) -> Result<(AcknowledgeSink, DeliveryStream)> {
    for _ in 0..count {
        let delivery = source.receive().await?.context("the stream ended")?;
        let Some(v1::delivery::Event::Envelope(envelope)) = delivery.event else {
            anyhow::bail!("another event");
        };
        anyhow::ensure!(envelope.envelope.len() == MESSAGE_SIZE, "another size");
        let positions = vec![envelope.position];
        let frame = v1::Acknowledge {
            positions,
            up_to: 0,
        };
        sink.send(&frame).await?;
    }
    Ok((sink, source))
}

/// Devices that wait for deliveries: each has its stream open.
pub(super) fn wait_for_deliveries(clients: Clients) -> Result<Box<dyn std::any::Any>> {
    let mut streams = Vec::new();
    for connection in &clients.connections {
        let opened = connection.subscribe(limits::DEADLINE_MS_MAX);
        streams.push(clients.runtime.block_on(opened)?);
    }
    Ok(Box::new((streams, clients)))
}

fn bring(value: Bytes) -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PutRendezvous(v1::PutRendezvousRequest {
            value,
            ..v1::PutRendezvousRequest::default()
        })),
    }
}

/// Makes `calls`, a few at a time on each connection.
pub(super) fn unary(port: u16, connections: usize, calls: u32) -> Result<Work> {
    let clients = connect(port, connections)?;
    let each = share(calls, connections.saturating_mul(CALLS_AT_A_TIME))?;
    Ok(call_work(clients, (CALLS_AT_A_TIME, each), MESSAGE_SIZE))
}

/// Brings `uploads` large values on one connection.
pub(super) fn upload(port: u16, uploads: u32) -> Result<Work> {
    upload_of(connect(port, 1)?, uploads)
}

pub(super) fn upload_of(clients: Clients, uploads: u32) -> Result<Work> {
    let each = share(uploads, UPLOADS_AT_A_TIME)?;
    Ok(call_work(clients, (UPLOADS_AT_A_TIME, each), UPLOAD_SIZE))
}

fn call_work(clients: Clients, (lanes, each): (usize, usize), size: usize) -> Work {
    // What is brought is there before, as it is for the bare program.
    let value = Bytes::from(vec![0xa5; size]);
    Box::new(move || {
        clients.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for connection in &clients.connections {
                for _ in 0..lanes {
                    let (connection, value) = (connection.clone(), value.clone());
                    tasks.spawn(async move {
                        for _ in 0..each {
                            connection
                                .call(bring(value.clone()), limits::DEADLINE_MS_MAX)
                                .await?;
                        }
                        anyhow::Ok(())
                    });
                }
            }
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            anyhow::Ok(())
        })?;
        Ok(Box::new(clients))
    })
}
