// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything that happens in a run, in order, as one hash; on demand also as text.

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// A log that many parts of the world write to. Clones are the same log.
#[derive(Clone)]
pub struct EventLog(Arc<Mutex<State>>);

struct State {
    hash: Sha256,
    events: u64,
    trace: bool,
}

impl EventLog {
    /// An empty log; with `trace`, every event is also printed to standard error.
    #[must_use]
    pub fn new(trace: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            hash: Sha256::new(),
            events: 0,
            trace,
        })))
    }

    /// Adds an event: when, what kind, and its bytes.
    pub fn add(&self, at_ms: u64, kind: &str, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.hash.update(at_ms.to_be_bytes());
        state.hash.update((kind.len() as u64).to_be_bytes());
        state.hash.update(kind.as_bytes());
        state.hash.update((bytes.len() as u64).to_be_bytes());
        state.hash.update(bytes);
        state.events = state.events.saturating_add(1);
        if state.trace {
            eprintln_event(at_ms, kind, bytes.len());
        }
    }

    /// The hash of all events so far, in hexadecimal digits, and their number.
    #[must_use]
    pub fn hash(&self) -> (String, u64) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = state.hash.clone().finalize();
        (data_encoding::HEXLOWER.encode(&digest), state.events)
    }
}

#[allow(clippy::print_stderr, reason = "the trace is what the user asked for")]
fn eprintln_event(at_ms: u64, kind: &str, length: usize) {
    eprintln!("{at_ms:>10} ms  {kind}  ({length} bytes)");
}
