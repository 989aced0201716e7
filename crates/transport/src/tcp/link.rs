// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One connection as a link.

use core::task::{Context, Poll};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::{Connection, HandshakeKind};
use tokio::net::TcpStream;
use waxwing_proto::KeyPin;

use super::ALPN;
use super::budget::Budget;
use super::driver::Driver;
use super::mux::{Mux, Side};
use super::places::Place;
use super::shared::{Shared, lock};
use crate::close::{CloseCode, CloseReason, StreamCode};
use crate::elsewhere::Elsewhere;
use crate::error::{LinkError, StreamError};
use crate::link::{KeyExchange, Link, LinkBackend, Transport};
use crate::seams::BoxFuture;
use crate::stream::{RecvHalf, RecvStream, SendHalf, SendStream};
use crate::tls::pins::shown_key;

/// What a link is made of: TLS whose handshake has ended, its socket, and who counts it.
pub(super) struct Parts {
    pub(super) side: Side,
    pub(super) tls: Box<Connection>,
    pub(super) stream: TcpStream,
    pub(super) remote: SocketAddr,
    pub(super) budget: Arc<Budget>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) place: Option<Place>,
}

/// Makes the link and starts its task.
///
/// # Errors
/// [`LinkError::Handshake`] when another application protocol or another key exchange was agreed on.
pub(super) fn link(parts: Parts) -> Result<Link, LinkError> {
    if parts.tls.alpn_protocol() != Some(ALPN) {
        return Err(LinkError::Handshake);
    }
    // TRN-2. T3: both sides offer nothing else, see `tls::provider`; here it is read once more.
    let group = parts.tls.negotiated_key_exchange_group();
    let group = group.and_then(|group| KeyExchange::of(group.name()));
    let group = group.ok_or(LinkError::Handshake)?;
    let mux = Mux::new(parts.side, parts.budget);
    let shared = Arc::new(Shared::new(mux, parts.tls, parts.remote));
    let driver = Driver::new(
        Arc::clone(&shared),
        parts.stream,
        parts.keep_alive,
        parts.place,
    );
    tokio::spawn(driver);
    let handle = Arc::new(Handle(shared));
    Ok(Link::new(Arc::new(TcpLink { handle, group })))
}

/// Closes the connection when the last handle and the last stream are gone.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.step(|mux| mux.close(CloseCode::Done, None));
    }
}

struct TcpLink {
    handle: Arc<Handle>,
    group: KeyExchange,
}

impl TcpLink {
    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }

    fn streams(&self, key: u32) -> (SendStream, RecvStream) {
        let place = || Half {
            handle: Arc::clone(&self.handle),
            key,
        };
        (
            SendStream::new(TcpSend(place())),
            RecvStream::new(TcpRecv(place())),
        )
    }
}

impl LinkBackend for TcpLink {
    fn open(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>> {
        Box::pin(async {
            let opened = self.shared().open().await;
            opened
                .map(|key| self.streams(key))
                .map_err(LinkError::Closed)
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>> {
        Box::pin(async {
            let accepted = self.shared().accept().await;
            accepted
                .map(|key| self.streams(key))
                .map_err(LinkError::Closed)
        })
    }

    fn exporter(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], LinkError> {
        lock(&self.shared().tls)
            .export_keying_material([0; 32], label, Some(context))
            .map_err(|_| LinkError::Handshake)
    }

    fn remote_address(&self) -> SocketAddr {
        self.shared().remote
    }

    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn negotiated_group(&self) -> KeyExchange {
        self.group
    }

    fn server_key(&self) -> Option<KeyPin> {
        match &**lock(&self.shared().tls) {
            // TRN-93. TLS gives the key on a resumed connection too.
            Connection::Client(tls) if tls.handshake_kind() != Some(HandshakeKind::Resumed) => {
                shown_key(tls.peer_certificates()?)
            }
            Connection::Client(_) => None,
            Connection::Server(_) => None,
        }
    }

    fn close(&self, code: CloseCode, retry_after_ms: Option<u32>) {
        self.shared().step(|mux| mux.close(code, retry_after_ms));
    }

    fn send_elsewhere(&self, code: CloseCode, retry_after_ms: u32, elsewhere: &Elsewhere) {
        self.shared()
            .step(|mux| mux.send_elsewhere((code, retry_after_ms), elsewhere));
    }

    fn elsewhere(&self) -> Option<Elsewhere> {
        self.shared().step(|mux| mux.elsewhere())
    }

    /// TCP cannot change its address; a ping shows whether it is alive.
    fn probe(&self) {
        self.shared().step(Mux::ping);
    }

    fn signs_of_life(&self) -> Option<u64> {
        Some(self.shared().heard())
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.shared().step(|mux| mux.close_reason())
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        // Not the handle: waiting for the end must not put it off.
        Box::pin(Arc::clone(self.shared()).closed())
    }
}

/// Names one half and keeps its link open.
struct Half {
    handle: Arc<Handle>,
    key: u32,
}

impl Half {
    fn step<T>(&self, step: impl FnOnce(&mut Mux, u32) -> T) -> T {
        self.handle.0.step(|mux| step(mux, self.key))
    }
}

struct TcpSend(Half);

impl SendHalf for TcpSend {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        self.0.step(|mux, key| mux.poll_write(key, context, bytes))
    }

    fn finish(&mut self) {
        self.0.step(Mux::finish);
    }

    fn reset(&mut self, code: StreamCode) {
        self.0.step(|mux, key| mux.reset(key, code));
    }

    fn stopped(&self) -> BoxFuture<'static, StreamError> {
        let (shared, key) = (Arc::clone(&self.0.handle.0), self.0.key);
        Box::pin(core::future::poll_fn(move |context| {
            shared.step(|mux| mux.poll_stopped(key, context))
        }))
    }

    fn set_priority(&self, priority: i32) {
        self.0.step(|mux, key| mux.set_priority(key, priority));
    }
}

impl Drop for TcpSend {
    fn drop(&mut self) {
        self.0.step(Mux::release_send);
    }
}

struct TcpRecv(Half);

impl RecvHalf for TcpRecv {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        size_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.0
            .step(|mux, key| mux.poll_read(key, context, size_max))
    }

    fn stop(&mut self, code: StreamCode) {
        self.0.step(|mux, key| mux.stop(key, code));
    }
}

impl Drop for TcpRecv {
    fn drop(&mut self) {
        self.0.step(Mux::release_recv);
    }
}
