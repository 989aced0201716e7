// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One QUIC connection as a link.

use core::pin::pin;
use core::task::{Context, Poll};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, Endpoint, ReadError, StoppedError, VarInt, WriteError};
use rustls::pki_types::CertificateDer;
use waxwing_proto::KeyPin;

use super::ALPN;
use super::admission::Place;
use super::packets::Packets;
use super::unshown::Guest;
use crate::close::{CloseCode, CloseReason, StreamCode};
use crate::elsewhere::Elsewhere;
use crate::error::{LinkError, StreamError};
use crate::link::{KeyExchange, Link, LinkBackend, Transport};
use crate::seams::BoxFuture;
use crate::stream::{RecvHalf, RecvStream, SendHalf, SendStream};
use crate::tls::pins::shown_key;

/// A client's end of the path: the socket of one link.
pub(super) struct Local {
    pub(super) endpoint: Endpoint,
    pub(super) packets: Arc<dyn Packets>,
    /// The wildcard address of the server's address family.
    pub(super) any: SocketAddr,
}

impl Local {
    /// Goes on from a new socket, with a PING. Failing to get one leaves the old one.
    ///
    /// T6: without this a packet that was lost in an outage is sent again only when the probe timer
    /// fires, which has doubled with each loss. The acknowledgement of the PING shows what was
    /// lost; and as the server sees another address, its PATH_CHALLENGE (RFC 9000, section 9.3)
    /// makes this side acknowledge, which does the same for what the server has sent.
    fn probe(&self) {
        let socket = self.packets.bind(self.any);
        let moved = socket.map(|(socket, _)| self.endpoint.rebind_abstract(socket));
        if !matches!(moved, Ok(Ok(()))) {
            tracing::debug!("no new socket for a probe");
        }
    }
}

/// What belongs to one end of a connection and lives as long as it.
pub(super) enum End {
    Client(Local),
    Server(
        #[allow(dead_code, reason = "they are counted until they are dropped")] Arc<(Place, Guest)>,
    ),
}

/// Closes the connection when the last handle and the last stream are gone.
struct Handle {
    connection: Connection,
    end: End,
    closed_with: Arc<OnceLock<CloseCode>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close(CloseCode::Done, None, None);
    }
}

impl Handle {
    /// The reason on the wire: when to call again (u32), and perhaps where.
    fn close(&self, code: CloseCode, retry_after_ms: Option<u32>, elsewhere: Option<&Elsewhere>) {
        // TRN-70, TRN-71.
        let _ = self.closed_with.set(code);
        let mut reason = Vec::new();
        if retry_after_ms.is_some() || elsewhere.is_some() {
            reason.extend_from_slice(&retry_after_ms.unwrap_or(0).to_be_bytes());
        }
        if let Some(elsewhere) = elsewhere {
            reason.extend_from_slice(&elsewhere.to_wire());
        }
        self.connection
            .close(VarInt::from_u32(code.to_wire()), &reason);
    }

    fn reason(&self, error: &ConnectionError) -> CloseReason {
        close_reason(error, &self.closed_with)
    }
}

/// One connection as a link.
pub(super) struct QuicLink {
    handle: Arc<Handle>,
    /// A stream that was accepted before the link was there.
    accepted: Mutex<Option<(quinn::SendStream, quinn::RecvStream)>>,
}

impl QuicLink {
    /// Wraps a connection of which both sides' first flights are known.
    ///
    /// # Errors
    /// [`LinkError::Handshake`] when another application protocol was agreed on.
    pub(super) fn new(connection: Connection, end: End) -> Result<Self, LinkError> {
        let handshake = connection
            .handshake_data()
            .and_then(|it| it.downcast::<HandshakeData>().ok());
        if handshake.and_then(|it| it.protocol).as_deref() != Some(ALPN) {
            let code = CloseCode::ProtocolViolation.to_wire();
            connection.close(VarInt::from_u32(code), &[]);
            return Err(LinkError::Handshake);
        }
        let handle = Handle {
            connection,
            end,
            closed_with: Arc::new(OnceLock::new()),
        };
        Ok(Self {
            handle: Arc::new(handle),
            accepted: Mutex::new(None),
        })
    }

    /// The stream is what the link's next `accept` gives.
    pub(super) fn accepting(self, stream: (quinn::SendStream, quinn::RecvStream)) -> Self {
        Self {
            accepted: Mutex::new(Some(stream)),
            ..self
        }
    }

    pub(super) fn into_link(self) -> Link {
        Link::new(Arc::new(self))
    }

    /// What the server says on a stream of which this side has said all.
    pub(super) fn receiving(&self, stream: quinn::RecvStream) -> RecvStream {
        RecvStream::new(QuicRecv {
            stream,
            pieces: Vec::new(),
            is_large: false,
            handle: Arc::clone(&self.handle),
        })
    }

    fn streams(
        &self,
        (send, recv): (quinn::SendStream, quinn::RecvStream),
    ) -> (SendStream, RecvStream) {
        let send = QuicSend {
            stream: send,
            handle: Arc::clone(&self.handle),
        };
        (SendStream::new(send), self.receiving(recv))
    }

    fn over(&self, error: &ConnectionError) -> LinkError {
        LinkError::Closed(self.handle.reason(error))
    }
}

impl LinkBackend for QuicLink {
    fn open(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>> {
        Box::pin(async {
            let opened = self.handle.connection.open_bi().await;
            opened
                .map(|halves| self.streams(halves))
                .map_err(|error| self.over(&error))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<(SendStream, RecvStream), LinkError>> {
        let mut first = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(halves) = first.take() {
            let streams = self.streams(halves);
            return Box::pin(core::future::ready(Ok(streams)));
        }
        Box::pin(async {
            let accepted = self.handle.connection.accept_bi().await;
            accepted
                .map(|halves| self.streams(halves))
                .map_err(|error| self.over(&error))
        })
    }

    fn exporter(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], LinkError> {
        let mut value = [0; 32];
        self.handle
            .connection
            .export_keying_material(&mut value, label, context)
            .map_err(|_| LinkError::Handshake)?;
        Ok(value)
    }

    fn remote_address(&self) -> SocketAddr {
        self.handle.connection.remote_address()
    }

    fn transport(&self) -> Transport {
        Transport::Quic
    }

    /// T3: both sides offer nothing else, see `tls::provider`, and whoever does is refused: quinn tells
    /// nobody what was agreed on.
    fn negotiated_group(&self) -> KeyExchange {
        KeyExchange::X25519MlKem768
    }

    fn server_key(&self) -> Option<KeyPin> {
        if matches!(self.handle.end, End::Server(_)) {
            return None;
        }
        let shown = self.handle.connection.peer_identity()?;
        let shown = shown.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        shown_key(&shown)
    }

    fn close(&self, code: CloseCode, retry_after_ms: Option<u32>) {
        self.handle.close(code, retry_after_ms, None);
    }

    fn send_elsewhere(&self, code: CloseCode, retry_after_ms: u32, elsewhere: &Elsewhere) {
        self.handle
            .close(code, Some(retry_after_ms), Some(elsewhere));
    }

    fn elsewhere(&self) -> Option<Elsewhere> {
        match self.handle.connection.close_reason()? {
            ConnectionError::ApplicationClosed(close) => {
                let (_, bytes) = close.reason.split_first_chunk::<4>()?;
                Elsewhere::from_wire(bytes).ok()
            }
            _ => None,
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        let error = self.handle.connection.close_reason()?;
        Some(self.handle.reason(&error))
    }

    fn probe(&self) {
        // The server's socket stays where it is: only clients move (RFC 9000, section 9).
        if let End::Client(local) = &self.handle.end {
            local.probe();
        }
    }

    fn signs_of_life(&self) -> Option<u64> {
        // Counted after decryption: nobody but the peer makes it grow.
        Some(self.handle.connection.stats().frame_rx.acks)
    }

    fn round_trip_ms(&self) -> Option<u64> {
        u64::try_from(self.handle.connection.rtt().as_millis()).ok()
    }

    fn update_keys(&self) {
        self.handle.connection.force_key_update();
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        // Not the handle: waiting for the end must not put it off.
        let connection = self.handle.connection.clone();
        let closed_with = Arc::clone(&self.handle.closed_with);
        Box::pin(async move { close_reason(&connection.closed().await, &closed_with) })
    }
}

fn close_reason(error: &ConnectionError, closed_with: &OnceLock<CloseCode>) -> CloseReason {
    match error {
        ConnectionError::LocallyClosed => {
            CloseReason::Local(closed_with.get().copied().unwrap_or(CloseCode::Done))
        }
        ConnectionError::ApplicationClosed(close) => CloseReason::Peer {
            code: CloseCode::from_wire(narrow(close.error_code)),
            retry_after_ms: close
                .reason
                .first_chunk::<4>()
                .map(|bytes| u32::from_be_bytes(*bytes)),
        },
        ConnectionError::TimedOut => CloseReason::TimedOut,
        ConnectionError::Reset => CloseReason::Reset,
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::CidsExhausted => CloseReason::Fault,
    }
}

/// Codes beyond 32 bits are nobody's; they read as the largest one.
fn narrow(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}

struct QuicSend {
    stream: quinn::SendStream,
    handle: Arc<Handle>,
}

impl SendHalf for QuicSend {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        // The future holds no state of its own: what it wrote, `bytes` no longer has.
        let chunks = core::slice::from_mut(bytes);
        let written = pin!(self.stream.write_chunks(chunks)).poll(context);
        written.map(|written| match written {
            Ok(_) => Ok(()),
            Err(WriteError::Stopped(code)) => {
                Err(StreamError::Stopped(StreamCode::from_wire(narrow(code))))
            }
            Err(WriteError::ConnectionLost(error)) => {
                Err(StreamError::Closed(self.handle.reason(&error)))
            }
            Err(WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
                Err(StreamError::Finished)
            }
        })
    }

    fn finish(&mut self) {
        // It only fails where it was done before.
        let _ = self.stream.finish();
    }

    fn reset(&mut self, code: StreamCode) {
        let _ = self.stream.reset(VarInt::from_u32(code.to_wire()));
    }

    fn stopped(&self) -> BoxFuture<'static, StreamError> {
        let stopped = self.stream.stopped();
        let closed_with = Arc::clone(&self.handle.closed_with);
        Box::pin(async move {
            match stopped.await {
                Ok(Some(code)) => StreamError::Stopped(StreamCode::from_wire(narrow(code))),
                Ok(None) | Err(StoppedError::ZeroRttRejected) => StreamError::Finished,
                Err(StoppedError::ConnectionLost(error)) => {
                    StreamError::Closed(close_reason(&error, &closed_with))
                }
            }
        })
    }

    fn set_priority(&self, priority: i32) {
        // It only fails where nothing will be sent any more.
        let _ = self.stream.set_priority(priority);
    }
}

/// Pieces that are taken from quinn at a time, each what one packet brought: as many as most calls
/// have, and then as many as large ones need.
const PIECES: usize = 3;
const PIECES_MAX: usize = 16;

struct QuicRecv {
    stream: quinn::RecvStream,
    /// What was taken from quinn and not read yet, in reverse order: at most [`PIECES_MAX`] pieces.
    pieces: Vec<Bytes>,
    /// Whether it ever brought [`PIECES`] or more at a time.
    is_large: bool,
    handle: Arc<Handle>,
}

impl QuicRecv {
    /// Takes up to `N` pieces from quinn, and gives the first. The others are kept.
    fn poll_pieces<const N: usize>(
        &mut self,
        context: &mut Context<'_>,
        size_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let mut pieces = [const { Bytes::new() }; N];
        let read = pin!(self.stream.read_chunks(&mut pieces)).poll(context);
        read.map(|read| match read {
            Ok(None) => Ok(None),
            Ok(Some(count)) => {
                self.is_large |= count >= PIECES;
                let taken = pieces.iter_mut().take(count).skip(1).rev();
                self.pieces.extend(taken.map(core::mem::take));
                let mut first = pieces.first_mut().map(core::mem::take).unwrap_or_default();
                if first.len() > size_max {
                    self.pieces.push(first.split_off(size_max));
                }
                Ok(Some(first))
            }
            Err(ReadError::Reset(code)) => {
                Err(StreamError::Reset(StreamCode::from_wire(narrow(code))))
            }
            Err(ReadError::ConnectionLost(error)) => {
                Err(StreamError::Closed(self.handle.reason(&error)))
            }
            Err(
                ReadError::ClosedStream
                | ReadError::IllegalOrderedRead
                | ReadError::ZeroRttRejected,
            ) => Err(StreamError::Finished),
        })
    }
}

impl RecvHalf for QuicRecv {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        size_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        if let Some(mut piece) = self.pieces.pop() {
            if piece.len() > size_max {
                self.pieces.push(piece.split_off(size_max));
            }
            return Poll::Ready(Ok(Some(piece)));
        }
        if self.is_large {
            self.poll_pieces::<PIECES_MAX>(context, size_max)
        } else {
            self.poll_pieces::<PIECES>(context, size_max)
        }
    }

    fn stop(&mut self, code: StreamCode) {
        self.pieces = Vec::new();
        // It only fails where everything was read before.
        let _ = self.stream.stop(VarInt::from_u32(code.to_wire()));
    }

    fn is_early(&self) -> bool {
        self.stream.is_0rtt()
    }
}
