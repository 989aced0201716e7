// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the driver of a connection and the holders of its link have in common.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::Connection;
use tokio::sync::Notify;

use super::mux::{Mux, News};
use crate::close::CloseReason;

/// One connection. There is no buffer in here: what came lies in the streams that it came for, and
/// what is to be sent is put together in a buffer of the thread.
pub(super) struct Shared {
    mux: Mutex<Mux>,
    /// Held by the driver while it reads or writes.
    pub(super) tls: Mutex<Box<Connection>>,
    pub(super) remote: SocketAddr,
    /// How often something was heard from the peer.
    heard: AtomicU64,
    arrived: Notify,
    room: Notify,
    over: Notify,
}

impl Shared {
    pub(super) fn new(mux: Mux, tls: Box<Connection>, remote: SocketAddr) -> Self {
        Self {
            mux: Mutex::new(mux),
            tls: Mutex::new(tls),
            remote,
            heard: AtomicU64::new(0),
            arrived: Notify::new(),
            room: Notify::new(),
            over: Notify::new(),
        }
    }

    /// Does one step at the multiplexer, and tells those who wait for what came of it.
    pub(super) fn step<T>(&self, step: impl FnOnce(&mut Mux) -> T) -> T {
        let (outcome, news) = {
            let mut mux = lock(&self.mux);
            (step(&mut mux), mux.take_news())
        };
        let News {
            arrived,
            room,
            over,
        } = news;
        if arrived {
            self.arrived.notify_waiters();
        }
        if room {
            self.room.notify_waiters();
        }
        if over {
            self.over.notify_waiters();
        }
        outcome
    }

    /// Something was heard from the peer.
    pub(super) fn note_heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was heard from the peer.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Opens a stream, when the peer allows it.
    pub(super) async fn open(&self) -> Result<u32, CloseReason> {
        loop {
            let mut changed = core::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            if let Some(key) = self.step(Mux::open)? {
                return Ok(key);
            }
            changed.await;
        }
    }

    /// Waits for a stream of the peer.
    pub(super) async fn accept(&self) -> Result<u32, CloseReason> {
        loop {
            let mut changed = core::pin::pin!(self.arrived.notified());
            changed.as_mut().enable();
            if let Some(key) = self.step(Mux::accept)? {
                return Ok(key);
            }
            changed.await;
        }
    }

    /// Waits for the end.
    pub(super) async fn closed(self: Arc<Self>) -> CloseReason {
        loop {
            let mut changed = core::pin::pin!(self.over.notified());
            changed.as_mut().enable();
            if let Some(reason) = self.step(|mux| mux.close_reason()) {
                return reason;
            }
            changed.await;
        }
    }
}

/// A thread that panicked with the lock has stopped the process; tests go on.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
