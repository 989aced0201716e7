// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A clock and a source of randomness for simulations.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::seams::{BoxFuture, Clock, Entropy};

/// tokio's clock, which a simulation pauses. Clones share their wall time; make one for each node
/// whose wall clock may be wrong.
#[derive(Debug, Clone)]
pub struct SimClock {
    start: Instant,
    wall_start_ms: u64,
    skew_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock whose monotonic time starts at 0 now, at `wall_start_ms` since the Unix epoch.
    /// Needs a tokio runtime.
    #[must_use]
    pub fn new(wall_start_ms: u64) -> Self {
        Self {
            start: Instant::now(),
            wall_start_ms,
            skew_ms: Arc::new(AtomicI64::new(0)),
        }
    }

    /// Makes the wall clock wrong by so much from now on. The monotonic time does not change.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// The same monotonic time with a wall clock of its own, for another node.
    #[must_use]
    pub fn for_another_node(&self) -> Self {
        Self {
            skew_ms: Arc::new(AtomicI64::new(0)),
            ..self.clone()
        }
    }
}

impl Clock for SimClock {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall_ms(&self) -> u64 {
        self.wall_start_ms
            .saturating_add(self.monotonic_ms())
            .saturating_add_signed(self.skew_ms.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, monotonic_ms: u64) -> BoxFuture<'static, ()> {
        let at = self.start.checked_add(Duration::from_millis(monotonic_ms));
        Box::pin(async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => core::future::pending().await,
            }
        })
    }
}

/// Randomness that follows from a seed. Never use it for keys that protect anything.
pub struct SimEntropy(Mutex<ChaCha20Rng>);

impl SimEntropy {
    /// The stream of `label` under `seed`: streams of different labels are independent, so that
    /// what one node draws does not change what another one gets.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"waxwing simulated entropy");
        hash.update(seed.to_be_bytes());
        hash.update(label.as_bytes());
        Self(Mutex::new(ChaCha20Rng::from_seed(hash.finalize().into())))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(bytes);
    }
}

impl core::fmt::Debug for SimEntropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SimEntropy")
    }
}
