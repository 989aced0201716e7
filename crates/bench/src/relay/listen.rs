// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bare relay's connections, over QUIC and over TLS over TCP, with the provider, key exchange, raw
//! key and transport settings of the real server.

use std::cell::RefCell;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use waxwing_transport::{quic, tcp};

use super::bare::{Outgoing, Relay, SharedRelay};
use super::frames::{self, EXPORTER_LABEL, PROOF, RECEIVE, SEND};
use super::process::Carrier;
use crate::transport::{any_port, identity, keys, runtime};

/// Read at a time, by all connections in turn.
const READ_SIZE: usize = 64 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

/// Runs the relay until it is killed. Says where it listens and which process it is.
///
/// # Errors
/// It could not start.
pub(crate) fn serve(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let carrier = arguments.next().context("over what?")?.parse()?;
    let folder = PathBuf::from(arguments.next().context("in which folder?")?);
    let runtime = runtime()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        std::fs::create_dir_all(&folder)?;
        let relay = Relay::start(&folder)?;
        match carrier {
            Carrier::Quic => serve_quic(&relay).await,
            Carrier::Tcp => serve_tcp(&relay).await,
        }
    })
}

#[allow(
    clippy::print_stdout,
    reason = "the port is for the process that started this one"
)]
fn say(port: u16) {
    println!("{port} {}", std::process::id());
}

async fn serve_quic(relay: &SharedRelay) -> Result<()> {
    let endpoint = quic::bare::server(any_port(), &identity()?, &keys())?;
    say(endpoint.local_addr()?.port());
    while let Some(incoming) = endpoint.accept().await {
        let relay = Rc::clone(relay);
        tokio::task::spawn_local(async move {
            let connection = incoming.await?;
            let mut exporter = [0; 32];
            if connection
                .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
                .is_err()
            {
                return Ok(());
            }
            let (send, recv) = connection.accept_bi().await?;
            // A client that goes away is no failure.
            serve_stream(recv, send, exporter, &relay).await;
            anyhow::Ok(())
        });
    }
    Ok(())
}

async fn serve_tcp(relay: &SharedRelay) -> Result<()> {
    let acceptor = TlsAcceptor::from(tcp::bare::server(&identity()?)?);
    let listener = TcpListener::bind(any_port()).await?;
    say(listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        let (relay, acceptor) = (Rc::clone(relay), acceptor.clone());
        tokio::task::spawn_local(async move { serve_tls(stream, &acceptor, &relay).await });
    }
}

async fn serve_tls(stream: TcpStream, acceptor: &TlsAcceptor, relay: &SharedRelay) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let (_, tls) = stream.get_ref();
    let exporter = tls.export_keying_material([0; 32], EXPORTER_LABEL, Some(b""))?;
    let (read, write) = split(stream);
    serve_stream(read, write, exporter, relay).await;
    Ok(())
}

/// What a connection turned out to be.
enum Role {
    Unknown,
    Sender,
    Owner(frames::Address),
}

async fn serve_stream(
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin + 'static,
    exporter: [u8; 32],
    relay: &SharedRelay,
) {
    let outgoing = Rc::new(Outgoing::default());
    let told = Rc::clone(&outgoing);
    tokio::task::spawn_local(async move {
        while let Some(bytes) = told.gathered().await {
            if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
    });
    let mut role = Role::Unknown;
    let mut left = Vec::new();
    while read_more(&mut read, &mut left).await > 0 {
        let mut rest = left.as_slice();
        let understood = understand(&mut rest, &mut role, &exporter, &outgoing, relay);
        let used = left.len() - rest.len();
        left.drain(..used);
        if !understood {
            break;
        }
    }
    if let Role::Owner(address) = role {
        relay.borrow_mut().close(address, &outgoing);
    }
    outgoing.end();
}

/// Reads what is there through the buffer of all connections, so that an idle one has none.
async fn read_more(read: &mut (impl AsyncRead + Unpin), left: &mut Vec<u8>) -> usize {
    std::future::poll_fn(|context| {
        READ.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match Pin::new(&mut *read).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => {
                    left.extend_from_slice(buffer.filled());
                    Poll::Ready(buffer.filled().len())
                }
                Poll::Ready(Err(_)) => Poll::Ready(0),
                Poll::Pending => Poll::Pending,
            }
        })
    })
    .await
}

/// Takes whole frames away; `false` when the other side breaks the rules.
fn understand(
    rest: &mut &[u8],
    role: &mut Role,
    exporter: &[u8; 32],
    outgoing: &Rc<Outgoing>,
    relay: &SharedRelay,
) -> bool {
    let mut relay = relay.borrow_mut();
    if matches!(role, Role::Unknown) {
        match rest.split_first() {
            Some((&SEND, after)) => {
                *rest = after;
                *role = Role::Sender;
            }
            Some((&RECEIVE, mut after)) => {
                let Some(proof) = frames::take(&mut after, PROOF) else {
                    return true;
                };
                let Some(address) = frames::verified(proof, exporter) else {
                    return false;
                };
                *rest = after;
                *role = Role::Owner(address);
                relay.open(address, outgoing);
            }
            _ => return false,
        }
    }
    let before = rest.len();
    match role {
        Role::Sender => {
            while let Some((to, envelope)) = frames::take_message(rest) {
                relay.accept(outgoing, to, envelope);
            }
        }
        Role::Owner(address) => {
            while let Some(up_to) = frames::take_u64(rest) {
                relay.acknowledge(outgoing, *address, up_to);
            }
        }
        Role::Unknown => {}
    }
    if rest.len() < before {
        relay.commit();
    }
    true
}
