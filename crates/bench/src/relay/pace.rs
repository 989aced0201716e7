// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A steady rate, kept by a thread of its own: the timers of the runtime count in milliseconds, which is
//! more than a message takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A clock that only goes forward, in nanoseconds.
pub(super) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Tells senders in turn when each message is to be sent.
pub(super) struct Pacer {
    senders: Vec<UnboundedSender<u64>>,
    times: Vec<UnboundedReceiver<u64>>,
    interval: Duration,
}

/// The thread. It ends when this is dropped.
pub(super) struct Pacing(Arc<AtomicBool>);

impl Drop for Pacing {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Pacer {
    /// So many messages a second over so many senders.
    pub(super) fn new(count: usize, rate: f64) -> Self {
        let (senders, times) = (0..count).map(|_| unbounded_channel()).unzip();
        Self {
            senders,
            times,
            interval: Duration::from_secs_f64(1.0 / rate),
        }
    }

    /// The times of the next sender.
    pub(super) fn next_times(&mut self) -> Option<UnboundedReceiver<u64>> {
        self.times.pop()
    }

    /// Begins.
    pub(super) fn start(self) -> Pacing {
        let is_over = Arc::new(AtomicBool::new(false));
        let pacing = Pacing(Arc::clone(&is_over));
        std::thread::spawn(move || {
            let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
            let mut due = now_ns();
            for sender in self.senders.iter().cycle() {
                loop {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let wait = due.saturating_sub(now_ns());
                    if wait == 0 {
                        break;
                    }
                    std::thread::park_timeout(Duration::from_nanos(wait));
                }
                if sender.send(due).is_err() {
                    return;
                }
                due += interval;
            }
        });
        pacing
    }
}
