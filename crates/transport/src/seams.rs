// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seams to time and randomness: [`Clock`] and [`Entropy`].
//!
//! Nothing above this crate reads a clock or draws randomness but through them, so that the same
//! code runs against the operating system (feature `platform`) and against a virtual world that
//! follows from a seed (feature `sim`).

use core::convert::Infallible;
use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;

use rand_core::{TryCryptoRng, TryRng};

/// A boxed future, for traits that have to be object safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since an arbitrary moment. Never goes back; says nothing about the date.
    fn monotonic_ms(&self) -> u64;

    /// Milliseconds since the Unix epoch. May jump in either direction: it must not by itself
    /// expire a key or a message.
    fn wall_ms(&self) -> u64;

    /// Completes once [`Clock::monotonic_ms`] has reached `monotonic_ms`. Dropping it is safe.
    fn sleep_until(&self, monotonic_ms: u64) -> BoxFuture<'static, ()>;

    /// Completes after `delay_ms` milliseconds.
    fn sleep(&self, delay_ms: u64) -> BoxFuture<'static, ()> {
        self.sleep_until(self.monotonic_ms().saturating_add(delay_ms))
    }
}

/// A source of randomness that is fit for keys.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` whole. An implementation that cannot do so ends the process: nothing that
    /// this system does is safe without randomness.
    fn fill(&self, bytes: &mut [u8]);
}

/// An [`Entropy`] as a `rand_core::CryptoRng`, for the crates that take one as an argument.
#[derive(Clone)]
pub struct EntropyRng(Arc<dyn Entropy>);

impl EntropyRng {
    /// Draws from `entropy`.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self(entropy)
    }
}

impl core::fmt::Debug for EntropyRng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EntropyRng")
    }
}

impl TryRng for EntropyRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for EntropyRng {}

/// Runs `future` for at most `delay_ms` milliseconds; `None` when the time is over.
///
/// The future is polled before the clock, so that a result that is there wins over a deadline
/// that passes in the same moment, in every run.
pub async fn within<T>(
    clock: &dyn Clock,
    delay_ms: u64,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = core::pin::pin!(future);
    // What is ready at once, and most is, needs no timer.
    let mut sleep = None;
    core::future::poll_fn(move |context| {
        use core::task::Poll;
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        let sleep = sleep.get_or_insert_with(|| clock.sleep(delay_ms));
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}
