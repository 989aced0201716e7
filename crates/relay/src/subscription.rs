// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One delivery stream: hands a mailbox over in order, at least once, and deletes what the device
//! acknowledges. At most `UNACKNOWLEDGED_MAX` envelopes and `UNACKNOWLEDGED_BYTES_MAX` bytes are
//! under way; what was handed over and not acknowledged comes again on the next stream.

mod frames;
mod under_way;

use std::sync::Arc;

use bytes::Bytes;
use waxwing_proto::v1::delivery::Event;
use waxwing_proto::{DeliveryId, EnvelopeId, limits, v1};
use waxwing_storage::server::{Position, Store, StoredEnvelope};
use waxwing_transport::rpc::{AcknowledgeStream, DeliverySink};
use waxwing_transport::{BoxFuture, StreamError};

use self::under_way::UnderWay;
use crate::arrivals::{Arrivals, Next};
use crate::state::State;
use crate::wake::Mailbox;

/// How long a lost wake can stay unnoticed, in milliseconds.
const LOOK_INTERVAL_MS: u64 = 60_000;
/// Answers to acknowledgements that wait for a client that does not read; then no more are taken.
const ANSWERS_WAITING_MAX: usize = 64;
/// How long an answer to an acknowledgement waits for a delivery to go out with, in milliseconds: a packet
/// less for each batch, and a phone that is woken once less.
const ANSWER_DELAY_MS: u64 = 10;
/// Answers of which so many wait go out at once.
const ANSWERS_TOGETHER: usize = 16;

/// Why a delivery stream is over.
enum End {
    /// Nothing is wrong: the client or the relay ends, or the device has opened another stream.
    Finished,
    /// The client broke the protocol or is gone, or the store failed.
    Broken,
}

impl From<StreamError> for End {
    fn from(_: StreamError) -> Self {
        Self::Broken
    }
}

/// A deletion that is not durable yet, and what is said when it is. The store is done with it once it
/// has been polled: dropping it loses the answers only.
type Deletion = BoxFuture<'static, Result<Vec<v1::Acknowledged>, End>>;

/// Serves one delivery stream until it is over. No `async fn`, whose future would have room for its
/// arguments twice.
pub(crate) fn serve<S: Store>(
    state: Arc<State<S>>,
    mailbox: Mailbox,
    sink: DeliverySink,
    mut acknowledgements: AcknowledgeStream,
) -> impl Future<Output = ()> + Send {
    let mut subscription = Subscription {
        mailbox,
        sink,
        unsent: false,
        answers_waiting: 0,
        cursor: Position::START,
        under_way: UnderWay::default(),
        maybe_more: true,
        drained: false,
        is_live: false,
        deletion: None,
        ending: None,
        state,
    };
    async move {
        let ended = subscription.run(&mut acknowledgements).await;
        if matches!(ended, End::Finished) {
            subscription.finish().await;
        }
    }
}

struct Subscription<S> {
    state: Arc<State<S>>,
    mailbox: Mailbox,
    sink: DeliverySink,
    /// Whether frames are queued that the link has not taken.
    unsent: bool,
    answers_waiting: usize,
    /// The last position that was handed over.
    cursor: Position,
    under_way: UnderWay,
    /// Whether the mailbox may hold something after the cursor.
    maybe_more: bool,
    /// Whether the client was told that it has everything.
    drained: bool,
    /// Whether what was handed over last had just arrived: more may follow soon.
    is_live: bool,
    deletion: Option<Deletion>,
    /// Why the stream is over once that is durable.
    ending: Option<End>,
}

impl<S: Store> Subscription<S> {
    async fn run(&mut self, acknowledgements: &mut AcknowledgeStream) -> End {
        let live = Arc::clone(&self.state.live).open_stream(self.mailbox);
        // Watched before the first look: what comes between is noticed.
        let watch = self.state.wake_bus.watch(self.mailbox);
        let waker = watch.waker();
        let clock = Arc::clone(&self.state.clock);
        let mut looked_ms = clock.monotonic_ms();
        let mut alarm = clock.sleep(LOOK_INTERVAL_MS);
        loop {
            // Whoever drains ends the streams that it finds: this one was listed before that is asked.
            if self.state.is_draining() {
                return End::Finished;
            }
            if self.deletion.is_none()
                && let Some(end) = self.ending.take()
            {
                return end;
            }
            if let Err(end) = self.hand_over(watch.arrivals()).await {
                return end;
            }
            if !self.unsent && self.hand_over_ephemeral(watch.arrivals()).is_err() {
                return End::Broken;
            }
            let unsent = self.unsent;
            let takes_frames = self.answers_waiting < ANSWERS_WAITING_MAX
                && self.deletion.is_none()
                && self.ending.is_none();
            tokio::select! {
                biased;
                () = live.has_to_end() => return End::Finished,
                flushed = self.sink.flush(), if unsent => match flushed {
                    Ok(()) => {
                        self.unsent = false;
                        self.answers_waiting = 0;
                    }
                    Err(_) => return End::Broken,
                },
                frames = frames::receive(acknowledgements), if takes_frames => {
                    self.ending = frames.ending;
                    if !frames.frames.is_empty() {
                        self.deletion = Some(self.acknowledge(frames.frames));
                    }
                }
                deleted = ended(&mut self.deletion) => {
                    self.deletion = None;
                    match deleted.and_then(|told| self.answer(told)) {
                        Ok(true) => alarm = clock.sleep(ANSWER_DELAY_MS),
                        Ok(false) => {}
                        Err(end) => return end,
                    }
                }
                // What has come is asked for above.
                () = waker.notified() => {}
                () = &mut alarm => {
                    self.unsent |= self.answers_waiting > 0;
                    let now_ms = clock.monotonic_ms();
                    let since_ms = now_ms.saturating_sub(looked_ms);
                    let mut left_ms = LOOK_INTERVAL_MS.saturating_sub(since_ms);
                    if left_ms == 0 {
                        self.maybe_more = true;
                        looked_ms = now_ms;
                        left_ms = LOOK_INTERVAL_MS;
                    }
                    alarm = clock.sleep(left_ms);
                }
            }
        }
    }

    /// Queues as much as the window allows, and says once when the mailbox has been emptied.
    async fn hand_over(&mut self, arrivals: &Arrivals) -> Result<(), End> {
        // BOX-17, BOX-18, BOX-19, BOX-20.
        if self.unsent {
            // The link does not take what is queued: what it acknowledges must not let more be queued.
            arrivals.delay();
            return Ok(());
        }
        loop {
            let count = limits::UNACKNOWLEDGED_MAX.saturating_sub(self.under_way.len());
            let bytes = limits::UNACKNOWLEDGED_BYTES_MAX.saturating_sub(self.under_way.bytes());
            if count == 0 || bytes == 0 {
                arrivals.close();
                return Ok(());
            }
            if !self.maybe_more {
                match arrivals.next(self.cursor) {
                    Next::Envelope(envelope) => {
                        self.is_live = true;
                        self.hand_over_one(envelope)?;
                        continue;
                    }
                    Next::Look => self.maybe_more = true,
                    Next::Nothing => return Ok(()),
                }
            }
            // What is queued goes out first.
            if self.unsent {
                arrivals.delay();
                return Ok(());
            }
            let Mailbox { account, device } = self.mailbox;
            // In a box: seldom needed, and a stream that waits holds no room for it.
            let reading = self
                .state
                .store
                .read(account, device, self.cursor, count, bytes);
            let read = Box::pin(reading).await;
            let envelopes = self.state.stored(read).map_err(|_| End::Broken)?;
            if envelopes.is_empty() {
                self.maybe_more = false;
                if !self.drained {
                    self.drained = true;
                    self.queue(Event::Drained(v1::Drained {}))?;
                }
            }
            for envelope in envelopes {
                self.is_live = false;
                self.hand_over_one(envelope)?;
            }
        }
    }

    /// Queues what is in no mailbox and counts in no window.
    fn hand_over_ephemeral(&mut self, arrivals: &Arrivals) -> Result<(), End> {
        let mut envelopes = arrivals.take_ephemeral().into_iter();
        envelopes.try_for_each(|envelope| self.queue(Event::Envelope(wire(envelope))))
    }

    fn hand_over_one(&mut self, envelope: StoredEnvelope) -> Result<(), End> {
        self.cursor = envelope.position;
        self.under_way
            .push(envelope.position, envelope.envelope.len());
        self.queue(Event::Envelope(wire(envelope)))
    }

    /// Deletes what the client has stored. What it gives then says so to the client, once that is
    /// durable.
    fn acknowledge(&mut self, frames: Vec<v1::Acknowledge>) -> Deletion {
        // BOX-22, BOX-23, BOX-78.
        let mut positions = Vec::new();
        for frame in &frames {
            positions.append(&mut self.under_way.take_up_to(Position(frame.up_to)));
            for position in frame.positions.iter().copied().map(Position) {
                self.under_way.take(position);
                positions.push(position);
            }
        }
        let Mailbox { account, device } = self.mailbox;
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let deleted = state.store.acknowledge(account, device, positions).await;
            state.stored(deleted).map_err(|_| End::Broken)?;
            let told = frames.into_iter().map(|frame| v1::Acknowledged {
                positions: frame.positions,
                up_to: frame.up_to,
            });
            Ok(told.collect())
        })
    }

    /// Queues the answers to acknowledgements. Whether they are the first that wait for something to go
    /// out with.
    fn answer(&mut self, told: Vec<v1::Acknowledged>) -> Result<bool, End> {
        // After what had waited in the mailbox nothing follows: whoever came for it wants to go again.
        let is_urgent = self.unsent || !self.is_live && self.under_way.is_empty();
        let is_first = self.answers_waiting == 0 && !is_urgent;
        self.answers_waiting = self.answers_waiting.saturating_add(told.len());
        for told in told {
            self.queue(Event::Acknowledged(told))?;
        }
        self.unsent = is_urgent || self.answers_waiting >= ANSWERS_TOGETHER;
        Ok(is_first)
    }

    /// Answers what was acknowledged, and says that nothing follows.
    async fn finish(&mut self) {
        if let Some(deletion) = self.deletion.take()
            && let Ok(told) = deletion.await
        {
            for told in told {
                let _ = self.queue(Event::Acknowledged(told));
            }
        }
        let _ = self.sink.finish().await;
    }

    fn queue(&mut self, event: Event) -> Result<(), End> {
        self.sink.queue(&v1::Delivery { event: Some(event) })?;
        self.unsent = true;
        Ok(())
    }
}

/// Waits for a deletion; for ever where there is none.
async fn ended(deletion: &mut Option<Deletion>) -> Result<Vec<v1::Acknowledged>, End> {
    match deletion {
        Some(deletion) => deletion.await,
        None => core::future::pending().await,
    }
}

fn wire(stored: StoredEnvelope) -> v1::StoredEnvelope {
    // One allocation for both.
    let mut ids = [0; EnvelopeId::LENGTH + DeliveryId::LENGTH];
    let (envelope_id, delivery_id) = ids.split_at_mut(EnvelopeId::LENGTH);
    envelope_id.copy_from_slice(stored.envelope_id.as_bytes());
    delivery_id.copy_from_slice(stored.delivery_id.as_bytes());
    let mut envelope_id = Bytes::from_owner(ids);
    let delivery_id = envelope_id.split_off(EnvelopeId::LENGTH);
    v1::StoredEnvelope {
        position: stored.position.0,
        envelope_id,
        delivery_id,
        envelope: stored.envelope,
    }
}
