// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A steady rate, kept by a thread of its own: the timers of the runtime count in milliseconds, which is
//! more than a message takes. What is due in one tick is due at its beginning, so that the thread does
//! not cost more than the messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How often messages are due.
const TICK: Duration = Duration::from_micros(250);

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
    each_tick: f64,
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
            each_tick: rate * TICK.as_secs_f64(),
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
            let tick = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX);
            let (mut due, mut owed) = (now_ns(), 0.0);
            for sender in self.senders.iter().cycle() {
                while owed < 1.0 {
                    due += tick;
                    owed += self.each_tick;
                    while let Some(wait) = due.checked_sub(now_ns()).filter(|wait| *wait > 0) {
                        std::thread::park_timeout(Duration::from_nanos(wait));
                    }
                }
                owed -= 1.0;
                if is_over.load(Ordering::Relaxed) || sender.send(due).is_err() {
                    return;
                }
            }
        });
        pacing
    }
}
