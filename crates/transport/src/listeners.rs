// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several listeners as one: a server that takes connections over QUIC and over TCP.

use core::future::poll_fn;
use core::task::Poll;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::link::{Link, Listener};
use crate::seams::BoxFuture;

/// Takes links from each of its listeners in turn.
pub struct Listeners {
    listeners: Vec<Arc<dyn Listener>>,
    /// Who is asked first the next time, so that none can starve another.
    turn: AtomicUsize,
}

impl Listeners {
    /// The listeners as one.
    #[must_use]
    pub const fn new(listeners: Vec<Arc<dyn Listener>>) -> Self {
        Self {
            listeners,
            turn: AtomicUsize::new(0),
        }
    }
}

impl Listener for Listeners {
    fn accept(&self) -> BoxFuture<'_, Option<Link>> {
        let count = self.listeners.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(count).unwrap_or(0);
        let (before, after) = self.listeners.split_at_checked(first).unwrap_or_default();
        let mut accepting: Vec<Option<BoxFuture<'_, Option<Link>>>> = after
            .iter()
            .chain(before)
            .map(|listener| Some(listener.accept()))
            .collect();
        Box::pin(poll_fn(move |context| {
            let mut waits = false;
            for slot in &mut accepting {
                let Some(future) = slot else {
                    continue;
                };
                match future.as_mut().poll(context) {
                    Poll::Ready(Some(link)) => return Poll::Ready(Some(link)),
                    // This one has ended; the others may go on.
                    Poll::Ready(None) => *slot = None,
                    Poll::Pending => waits = true,
                }
            }
            if waits {
                Poll::Pending
            } else {
                Poll::Ready(None)
            }
        }))
    }

    fn stop_accepting(&self) {
        for listener in &self.listeners {
            listener.stop_accepting();
        }
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop_accepting();
            for listener in &self.listeners {
                listener.drain().await;
            }
        })
    }

    /// That of the first.
    fn local_address(&self) -> Option<SocketAddr> {
        self.listeners
            .first()
            .and_then(|listener| listener.local_address())
    }
}

impl core::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Listeners")
            .field("count", &self.listeners.len())
            .finish_non_exhaustive()
    }
}
