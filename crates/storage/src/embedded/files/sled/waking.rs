// SPDX-License-Identifier: Apache-2.0 OR MIT
//! G7: a flush that sled would let wait for ever is woken.
//!
//! sled 0.34.7 writes a buffer in whichever thread leaves it last. Where that write fails in
//! `Log::exit_reservation`, the error is kept and nobody is told, so a flush that waits already does
//! not hear of it (the other place that writes a buffer does tell). Any flush that begins after the
//! error finds it, wakes all others, and fails, as they do then. So while one takes long, others are begun,
//! in threads of their own and ever more rarely: on a disk that is merely slow they wait with the first.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a flush may take before another one is begun; after each the time is doubled.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest time between two of them.
const PATIENCE_MAX: Duration = Duration::from_secs(300);

#[derive(Default)]
struct State {
    /// How many flushes have begun.
    begun: u64,
    is_flushing: bool,
    /// The waker looks at the state by itself before long.
    is_awake: bool,
    closing: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands by while flushes are made.
pub(super) struct Waker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Waker {
    /// `flush` is what is begun beside a flush that takes long.
    pub(super) fn start(flush: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        Self::with_patience(PATIENCE, Arc::new(flush))
    }

    fn with_patience(patience: Duration, flush: Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("store-waker".to_owned())
                .spawn(move || while watch(&shared, patience, &flush) {})?
        };
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Runs a flush.
    pub(super) fn during<T>(&self, flush: impl FnOnce() -> T) -> T {
        let mut state = self.shared.state();
        state.begun = state.begun.wrapping_add(1);
        state.is_flushing = true;
        let is_awake = state.is_awake;
        drop(state);
        if !is_awake {
            self.shared.changed.notify_one();
        }
        let _ended = Ended(&self.shared);
        flush()
    }
}

/// However a flush ends, it is not waited for.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state().is_flushing = false;
    }
}

/// Waits for a flush and looks after it; `false` when there will be no more.
fn watch(shared: &Shared, patience: Duration, flush: &Arc<dyn Fn() + Send + Sync>) -> bool {
    let mut state = shared.state();
    while !state.is_flushing && !state.closing {
        state.is_awake = false;
        state = shared
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
    state.is_awake = true;
    let seen = state.begun;
    let mut wait = patience;
    let mut waited = Duration::ZERO;
    loop {
        let (after, timeout) = shared
            .changed
            .wait_timeout_while(state, wait, |state| !state.closing)
            .unwrap_or_else(PoisonError::into_inner);
        state = after;
        if !timeout.timed_out() {
            return false;
        }
        if !state.is_flushing || state.begun != seen {
            return true;
        }
        waited = waited.saturating_add(wait);
        wait = wait.saturating_mul(2).min(PATIENCE_MAX);
        drop(state);
        tracing::warn!(
            seconds = waited.as_secs(),
            "the disk has not made the store's rows durable for long"
        );
        let flush = Arc::clone(flush);
        let begun = thread::Builder::new()
            .name("store-flush".to_owned())
            .spawn(move || flush());
        if let Err(error) = begun {
            tracing::warn!("no thread could be started: {}", error.kind());
        }
        state = shared.state();
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(code = "store_bug", "the waker panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flush as sled's: those that wait hear of an error from one that begins after it.
    #[derive(Default)]
    struct Flushes {
        has_failed: Mutex<bool>,
        told: Condvar,
    }

    impl Flushes {
        /// Waits until another flush tells.
        fn wait(&self) {
            let mut has_failed = self.has_failed.lock().unwrap();
            while !*has_failed {
                has_failed = self.told.wait(has_failed).unwrap();
            }
        }

        fn tell(&self) {
            *self.has_failed.lock().unwrap() = true;
            self.told.notify_all();
        }
    }

    #[test]
    fn a_flush_that_nobody_wakes_is_woken_by_another_one() {
        let flushes = Arc::new(Flushes::default());
        let waker = {
            let flushes = Arc::clone(&flushes);
            Waker::with_patience(Duration::from_millis(1), Arc::new(move || flushes.tell()))
        };
        let waker = waker.unwrap();
        // Many that end at once come before.
        for _ in 0..100 {
            waker.during(|| ());
        }
        waker.during(|| flushes.wait());
    }

    #[test]
    fn an_error_that_comes_after_the_first_try_is_found_by_a_later_one() {
        let flushes = Arc::new(Flushes::default());
        let tries = Arc::new(Mutex::new(0));
        let waker = {
            let (flushes, tries) = (Arc::clone(&flushes), Arc::clone(&tries));
            let flush = move || {
                let mut tries = tries.lock().unwrap();
                *tries += 1;
                if *tries == 3 {
                    flushes.tell();
                }
            };
            Waker::with_patience(Duration::from_millis(1), Arc::new(flush)).unwrap()
        };
        waker.during(|| flushes.wait());
        drop(waker);
        assert!(*tries.lock().unwrap() >= 3);
    }

    #[test]
    fn a_waker_ends_whether_it_was_used_or_not() {
        let unused = Waker::start(|| ()).unwrap();
        drop(unused);
        let used = Waker::start(|| ()).unwrap();
        assert_eq!(used.during(|| 7), 7);
        drop(used);
    }
}
