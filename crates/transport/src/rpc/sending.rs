// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client's side of a sending stream: many `send` calls on one stream, without a stream for each.
//!
//! A task has the stream as long as the connection is in use and the stream is not idle. Frames that wait go out together, and
//! so do answers; outcomes come in whatever order the server knows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use waxwing_proto::{limits, v1};

use super::client::{receive_response, refused, request_on};
use crate::error::{CallError, StreamError};
use crate::link::Link;
use crate::seams::{Clock, within};
use crate::stream::{RecvStream, SendStream};

/// The largest `send` call that goes this way, in bytes: with its number and its deadline it fits a
/// frame. A larger one would hold up those behind it.
pub(super) const SENDING_SIZE_MAX: usize = limits::CONTROL_FRAME_SIZE_MAX - 32;

/// A stream on which nothing is under way for so long is ended, in milliseconds; the next call opens
/// another one. Less than after which a server ends it, so that no call meets that.
const IDLE_MS: u64 = limits::SENDING_IDLE_MS as u64 / 2;

type Outcome = Result<v1::SendResponse, CallError>;

/// A call on its way to the task.
struct Job {
    send: v1::SendRequest,
    deadline_ms: u32,
    outcome: oneshot::Sender<Outcome>,
}

/// The sending stream of a connection, opened when it is needed.
#[derive(Default)]
pub(super) struct Sendings(Mutex<Option<mpsc::Sender<Job>>>);

impl Sendings {
    /// Makes the call, and waits for as long as it takes.
    pub(super) async fn send(
        &self,
        (link, clock): (&Link, &Arc<dyn Clock>),
        send: v1::SendRequest,
        deadline_ms: u32,
    ) -> Outcome {
        // TRN-77, TRN-88.
        let (outcome, told) = oneshot::channel();
        let job = Job {
            send,
            deadline_ms,
            outcome,
        };
        if let Err(mpsc::error::SendError(job)) = self.queue(link, clock).send(job).await {
            // The stream has ended between: once more on a new one.
            let again = self.queue(link, clock).send(job).await;
            again.map_err(|_| CallError::Abandoned)?;
        }
        told.await.unwrap_or(Err(CallError::Abandoned))
    }

    fn queue(&self, link: &Link, clock: &Arc<dyn Clock>) -> mpsc::Sender<Job> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = queue.as_ref().filter(|queue| !queue.is_closed()) {
            return open.clone();
        }
        let (jobs, taken) = mpsc::channel(limits::SENDINGS_UNDER_WAY_MAX);
        tokio::spawn(serve(link.clone(), Arc::clone(clock), taken));
        queue.insert(jobs).clone()
    }
}

/// The task: until the stream or the connection ends. Whoever waits then learns why.
async fn serve(link: Link, clock: Arc<dyn Clock>, jobs: mpsc::Receiver<Job>) {
    let mut jobs = jobs;
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::OpenSending(v1::OpenSendingRequest {})),
    };
    let time_ms = limits::DEADLINE_MS_DEFAULT;
    let opening = request_on(&link, request, time_ms);
    let opened = within(&*clock, time_ms.into(), opening).await;
    let opened = opened.unwrap_or(Err(CallError::Timeout));
    // From here on it is the stream that holds the connection, and it ends with the last handle.
    drop(link);
    let error = match opened {
        Ok((sink, source)) => {
            let stream = SendingStream {
                sink,
                source,
                is_open: false,
                is_stopped: false,
                is_ending: false,
                unsent: false,
                next: 0,
                under_way: BTreeMap::new(),
                begun_ms: clock.monotonic_ms(),
            };
            stream.run(&*clock, &mut jobs).await
        }
        Err(error) => error,
    };
    jobs.close();
    while let Ok(job) = jobs.try_recv() {
        let _ = job.outcome.send(Err(error));
    }
}

struct SendingStream {
    sink: SendStream,
    source: RecvStream,
    /// Whether the server has said that it takes sendings here.
    is_open: bool,
    /// Whether it takes no more.
    is_stopped: bool,
    /// Whether nothing more will be sent.
    is_ending: bool,
    /// Whether frames are queued that the link has not taken.
    unsent: bool,
    next: u32,
    under_way: BTreeMap<u32, oneshot::Sender<Outcome>>,
    /// When a call began last.
    begun_ms: u64,
}

impl SendingStream {
    /// Why it ended.
    async fn run(mut self, clock: &dyn Clock, jobs: &mut mpsc::Receiver<Job>) -> CallError {
        let error = self.serve(clock, jobs).await.err();
        let error = error.unwrap_or(CallError::Abandoned);
        for outcome in core::mem::take(&mut self.under_way).into_values() {
            let _ = outcome.send(Err(error));
        }
        error
    }

    async fn serve(
        &mut self,
        clock: &dyn Clock,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Result<(), CallError> {
        let mut alarm = clock.sleep(IDLE_MS);
        // At the end only those count who still wait.
        let waits = |outcome: &oneshot::Sender<Outcome>| !outcome.is_closed();
        while !self.is_ending || self.unsent || self.under_way.values().any(waits) {
            let is_full = self.under_way.len() >= limits::SENDINGS_UNDER_WAY_MAX;
            let takes = !is_full && !self.is_stopped && !self.is_ending;
            let unsent = self.unsent;
            tokio::select! {
                biased;
                sent = receive(&mut self.source, &mut self.is_open) => match sent? {
                    Some(sent) => self.settle(sent)?,
                    None => return Ok(()),
                },
                job = jobs.recv(), if takes => match job {
                    Some(job) => {
                        self.begun_ms = clock.monotonic_ms();
                        self.begin(job)?;
                    }
                    // The connection is not in use any more, or this stream has been idle.
                    None => self.is_ending = true,
                },
                flushed = self.sink.flush(), if unsent => {
                    self.unsent = false;
                    match flushed {
                        Ok(()) => {}
                        // Why, if the server says so, stands in its answer.
                        Err(StreamError::Stopped(_)) => self.is_stopped = true,
                        Err(error) => return Err(error.into()),
                    }
                }
                () = &mut alarm => {
                    let quiet_ms = clock.monotonic_ms().saturating_sub(self.begun_ms);
                    // Nobody waits any longer than this for one of them.
                    if quiet_ms >= u64::from(limits::DEADLINE_MS_MAX) {
                        return Err(CallError::Timeout);
                    }
                    if self.under_way.is_empty() && quiet_ms >= IDLE_MS {
                        // What was queued in this moment still goes out here.
                        jobs.close();
                    }
                    // At the moment at which it is idle, not up to as long again after it.
                    let left_ms = IDLE_MS.checked_sub(quiet_ms).filter(|left_ms| *left_ms > 0);
                    alarm = clock.sleep(left_ms.unwrap_or(IDLE_MS));
                }
            }
        }
        let finished = within(clock, IDLE_MS, self.sink.finish()).await;
        Ok(finished.unwrap_or(Ok(()))?)
    }

    fn begin(&mut self, job: Job) -> Result<(), CallError> {
        // Given up while it waited.
        if job.outcome.is_closed() {
            return Ok(());
        }
        self.next = self.next.wrapping_add(1);
        let sending = v1::Sending {
            number: self.next,
            deadline_ms: job.deadline_ms,
            send: Some(job.send),
        };
        self.sink.queue(&sending, limits::CONTROL_FRAME_SIZE_MAX)?;
        self.unsent = true;
        self.under_way.insert(self.next, job.outcome);
        Ok(())
    }

    /// Tells those who wait what the server has said.
    fn settle(&mut self, sent: v1::Sent) -> Result<(), CallError> {
        use v1::send_response::Outcome as Told;
        use v1::sending_outcome::Outcome;
        for number in sent.accepted {
            let told = Told::Accepted(v1::Accepted {});
            self.tell(number, Ok(told))?;
        }
        for v1::SendingOutcome { number, outcome } in sent.others {
            let told = match outcome {
                Some(Outcome::StaleDevices(stale)) => Ok(Told::StaleDevices(stale)),
                Some(Outcome::Error(error)) => Err(refused(&error)),
                None => return Err(CallError::Protocol(StreamError::Malformed)),
            };
            self.tell(number, told)?;
        }
        Ok(())
    }

    fn tell(
        &mut self,
        number: u32,
        told: Result<v1::send_response::Outcome, CallError>,
    ) -> Result<(), CallError> {
        let waiting = self.under_way.remove(&number);
        let waiting = waiting.ok_or(CallError::Protocol(StreamError::Malformed))?;
        let told = told.map(|outcome| v1::SendResponse {
            outcome: Some(outcome),
        });
        // Whoever has given the call up does not listen.
        let _ = waiting.send(told);
        Ok(())
    }
}

/// The next answers; `None` when the server has ended the stream. Cancellation safe.
async fn receive(
    source: &mut RecvStream,
    is_open: &mut bool,
) -> Result<Option<v1::Sent>, CallError> {
    if !*is_open {
        match receive_response(source).await?.result {
            Some(v1::response::Result::OpenSending(_)) => *is_open = true,
            _ => return Err(CallError::Protocol(StreamError::Malformed)),
        }
    }
    Ok(source.receive(limits::CONTROL_FRAME_SIZE_MAX).await?)
}
