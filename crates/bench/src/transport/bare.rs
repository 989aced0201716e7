// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain quinn: the same streams, frame sizes and acknowledgements, without links, frames as
//! messages, deadlines or errors. Also the clients that only connect, for both servers.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use prost::Message as _;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use waxwing_proto::v1;
use waxwing_transport::framing::{FRAME_HEADER_SIZE, encode_frame};
use waxwing_transport::quic::{SERVER_NAME, bare};

use super::login;
use super::ours::{announce, any_port, identity, keys};
use super::{CALLS_AT_A_TIME, MESSAGE_SIZE, UPLOAD_SIZE, UPLOADS_AT_A_TIME, Work, runtime, share};

/// The size of the frame that the RPC layer makes of a message of [`MESSAGE_SIZE`]: header, tags,
/// lengths and a position.
const FRAME_SIZE: usize = MESSAGE_SIZE + 16;
/// The size of its acknowledgement.
const ACKNOWLEDGEMENT_SIZE: usize = 8;
/// The first byte of a stream says what it is.
const SUBSCRIBE: u8 = 1;
const CALL: u8 = 2;
const LOGIN: u8 = 3;

pub(super) async fn serve(window: usize) -> Result<()> {
    let endpoint = bare::server(any_port(), &identity()?, &keys())?;
    let port = endpoint.local_addr()?.port();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                while let Ok((send, recv)) = connection.accept_bi().await {
                    let connection = connection.clone();
                    tokio::spawn(async move {
                        // A client that goes away is no failure.
                        let _ = serve_stream(&connection, (send, recv), window).await;
                    });
                }
            });
        }
    });
    announce(port).await
}

async fn serve_stream(
    connection: &Connection,
    (mut send, mut recv): (SendStream, RecvStream),
    window: usize,
) -> Result<()> {
    let mut kind = [0];
    recv.read_exact(&mut kind).await?;
    if kind == [LOGIN] {
        let signature = recv.read_to_end(login::LOGIN_SIZE).await?;
        login::verify(&exporter(connection)?, &signature)?;
        send.write_all(&[0; ACKNOWLEDGEMENT_SIZE]).await?;
        send.finish()?;
        return Ok(());
    }
    if kind == [CALL] {
        while recv.read_chunk(64 * 1024, true).await?.is_some() {}
        send.write_all(&[0; ACKNOWLEDGEMENT_SIZE]).await?;
        send.finish()?;
        return Ok(());
    }
    let frame = Bytes::from(vec![0xa5; FRAME_SIZE]);
    let mut room = window;
    loop {
        for _ in 0..room {
            send.write_chunk(frame.clone()).await?;
        }
        let mut acknowledgement = [0; ACKNOWLEDGEMENT_SIZE];
        recv.read_exact(&mut acknowledgement).await?;
        room = 1;
    }
}

struct Clients {
    runtime: Runtime,
    connections: Vec<Connection>,
    /// Kept as long as the connections are in use.
    _endpoints: Vec<Endpoint>,
}

fn connect(port: u16, count: usize) -> Result<Clients> {
    let runtime = runtime()?;
    let (connections, endpoints) = runtime.block_on(async {
        let (mut connections, mut endpoints) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let endpoint = bare::client(any_port())?;
            connections.push(dial(&endpoint, port).await?);
            endpoints.push(endpoint);
        }
        anyhow::Ok((connections, endpoints))
    })?;
    Ok(Clients {
        runtime,
        connections,
        _endpoints: endpoints,
    })
}

async fn dial(endpoint: &Endpoint, port: u16) -> Result<Connection> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let config = bare::connecting(identity()?.key_pin())?;
    Ok(endpoint.connect_with(config, to, SERVER_NAME)?.await?)
}

pub(super) fn stream(port: u16, connections: usize, messages: u32) -> Result<Work> {
    let clients = connect(port, connections)?;
    let each = share(messages, connections)?;
    Ok(Box::new(move || {
        let kept = clients.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for connection in clients.connections.clone() {
                tasks.spawn(async move {
                    let (mut send, mut recv) = connection.open_bi().await?;
                    send.write_all(&[SUBSCRIBE]).await?;
                    let mut frame = vec![0; FRAME_SIZE];
                    for _ in 0..each {
                        recv.read_exact(&mut frame).await?;
                        send.write_all(&[0; ACKNOWLEDGEMENT_SIZE]).await?;
                    }
                    anyhow::Ok((send, recv))
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

pub(super) fn unary(port: u16, connections: usize, calls: u32) -> Result<Work> {
    let clients = connect(port, connections)?;
    let each = share(calls, connections.saturating_mul(CALLS_AT_A_TIME))?;
    Ok(call_work(clients, (CALLS_AT_A_TIME, each), FRAME_SIZE))
}

pub(super) fn upload(port: u16, uploads: u32) -> Result<Work> {
    let clients = connect(port, 1)?;
    let each = share(uploads, UPLOADS_AT_A_TIME)?;
    Ok(call_work(clients, (UPLOADS_AT_A_TIME, each), UPLOAD_SIZE))
}

fn call_work(clients: Clients, (lanes, each): (usize, usize), size: usize) -> Work {
    let mut request = vec![0xa5; size];
    request.insert(0, CALL);
    let request = Bytes::from(request);
    Box::new(move || {
        clients.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for connection in &clients.connections {
                for _ in 0..lanes {
                    let (connection, request) = (connection.clone(), request.clone());
                    tasks.spawn(async move {
                        for _ in 0..each {
                            let (mut send, mut recv) = connection.open_bi().await?;
                            send.write_chunk(request.clone()).await?;
                            send.finish()?;
                            let answer = recv.read_to_end(ACKNOWLEDGEMENT_SIZE).await?;
                            ensure!(answer.len() == ACKNOWLEDGEMENT_SIZE, "another answer");
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

/// The greeting that the RPC layer wants; plain quinn's server is shown a stream in its place.
async fn greet(connection: &Connection, is_ours: bool) -> Result<()> {
    let (mut send, mut recv) = connection.open_bi().await?;
    if is_ours {
        let hello = v1::Hello {
            protocol_min: 1,
            protocol_max: 1,
            ..v1::Hello::default()
        };
        send.write_all(&encode_frame(&hello, 100)?).await?;
    } else {
        send.write_all(&[CALL; 8]).await?;
    }
    send.finish()?;
    let answer = recv.read_to_end(100).await?;
    ensure!(!answer.is_empty(), "no answer");
    Ok(())
}

/// What both ends of this connection know and nobody else.
fn exporter(connection: &Connection) -> Result<[u8; 32]> {
    let mut value = [0; 32];
    let exported = connection.export_keying_material(&mut value, login::EXPORTER_LABEL, &[]);
    exported.map_err(|_| anyhow::anyhow!("no exporter"))?;
    Ok(value)
}

/// Says who it is, as the first call after the handshake.
async fn log_in(connection: &Connection, is_ours: bool) -> Result<()> {
    let (mut send, mut recv) = connection.open_bi().await?;
    let exporter = exporter(connection)?;
    if is_ours {
        let request = login::request(&exporter);
        send.write_chunk(encode_frame(&request, 200)?).await?;
    } else {
        let signature = login::sign(&exporter);
        send.write_all(&[&[LOGIN], signature.as_slice()].concat())
            .await?;
    }
    send.finish()?;
    let answer = recv.read_to_end(100).await?;
    let is_refused = is_ours && is_refusal(&answer)?;
    ensure!(!answer.is_empty() && !is_refused, "the login was refused");
    Ok(())
}

fn is_refusal(frame: &[u8]) -> Result<bool> {
    let (_, response) = frame
        .split_at_checked(FRAME_HEADER_SIZE)
        .context("no frame")?;
    let response = v1::Response::decode(response)?;
    Ok(!matches!(
        response.result,
        Some(v1::response::Result::Authenticate(_))
    ))
}

/// Connects, greets and logs in, one after the other.
pub(super) fn logins(port: u16, count: u32, is_ours: bool) -> Result<Work> {
    let runtime = runtime()?;
    let endpoint = runtime.block_on(async { bare::client(any_port()) })?;
    Ok(Box::new(move || {
        runtime.block_on(async {
            for _ in 0..count {
                let connection = dial(&endpoint, port).await?;
                greet(&connection, is_ours).await?;
                log_in(&connection, is_ours).await?;
                connection.close(0_u32.into(), b"");
            }
            anyhow::Ok(())
        })?;
        Ok(Box::new((runtime, endpoint)))
    }))
}

/// Connects and greets one after the other.
pub(super) fn handshakes(port: u16, count: u32, is_ours: bool) -> Result<Work> {
    let runtime = runtime()?;
    let endpoint = runtime.block_on(async { bare::client(any_port()) })?;
    Ok(Box::new(move || {
        runtime.block_on(async {
            for _ in 0..count {
                let connection = dial(&endpoint, port).await?;
                greet(&connection, is_ours).await?;
                connection.close(0_u32.into(), b"");
            }
            anyhow::Ok(())
        })?;
        Ok(Box::new((runtime, endpoint)))
    }))
}

/// A call as the first after the handshake, at our server; the ticket has come before its answer.
async fn call(connection: &Connection) -> Result<()> {
    let (mut send, mut recv) = connection.open_bi().await?;
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::PrekeyStatus(v1::PrekeyStatusRequest {})),
    };
    send.write_chunk(encode_frame(&request, 100)?).await?;
    send.finish()?;
    let answer = recv.read_to_end(100).await?;
    ensure!(!answer.is_empty(), "no answer");
    Ok(())
}

/// Connects to our server, greets and makes a call, one after the other. `is_resumed`: each connection
/// by a ticket of the one before, and greeted with its first packets.
pub(super) fn connects(port: u16, count: u32, is_resumed: bool) -> Result<Work> {
    let runtime = runtime()?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let pin = identity()?.key_pin();
    let (endpoint, resuming) = runtime.block_on(async {
        let endpoint = bare::client(any_port())?;
        let resuming = bare::resuming(pin)?;
        let first = endpoint.connect_with(resuming.clone(), to, SERVER_NAME)?;
        let first = first.await?;
        greet(&first, true).await?;
        call(&first).await?;
        first.close(0_u32.into(), b"");
        anyhow::Ok((endpoint, resuming))
    })?;
    Ok(Box::new(move || {
        runtime.block_on(async {
            for _ in 0..count {
                let connection = if is_resumed {
                    let connecting = endpoint.connect_with(resuming.clone(), to, SERVER_NAME)?;
                    let Ok((connection, accepted)) = connecting.into_0rtt() else {
                        bail!("there was no ticket");
                    };
                    greet(&connection, true).await?;
                    ensure!(accepted.await, "the ticket was not taken");
                    connection
                } else {
                    let connection = dial(&endpoint, port).await?;
                    greet(&connection, true).await?;
                    connection
                };
                call(&connection).await?;
                connection.close(0_u32.into(), b"");
            }
            anyhow::Ok(())
        })?;
        Ok(Box::new((runtime, endpoint)))
    }))
}

/// Connections that do nothing after their greeting. They live as long as what this gives.
pub(super) struct Idle {
    _connections: Vec<Connection>,
    _endpoint: Endpoint,
    _runtime: Runtime,
}

pub(super) fn idle(port: u16, count: u32, is_ours: bool) -> Result<Idle> {
    let runtime = runtime()?;
    let (connections, endpoint) = runtime.block_on(async {
        let endpoint = bare::client(any_port())?;
        let mut connections = Vec::new();
        for _ in 0..count {
            let connection = dial(&endpoint, port).await?;
            greet(&connection, is_ours).await?;
            connections.push(connection);
        }
        // What follows a handshake, new connection ids and their acknowledgement, has settled.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let alive = connections
            .iter()
            .all(|connection| connection.close_reason().is_none());
        ensure!(alive, "a connection ended too soon");
        anyhow::Ok((connections, endpoint))
    })?;
    connections.first().context("no connection")?;
    Ok(Idle {
        _connections: connections,
        _endpoint: endpoint,
        _runtime: runtime,
    })
}
