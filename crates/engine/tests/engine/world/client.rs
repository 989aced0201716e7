// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client: an engine, its durable rows, and a host that can die between any two effects.

use std::collections::{BTreeMap, VecDeque};

use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng as _;
use waxwing_engine::event::LinkFailure;
use waxwing_engine::{
    Answer, BatchId, CommandError, CommandId, Effect, Engine, Event, Notice, Now, Plane,
    RequestFailure, RequestId, Row, RowKey, RowRange, Table,
};
use waxwing_proto::limits::UNACKNOWLEDGED_MAX;
use waxwing_proto::v1::request::Call;
use waxwing_proto::{AccountKey, DeviceId, KeyPin, ServerAddress, v1};
use zeroize::Zeroizing;

use super::relay::{Caller, Relay};

pub(crate) struct Client {
    pub(crate) engine: Engine,
    pub(crate) rows: BTreeMap<RowKey, Vec<u8>>,
    rng: ChaCha20Rng,
    /// Whether calls that nobody authenticates come to nothing, as to a server that is away.
    pub(crate) anonymous_cut: bool,
    pub(crate) network: bool,
    /// The server of the account plane's connection, where there is to be one.
    pub(crate) home: Option<ServerAddress>,
    /// The key for which it was not taken.
    refused: Option<KeyPin>,
    /// Whether its next links are resumed, by tickets: no key is proved.
    pub(crate) resumes: bool,
    /// Where anonymous calls went.
    pub(crate) called: Vec<ServerAddress>,
    link: Option<Caller>,
    /// The login that could have gone out with the end of this link's handshake.
    ahead: Option<Call>,
    /// How often it was the one that was asked for then.
    pub(crate) logins_ahead: u32,
    /// The delivery stream: the device and the next position.
    stream: Option<(AccountKey, DeviceId, u64)>,
    waiting: VecDeque<Event>,
    /// Long polls that have no answer yet.
    polls: Vec<(RequestId, v1::FetchRendezvousRequest)>,
    durable: Option<BatchId>,
    pub(crate) answers: BTreeMap<CommandId, Result<Answer, CommandError>>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) account: Option<AccountKey>,
    /// Every sealed envelope that left, with the device it was for.
    pub(crate) sent_to: Vec<DeviceId>,
    /// The process dies right after this many more commits.
    pub(crate) dies_after_commits: Option<u64>,
    /// The process dies right before the commit after this many more.
    pub(crate) dies_before_commit: Option<u64>,
    pub(crate) commits: u64,
    /// What each batch wrote (`true`) or deleted, where somebody wants to know.
    pub(crate) batches: Option<Vec<BTreeMap<RowKey, bool>>>,
    pub(crate) crashes: u64,
    /// Calls that take effect but whose answers are lost.
    pub(crate) lose_answers: u32,
}

impl Client {
    pub(crate) fn new(rng: ChaCha20Rng) -> Self {
        Self {
            engine: Engine::open([]).unwrap(),
            rows: BTreeMap::new(),
            rng,
            anonymous_cut: false,
            network: true,
            home: None,
            refused: None,
            resumes: false,
            called: Vec::new(),
            link: None,
            ahead: None,
            logins_ahead: 0,
            stream: None,
            waiting: VecDeque::new(),
            polls: Vec::new(),
            durable: None,
            answers: BTreeMap::new(),
            notices: Vec::new(),
            account: None,
            sent_to: Vec::new(),
            dies_after_commits: None,
            dies_before_commit: None,
            commits: 0,
            batches: None,
            crashes: 0,
            lose_answers: 0,
        }
    }

    pub(crate) fn handle(&mut self, now: Now, event: Event) {
        self.engine.handle(now, &mut self.rng, event);
    }

    pub(crate) fn due(&self) -> Option<u64> {
        self.engine.poll_timeout()
    }

    /// This device, as the account's row says.
    pub(crate) fn device(&self) -> DeviceId {
        let is_account = |key: &RowKey| key.table == Table::Account && key.order == 0;
        let (_, row) = self.rows.iter().find(|(key, _)| is_account(key)).unwrap();
        let row = v1::AccountRow::decode(row.as_slice()).unwrap();
        DeviceId::try_from(row.device_id.as_ref()).unwrap()
    }

    /// Everything that is to be done now; whether there was anything.
    pub(crate) fn step(&mut self, now: Now, relay: &mut Relay) -> bool {
        let mut busy = false;
        if self
            .engine
            .poll_timeout()
            .is_some_and(|due| due <= now.monotonic_ms)
        {
            self.engine.handle_timeout(now, &mut self.rng);
            busy = true;
        }
        while let Some(effect) = self.engine.poll_effect() {
            busy = true;
            if self.carry_out(now, effect, relay) {
                return true;
            }
        }
        let server_key = self.home.as_ref().map(|home| relay.key_at(home));
        if self.link.is_none()
            && self.network
            && let (Some(home), Some(key)) = (&self.home, server_key)
            && !home.key_pins.contains(&key)
            && self.refused.replace(key) != Some(key)
        {
            let failure = LinkFailure::WrongServerKey;
            self.waiting.push_back(Event::LinkDown(failure));
        } else if self.link.is_none()
            && self.network
            && let Some(home) = &self.home
            && home.key_pins.iter().any(|pin| Some(*pin) == server_key)
        {
            let mut exporter = [0; 32];
            self.rng.fill_bytes(&mut exporter);
            self.ahead = self.engine.login(&exporter);
            self.link = Some(Caller {
                host: home.host.to_string(),
                exporter,
                device: None,
            });
            self.waiting.push_back(Event::LinkUp {
                exporter,
                server_time_ms: now.wall_ms,
                server_key: server_key.filter(|_| !self.resumes),
            });
        }
        self.answer_polls(relay);
        self.take_deliveries(relay);
        if let Some(event) = self.waiting.pop_front() {
            self.handle(now, event);
            busy = true;
        }
        busy
    }

    /// Carries an effect out; whether the process died of it.
    fn carry_out(&mut self, now: Now, effect: Effect, relay: &mut Relay) -> bool {
        match effect {
            Effect::Commit(batch) => {
                if count_down(&mut self.dies_before_commit) {
                    self.crash(relay);
                    return true;
                }
                let size: usize = batch
                    .writes
                    .iter()
                    .map(|write| write.value.as_ref().map_or(0, |value| value.len()))
                    .sum();
                assert!(size <= 256 * 1024, "a batch of {size} bytes");
                if let Some(batches) = &mut self.batches {
                    let writes = batch.writes.iter();
                    batches.push(
                        writes
                            .map(|write| (write.key.clone(), write.value.is_some()))
                            .collect(),
                    );
                }
                for write in batch.writes {
                    match write.value {
                        Some(value) => {
                            assert!(value.len() <= 60 * 1024, "a value of {}", value.len());
                            self.rows.insert(write.key, value.to_vec());
                        }
                        None => {
                            self.rows.remove(&write.key);
                        }
                    }
                }
                self.commits += 1;
                self.durable = Some(batch.id);
                self.waiting.push_back(Event::Committed(batch.id));
                if count_down(&mut self.dies_after_commits) {
                    self.crash(relay);
                    return true;
                }
            }
            Effect::Load { query, range } => {
                let rows = self.load(&range);
                self.waiting.push_back(Event::Loaded { query, rows });
            }
            Effect::Connect(server) => self.home = Some(server),
            Effect::KeyPins(key_pins) => {
                if let Some(home) = &mut self.home {
                    home.key_pins = key_pins;
                }
            }
            Effect::Disconnect => {
                self.home = None;
                self.link = None;
                self.stream = None;
            }
            Effect::Request {
                id,
                after,
                plane,
                server,
                call,
                ..
            } => {
                assert!(after <= self.durable, "a call left before its batch");
                if plane == Plane::Anonymous {
                    self.called.push(server.clone());
                    if !server.key_pins.contains(&relay.key_at(&server)) {
                        let outcome = Err(RequestFailure::Link(LinkFailure::WrongServerKey));
                        self.waiting.push_back(Event::Response { id, outcome });
                        return false;
                    }
                }
                if matches!(call, Call::Authenticate(_))
                    && let Some(ahead) = self.ahead.take()
                {
                    assert_eq!(call, ahead, "another login than the one ahead");
                    self.logins_ahead += 1;
                }
                self.request(now, id, plane, call, relay);
            }
            Effect::Subscribe => {
                if let Some((account, device)) = self.link.as_ref().and_then(|link| link.device) {
                    self.stream = Some((account, device, 0));
                    relay.undrained.insert(device);
                }
            }
            Effect::Acknowledge {
                after,
                up_to,
                positions,
            } => {
                assert!(
                    after <= self.durable,
                    "an acknowledgement left before its batch"
                );
                if let Some((_, device, handed_over)) = self.stream {
                    relay.acknowledge(device, up_to.min(handed_over), &positions);
                }
            }
            Effect::Answer {
                command,
                after,
                result,
            } => {
                assert!(after <= self.durable);
                if let Ok(Answer::Registered { account, .. }) = &result {
                    self.account = Some(*account);
                }
                self.answers.insert(command, result);
            }
            Effect::Notify { after, notice } => {
                assert!(after <= self.durable);
                self.notices.push(notice);
            }
            _ => panic!("an effect that this host does not know"),
        }
        false
    }

    fn request(&mut self, now: Now, id: RequestId, plane: Plane, call: Call, relay: &mut Relay) {
        if let Call::Send(send) = &call {
            for envelope in &send.envelopes {
                self.sent_to
                    .push(DeviceId::try_from(envelope.device_id.as_ref()).unwrap());
            }
        }
        if let Call::FetchRendezvous(fetch) = call {
            self.polls.push((id, fetch));
            return;
        }
        let mut anonymous = None;
        let caller = match plane {
            Plane::Account => &mut self.link,
            Plane::Anonymous => &mut anonymous,
        };
        let is_cut = plane == Plane::Anonymous && self.anonymous_cut;
        let outcome = if !self.network || is_cut || (plane == Plane::Account && caller.is_none()) {
            Err(RequestFailure::Link(LinkFailure::Unreachable))
        } else {
            relay.call(now, caller.as_mut(), call)
        };
        let outcome = if self.lose_answers > 0 {
            self.lose_answers -= 1;
            Err(RequestFailure::Timeout)
        } else {
            outcome
        };
        self.waiting.push_back(Event::Response { id, outcome });
    }

    fn answer_polls(&mut self, relay: &mut Relay) {
        let mut left = Vec::new();
        for (id, fetch) in core::mem::take(&mut self.polls) {
            let slot = relay
                .slot(&fetch)
                .or_else(|| relay.impatient.then(bytes::Bytes::new));
            if relay.impatient {
                *relay.calls.entry("slot").or_default() += 1;
            }
            match slot {
                Some(value) => self.waiting.push_back(Event::Response {
                    id,
                    outcome: Ok(v1::response::Result::FetchRendezvous(
                        v1::FetchRendezvousResponse { value },
                    )),
                }),
                None => left.push((id, fetch)),
            }
        }
        self.polls = left;
    }

    fn take_deliveries(&mut self, relay: &mut Relay) {
        let Some((_, device, after)) = &mut self.stream else {
            return;
        };
        for envelope in relay.stored_after(*device, *after) {
            // As a server does: no more than this is handed over and not acknowledged.
            if relay.held_up_to(*device, *after) >= UNACKNOWLEDGED_MAX {
                return;
            }
            *after = envelope.position;
            self.waiting
                .push_back(Event::Delivery(v1::delivery::Event::Envelope(envelope)));
        }
        if relay.undrained.remove(device) {
            self.waiting
                .push_back(Event::Delivery(v1::delivery::Event::Drained(
                    v1::Drained {},
                )));
        }
    }

    fn load(&self, range: &RowRange) -> Vec<Row> {
        let row = |(key, value): (&RowKey, &Vec<u8>)| Row {
            key: key.clone(),
            value: Zeroizing::new(value.clone()),
        };
        match range {
            RowRange::Keys(keys) => keys
                .iter()
                .filter_map(|key| self.rows.get_key_value(key))
                .map(row)
                .collect(),
            RowRange::Before {
                table,
                scope,
                before,
                limit,
            } => self
                .rows
                .iter()
                .rev()
                .filter(|(key, _)| {
                    key.table == *table && key.scope == *scope && key.order < *before
                })
                .take(*limit)
                .map(row)
                .collect(),
            RowRange::After {
                table,
                scope,
                after,
                limit,
            } => self
                .rows
                .iter()
                .filter(|(key, _)| key.table == *table && key.scope == *scope && key.order > *after)
                .take(*limit)
                .map(row)
                .collect(),
        }
    }

    pub(crate) fn lose_link(&mut self, now: Now, failure: LinkFailure, _relay: &mut Relay) {
        if self.link.take().is_some() {
            self.stream = None;
            self.waiting
                .retain(|event| !matches!(event, Event::Delivery(_)));
            self.handle(now, Event::LinkDown(failure));
        } else if self.home.is_some() {
            self.handle(now, Event::LinkDown(failure));
        }
    }

    /// Dies, and begins again with the durable rows.
    pub(crate) fn crash(&mut self, _relay: &mut Relay) {
        self.crashes += 1;
        self.link = None;
        self.stream = None;
        self.waiting.clear();
        self.polls.clear();
        self.durable = None;
        self.home = None;
        self.refused = None;
        let tables = Engine::snapshot_tables();
        let rows = self
            .rows
            .iter()
            .filter(|(key, _)| tables.contains(&key.table))
            .map(|(key, value)| Row {
                key: key.clone(),
                value: Zeroizing::new(value.clone()),
            });
        self.engine = Engine::open(rows).unwrap();
    }
}

fn count_down(counter: &mut Option<u64>) -> bool {
    match counter {
        None => false,
        Some(0 | 1) => {
            *counter = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
    }
}
