// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the client of a sending stream is told: all that has gathered, together.

use waxwing_proto::v1;
use waxwing_proto::v1::send_response::Outcome as Answer;
use waxwing_proto::v1::sending_outcome::Outcome;
use waxwing_transport::StreamError;
use waxwing_transport::rpc::SentSink;

use crate::refusal::Refusal;

/// Outcomes that wait for a client that does not read; then nothing more is taken from it.
const WAITING_MAX: usize = 64;
/// Bytes of manifests that wait for it.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The outcomes of one stream on their way out.
pub(super) struct Outcomes {
    sink: SentSink,
    /// The numbers that are told next.
    accepted: Vec<u32>,
    /// Whether frames are queued that the link has not taken.
    unsent: bool,
    waiting: usize,
    waiting_bytes: usize,
    /// Whether the client is gone, or reads no more.
    unheard: bool,
}

impl Outcomes {
    pub(super) const fn new(sink: SentSink) -> Self {
        Self {
            sink,
            accepted: Vec::new(),
            unsent: false,
            waiting: 0,
            waiting_bytes: 0,
            unheard: false,
        }
    }

    /// Whether more may be taken that will have an outcome.
    pub(super) const fn has_room(&self) -> bool {
        self.waiting < WAITING_MAX && self.waiting_bytes < WAITING_BYTES_MAX
    }

    /// Whether something is to be flushed.
    pub(super) const fn wait(&self) -> bool {
        self.unsent || !self.accepted.is_empty()
    }

    /// Leaves an outcome for the next flush.
    pub(super) fn put(&mut self, number: u32, result: Result<v1::SendResponse, Refusal>) {
        if self.unheard {
            return;
        }
        self.waiting = self.waiting.saturating_add(1);
        let outcome = match result {
            Ok(response) => match response.outcome {
                Some(Answer::StaleDevices(stale)) => {
                    let bytes = stale.manifest.len();
                    self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
                    Outcome::StaleDevices(stale)
                }
                Some(Answer::Accepted(_)) | None => {
                    self.accepted.push(number);
                    return;
                }
            },
            Err(refusal) => Outcome::Error(refusal.to_wire()),
        };
        // Each in a frame of its own: it may hold a manifest.
        let outcome = Some(outcome);
        self.queue(&v1::Sent {
            accepted: Vec::new(),
            others: vec![v1::SendingOutcome { number, outcome }],
        });
    }

    /// Tells everything that was put. Dropped early, the rest goes out with the next call.
    ///
    /// # Errors
    /// The client is gone, or reads no more; nothing waits then, and nothing will.
    pub(super) async fn flush(&mut self) -> Result<(), StreamError> {
        if !self.accepted.is_empty() {
            let accepted = core::mem::take(&mut self.accepted);
            self.queue(&v1::Sent {
                accepted,
                others: Vec::new(),
            });
        }
        let flushed = self.sink.flush().await;
        self.unsent = false;
        self.waiting = 0;
        self.waiting_bytes = 0;
        self.unheard |= flushed.is_err();
        flushed
    }

    /// Says that nothing follows.
    pub(super) async fn finish(&mut self) {
        if !self.unheard {
            let _ = self.sink.finish().await;
        }
    }

    fn queue(&mut self, sent: &v1::Sent) {
        match self.sink.queue(sent) {
            Ok(()) => self.unsent = true,
            // No outcome is larger than a frame.
            Err(error) => tracing::error!(code = error.code(), "an outcome cannot be told"),
        }
    }
}
