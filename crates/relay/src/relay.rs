// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The relay as a whole: takes links, serves each in a task, sweeps, drains.

use std::sync::Arc;

use tokio::task::JoinSet;
use waxwing_proto::KeyPin;
use waxwing_storage::StoreError;
use waxwing_storage::server::Store;
use waxwing_transport::{Clock, CloseCode, Elsewhere, Entropy, Link, Listener, within};

use crate::admission::Rates;
use crate::census::Census;
use crate::state::State;
use crate::wake::WakeBus;
use crate::{connection, retention};

/// How long a drain may take before what is left is cut off, in milliseconds.
const DRAIN_MS_MAX: u64 = 4_000;

/// What a relay needs from the world beside its store and its links.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Hints from senders to subscriptions.
    pub wake_bus: Arc<dyn WakeBus>,
}

/// What an operator decides.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether accounts are registered without an invite.
    pub open_registration: bool,
    /// By which keys clients know the server from now on: the one that its listeners show, then the one
    /// that is to follow. Told to each client that authenticates; nothing is told where there is none.
    pub key_pins: Vec<KeyPin>,
    /// The rate limits.
    pub rates: Rates,
}

/// A server core over a store. Clones are handles to the same relay.
pub struct Relay<S> {
    state: Arc<State<S>>,
}

impl<S> Clone for Relay<S> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<S: Store> Relay<S> {
    /// A relay that serves nobody yet.
    #[must_use]
    pub fn new(store: Arc<S>, seams: Seams, settings: Settings) -> Self {
        Self {
            state: Arc::new(State::new(store, seams, settings)),
        }
    }

    /// Takes links from `listener` and serves them until the relay has drained, or until the store
    /// has failed: then every link is cut, because an answer could not be trusted any more.
    ///
    /// Dropping the future ends every task of the relay at once, as a crash would.
    ///
    /// # Errors
    /// The failure of the store. The process should end and open the store anew.
    pub async fn serve(&self, listener: Arc<dyn Listener>) -> Result<(), StoreError> {
        let mut tasks = JoinSet::new();
        let mut sweep = JoinSet::new();
        sweep.spawn(retention::sweep_daily(Arc::clone(&self.state)));
        let draining = self.state.draining();
        let mut failure = core::pin::pin!(self.state.failure());
        loop {
            tokio::select! {
                biased;
                error = &mut failure => {
                    listener.stop_accepting();
                    return Err(error);
                }
                () = draining.started() => break,
                Some(_) = tasks.join_next() => {}
                link = listener.accept() => match link {
                    Some(link) => {
                        tasks.spawn(connection::serve(Arc::clone(&self.state), link));
                    }
                    None => break,
                },
            }
        }
        listener.stop_accepting();
        self.drain();
        let finished = async {
            while tasks.join_next().await.is_some() {}
            listener.drain().await;
        };
        let clock = &self.state.clock;
        tokio::select! {
            biased;
            error = &mut failure => Err(error),
            in_time = within(&**clock, DRAIN_MS_MAX, finished) => {
                if in_time.is_none() {
                    tracing::warn!("some connections did not end in time and were cut");
                }
                Ok(())
            }
        }
    }

    /// Serves one link until it is over. For worlds that hand links over themselves.
    pub async fn serve_link(&self, link: Link) {
        let closing = link.clone();
        tokio::select! {
            biased;
            _ = self.state.failure() => closing.close(CloseCode::ShuttingDown),
            () = connection::serve(Arc::clone(&self.state), link) => {}
        }
    }

    /// Asks the relay to end: no new link and no new call is taken, what was accepted is finished.
    /// [`Relay::serve`] then returns.
    pub fn drain(&self) {
        // TRN-23.
        self.state.start_drain(None);
    }

    /// As [`Relay::drain`], and sends the clients to another address of the same server.
    pub fn drain_to(&self, elsewhere: Elsewhere) {
        self.state.start_drain(Some(elsewhere));
    }

    /// Completes when the store has failed.
    pub async fn failed(&self) -> StoreError {
        self.state.failure().await
    }

    /// How many connections there are.
    #[must_use]
    pub fn census(&self) -> &Arc<Census> {
        &self.state.census
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.state.store
    }
}
