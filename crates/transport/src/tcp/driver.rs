// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The task of one connection: between the socket, TLS and the multiplexer.
//!
//! It has no buffers of its own. What it reads goes through a buffer of the thread into the stream
//! that it is for; what it writes is put together in another one and encrypted at once. So an idle
//! connection is this small future, the state of TLS and the table of its streams.

use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, BufRead as _, ErrorKind, Write as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::Connection;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use waxwing_proto::limits;

use super::mux::{Mux, PLAINTEXT_SIZE_MAX};
use super::places::Place;
use super::shared::{Shared, lock};
use super::socket::{Nothing, Now};
use crate::close::CloseReason;

/// What one read takes from the socket, in bytes.
const READ_SIZE: usize = 64 * 1024;
/// Reads of more than this leave a large buffer in TLS, in bytes.
const SMALL_READ_SIZE: usize = 4 * 1024;
/// Rounds of reading and writing before other tasks have their turn.
const ROUNDS: usize = 4;
/// Records that are encrypted before the socket is asked to take them: a message of some kilobytes more
/// than one record is then one system call. What a peer that does not read leaves here is bounded by it.
const RECORDS_TOGETHER: usize = 3;
/// Times that the socket is asked before other tasks have their turn.
const WRITES: usize = 6;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
    static OUTPUT: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(PLAINTEXT_SIZE_MAX));
}

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What came with the end of the handshake is looked at first.
    Begun,
    Open,
    /// It is over; the peer is being told.
    Telling,
    /// The peer was told, by TLS too.
    Told,
    /// What still comes is discarded: a socket that is closed with unread bytes may discard what
    /// it has sent.
    Lingering,
}

/// The future of one connection; it completes when the connection is over and the peer was told.
pub(super) struct Driver {
    shared: Arc<Shared>,
    stream: TcpStream,
    phase: Phase,
    heard_at: Instant,
    pinged_at: Instant,
    keep_alive: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    has_large_buffer: bool,
    _place: Option<Place>,
}

impl Driver {
    /// `keep_alive` is how often a silent peer is asked for a sign of life. `place` is held until
    /// the end.
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: TcpStream,
        keep_alive: Option<Duration>,
        place: Option<Place>,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared,
            stream,
            phase: Phase::Begun,
            heard_at: now,
            pinged_at: now,
            keep_alive,
            timer: Box::pin(tokio::time::sleep_until(now)),
            has_large_buffer: true,
            _place: place,
        }
    }

    /// Reads once. Ready when there may be more.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        if self.phase == Phase::Begun {
            self.phase = Phase::Open;
            drain(&mut lock(&self.shared.tls), &self.shared)?;
            return Poll::Ready(Ok(()));
        }
        INPUT.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            if read.is_pending() && core::mem::take(&mut self.has_large_buffer) {
                let _ = lock(&self.shared.tls).read_tls(&mut Nothing);
            }
            ready!(read).map_err(|error| reason(&error))?;
            let input = buffer.filled();
            if input.is_empty() {
                // TRN-48: whoever ends a connection in order says so; this peer was killed.
                return Poll::Ready(Err(CloseReason::Reset));
            }
            self.heard_at = Instant::now();
            self.shared.note_heard();
            self.has_large_buffer |= input.len() > SMALL_READ_SIZE;
            if self.phase == Phase::Open {
                let mut tls = lock(&self.shared.tls);
                feed(&mut tls, input, &self.shared).inspect_err(|_| {
                    // The alert, as far as the socket takes it.
                    let _ = tls.write_tls(&mut Now(&self.stream));
                })?;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Writes all that there is. Pending while the socket takes no more.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        if self.phase == Phase::Lingering {
            return Poll::Ready(Ok(()));
        }
        let mut tls = lock(&self.shared.tls);
        for _ in 0..WRITES {
            while tls.wants_write() {
                match tls.write_tls(&mut Now(&self.stream)) {
                    Ok(0) => return Poll::Ready(Err(CloseReason::Reset)),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        ready!(self.stream.poll_write_ready(context))
                            .map_err(|error| reason(&error))?;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(reason(&error))),
                }
            }
            let wrote = encrypt(&mut tls, &self.shared);
            match (wrote, self.phase) {
                (Ok(true), _) => {}
                (Ok(false), Phase::Telling) => {
                    self.phase = Phase::Told;
                    tls.send_close_notify();
                }
                (Ok(false), Phase::Told) => {
                    self.phase = Phase::Lingering;
                    let _ = Pin::new(&mut self.stream).poll_shutdown(context);
                    return Poll::Ready(Ok(()));
                }
                (Ok(false), _) => return Poll::Ready(Ok(())),
                (Err(_), _) => return Poll::Ready(Err(CloseReason::Fault)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when the time of the connection is over. Asks for signs of life before that.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // It is not set anew with each packet: when it rings, the times decide.
            ready!(self.timer.as_mut().poll(context));
            if self.phase != Phase::Open {
                return Poll::Ready(());
            }
            let now = Instant::now();
            let idle = Duration::from_millis(u64::from(limits::IDLE_TIMEOUT_MS));
            let mut next = later(self.heard_at, idle);
            if now >= next {
                self.shared.step(|mux| mux.end(CloseReason::TimedOut, None));
                return Poll::Ready(());
            }
            if let Some(keep_alive) = self.keep_alive {
                if now >= later(self.heard_at.max(self.pinged_at), keep_alive) {
                    self.pinged_at = now;
                    self.shared.step(Mux::ping);
                }
                next = next.min(later(self.heard_at.max(self.pinged_at), keep_alive));
            }
            self.timer.as_mut().reset(next);
        }
    }

    /// Looks whether the connection is over; ready when the peer need not be told.
    fn poll_over(&mut self) -> Poll<()> {
        match self.shared.step(|mux| mux.close_reason()) {
            None => Poll::Pending,
            Some(CloseReason::Peer { .. }) => Poll::Ready(()),
            Some(_) => {
                if self.phase == Phase::Open {
                    self.phase = Phase::Telling;
                    let linger = Duration::from_millis(u64::from(limits::TCP_LINGER_MS));
                    self.timer.as_mut().reset(later(Instant::now(), linger));
                }
                Poll::Pending
            }
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.step(|mux| mux.set_driver(context.waker()));
        for _ in 0..ROUNDS {
            let read = this.poll_read(context);
            if let Poll::Ready(Err(reason)) = read {
                this.shared.step(|mux| mux.end(reason, None));
                return Poll::Ready(());
            }
            if this.poll_over().is_ready() {
                return Poll::Ready(());
            }
            if let Poll::Ready(Err(reason)) = this.poll_write(context) {
                this.shared.step(|mux| mux.end(reason, None));
                return Poll::Ready(());
            }
            if this.poll_timer(context).is_ready() {
                return Poll::Ready(());
            }
            if read.is_pending() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Its runtime ended before the connection did.
        self.shared.step(|mux| mux.end(CloseReason::Fault, None));
    }
}

/// Encrypts what is to be sent, as far as it is written together; TLS has nothing to write. Whether there
/// was anything.
fn encrypt(tls: &mut Connection, shared: &Shared) -> io::Result<bool> {
    OUTPUT.with_borrow_mut(|output| {
        shared.step(Mux::sent);
        let mut any = false;
        for _ in 0..RECORDS_TOGETHER {
            output.clear();
            // What is encrypted has its place in the order: of an attachment that is one record.
            let composed = shared.step(|mux| {
                let composes = !any || mux.is_urgent();
                if composes {
                    mux.compose(output);
                }
                composes
            });
            if !composed || output.is_empty() {
                break;
            }
            tls.writer().write_all(output)?;
            any = true;
        }
        Ok(any)
    })
}

/// Gives the bytes to TLS, and what comes out of it to the multiplexer.
fn feed(tls: &mut Connection, mut input: &[u8], shared: &Shared) -> Result<(), CloseReason> {
    while !input.is_empty() {
        let taken = tls.read_tls(&mut input).map_err(|_| CloseReason::Fault)?;
        if taken == 0 {
            // After the peer's close_notify nothing is taken.
            return Err(CloseReason::Reset);
        }
        tls.process_new_packets().map_err(|_| CloseReason::Fault)?;
        drain(tls, shared)?;
    }
    Ok(())
}

fn drain(tls: &mut Connection, shared: &Shared) -> Result<(), CloseReason> {
    let mut reader = tls.reader();
    loop {
        let size = match reader.fill_buf() {
            Ok(plaintext) if !plaintext.is_empty() => {
                shared.step(|mux| mux.receive(plaintext));
                plaintext.len()
            }
            // The end of the peer's side, by a close_notify; its socket ends, too.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(reason(&error)),
        };
        reader.consume(size);
    }
}

fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => CloseReason::Reset,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            CloseReason::TimedOut
        }
        _ => CloseReason::Fault,
    }
}

/// A time so far away that it cannot be expressed is never; this is not.
fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or(from)
}
