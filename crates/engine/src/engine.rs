// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The engine: its state, how it is opened from rows, and where each event goes.
//!
//! Each concern is a file of its own with an `impl Engine` block. This file knows all of them and
//! decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use waxwing_identity::{DeviceManifest, ManifestHead};
use waxwing_proto::{AccountKey, ServerAddress, v1};

use crate::account::{Account, Counters};
use crate::command::{Answer, CommandError, CommandId};
use crate::connection::Connection;
use crate::contacts::Contact;
use crate::effect::{Effect, Plane, QueryId, RequestId};
use crate::error::EngineError;
use crate::event::{Event, RequestFailure};
use crate::gathering::Gathered;
use crate::inbox::Inbox;
use crate::journal::Journal;
use crate::linking::Linking;
use crate::manifests::Claimant;
use crate::notice::Notice;
use crate::outbox::Outbox;
use crate::pending::{Pending, Query};
use crate::prekeys::Prekeys;
use crate::row::{Row, RowKey, RowRange, Table};
use crate::sessions::Sessions;
use crate::snapshot::Snapshot;
use crate::time::Now;
use crate::timers::{Timer, Timers};

/// The clocks and the randomness of one call into the engine.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) rng: &'a mut dyn CryptoRng,
}

impl Turn<'_> {
    /// Days since the Unix epoch.
    pub(crate) fn day(&self) -> u32 {
        u32::try_from(self.now.wall_ms.checked_div(86_400_000).unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Sixteen random bytes for an id.
    pub(crate) fn id(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// A moment of the monotonic clock.
    pub(crate) const fn after_ms(&self, delay_ms: u64) -> u64 {
        self.now.monotonic_ms.saturating_add(delay_ms)
    }
}

/// The client core of one profile.
///
/// It holds secrets in memory: keys of the device, sessions, prekeys, contents on their way out.
/// Secret keys are wiped on drop.
pub struct Engine {
    pub(crate) journal: Journal,
    pub(crate) timers: Timers,
    pub(crate) started: bool,
    next_request: u64,
    next_query: u64,
    requests: BTreeMap<RequestId, Pending>,
    queries: BTreeMap<QueryId, Query>,
    pub(crate) account: Option<Account>,
    pub(crate) counters: Counters,
    pub(crate) progress: Option<v1::progress_row::Step>,
    pub(crate) connection: Connection,
    /// The accepted versions of the own manifest since the last account-signed one; the last is the newest.
    pub(crate) own_manifests: Vec<DeviceManifest>,
    /// Heads that contradict pinned ones, until the servers were asked.
    pub(crate) claims: BTreeMap<AccountKey, (ManifestHead, Claimant)>,
    /// Versions of the own manifest that were fetched and wait for the rest.
    pub(crate) own_gathered: Gathered,
    /// Contacts whose manifests are being fetched.
    pub(crate) fetching: BTreeSet<AccountKey>,
    pub(crate) contacts: BTreeMap<AccountKey, Contact>,
    /// The accepted manifests of contacts.
    pub(crate) manifests: BTreeMap<AccountKey, DeviceManifest>,
    pub(crate) sessions: Sessions,
    pub(crate) prekeys: Prekeys,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) linking: Linking,
    /// The account key, between the words and the version that it signs.
    pub(crate) recovery_secret: Option<waxwing_crypto::AccountSecret>,
}

impl Engine {
    /// The tables whose rows [`Engine::open`] wants, all of them.
    #[must_use]
    pub const fn snapshot_tables() -> &'static [Table] {
        &[
            Table::Account,
            Table::Contacts,
            Table::Manifests,
            Table::Sessions,
            Table::SkippedKeys,
            Table::Prekeys,
            Table::Outbox,
            Table::Progress,
            Table::Handshakes,
            Table::KemRows,
            Table::SentHashes,
        ]
    }

    /// Opens a profile from the rows of [`Engine::snapshot_tables`], in any order. No rows are a
    /// profile without an account.
    ///
    /// # Errors
    /// [`EngineError`]: the store is damaged.
    pub fn open(rows: impl IntoIterator<Item = Row>) -> Result<Self, EngineError> {
        let snapshot = Snapshot::read(rows)?;
        let mut engine = Self {
            journal: Journal::default(),
            timers: Timers::default(),
            started: false,
            next_request: 0,
            next_query: 0,
            requests: BTreeMap::new(),
            queries: BTreeMap::new(),
            account: snapshot.account,
            counters: snapshot.counters,
            progress: snapshot.progress,
            connection: Connection::default(),
            own_manifests: snapshot.own_manifests,
            claims: BTreeMap::new(),
            own_gathered: Gathered::default(),
            fetching: BTreeSet::new(),
            contacts: snapshot.contacts,
            manifests: snapshot.manifests,
            sessions: snapshot.sessions,
            prekeys: snapshot.prekeys,
            outbox: snapshot.outbox,
            inbox: Inbox::default(),
            linking: Linking::default(),
            recovery_secret: None,
        };
        engine.connect();
        engine.journal.checkpoint();
        Ok(engine)
    }

    /// Takes an event in. Effects are then polled until there is none.
    pub fn handle(&mut self, now: Now, rng: &mut dyn CryptoRng, event: Event) {
        let mut turn = Turn { now, rng };
        self.start(&mut turn);
        match event {
            Event::Committed(_) => {}
            Event::StoreIsBehind => self.store_is_restored(),
            Event::Loaded { query, rows } => {
                if let Some(query) = self.queries.remove(&query) {
                    self.loaded(&mut turn, query, rows);
                }
            }
            Event::LinkUp {
                exporter,
                server_time_ms,
                server_key,
            } => {
                self.connection.is_key_proved = server_key.is_some();
                self.connection.server_key = server_key.or(self.connection.server_key);
                self.link_up(&mut turn, exporter, server_time_ms);
            }
            Event::LinkDown(failure) => self.link_down(&mut turn, failure),
            Event::Response { id, outcome } => {
                if let Some(pending) = self.requests.remove(&id) {
                    self.responded(&mut turn, pending, outcome);
                }
            }
            Event::Delivery(event) => self.delivered(&mut turn, event),
            Event::Command { id, command } => self.command(&mut turn, id, command),
        }
        self.journal.checkpoint();
    }

    /// The next effect. Poll until `None` after every call that takes `rng`, and after opening.
    #[must_use]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.journal.poll()
    }

    /// When [`Engine::handle_timeout`] wants to be called, on the monotonic clock in milliseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.started {
            self.timers.earliest_ms()
        } else {
            Some(0)
        }
    }

    /// Whether a content waits in the outbox that its server has not accepted.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.outbox.len() > 0
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now, rng: &mut dyn CryptoRng) {
        let mut turn = Turn { now, rng };
        self.start(&mut turn);
        for timer in self.timers.take_due(now.monotonic_ms) {
            self.due(&mut turn, timer);
        }
        self.journal.checkpoint();
    }

    /// Once in the first turn: what the rows say has to go on.
    fn start(&mut self, turn: &mut Turn<'_>) {
        if self.started {
            return;
        }
        self.started = true;
        self.arm_receipts(turn);
        self.arm_addresses(turn);
        self.show_gaps(turn);
        self.arm_horizon(turn);
        self.resume_progress(turn);
        for account in self.outbox.accounts() {
            self.pump(turn, account);
        }
    }

    fn due(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        match timer {
            Timer::Outbox(account) => self.lane_due(turn, account),
            Timer::Receipts(account) => self.ship_receipts(turn, account),
            Timer::Address(account) => self.ship_address(turn, account),
            Timer::Prekeys => self.check_prekeys(turn),
            Timer::Account => self.account_due(turn),
            Timer::Linking => self.linking_due(turn),
            Timer::Successors => self.look_for_successors(turn),
            Timer::LinkingSlot => self.linking_slot_due(),
            Timer::LinkingExpired => self.linking_expired(turn),
            Timer::OwnManifests => self.fetch_own_manifests(turn),
            Timer::DeliveryIds => {
                self.create_delivery_ids(turn);
                self.revoke_delivery_ids();
            }
            Timer::Untried => self.empty_inbox(turn),
            Timer::Gaps => self.show_gaps(turn),
            Timer::Horizon => self.horizon_due(turn),
        }
    }

    fn responded(
        &mut self,
        turn: &mut Turn<'_>,
        pending: Pending,
        outcome: Result<v1::response::Result, RequestFailure>,
    ) {
        let outcome = outcome.map_err(RequestFailure::within_bounds);
        match pending {
            Pending::Account(call) => self.account_responded(turn, call, outcome),
            Pending::Own(call) => self.own_responded(turn, call, outcome),
            Pending::Lane { account, call } => self.lane_responded(turn, account, call, outcome),
            Pending::Manifests(account) => self.manifests_responded(turn, account, outcome),
            Pending::Resolve {
                command,
                name,
                label,
            } => {
                let result = self.name_resolved(turn, name, label, outcome);
                self.answer(command, result.map(Answer::Contact));
            }
            Pending::Linking(call) => self.linking_responded(turn, call, outcome),
        }
    }

    fn loaded(&mut self, turn: &mut Turn<'_>, query: Query, rows: Vec<Row>) {
        match query {
            Query::Inbox => self.inbox_loaded(turn, &rows),
            Query::Reading { command, reading } => self.reading_loaded(command, reading, rows),
            Query::Shown { command, up_to } => self.shown_loaded(turn, command, up_to, &rows),
        }
    }

    /// Makes a call.
    pub(crate) fn request(
        &mut self,
        plane: Plane,
        server: ServerAddress,
        call: v1::request::Call,
        pending: Pending,
    ) {
        self.request_with_deadline(
            plane,
            server,
            call,
            pending,
            waxwing_proto::limits::DEADLINE_MS_DEFAULT,
        );
    }

    /// Makes a call with a deadline of its own.
    pub(crate) fn request_with_deadline(
        &mut self,
        plane: Plane,
        server: ServerAddress,
        call: v1::request::Call,
        pending: Pending,
        deadline_ms: u32,
    ) {
        self.next_request = self.next_request.saturating_add(1);
        let id = RequestId(self.next_request);
        self.requests.insert(id, pending);
        let server = match plane {
            Plane::Account => server,
            Plane::Anonymous => self.address_for_others(server),
        };
        self.journal.push(Effect::Request {
            id,
            after: None,
            plane,
            server,
            call,
            deadline_ms,
        });
    }

    /// Reads rows.
    pub(crate) fn load(&mut self, range: RowRange, query: Query) {
        self.next_query = self.next_query.saturating_add(1);
        let id = QueryId(self.next_query);
        self.queries.insert(id, query);
        self.journal.push(Effect::Load { query: id, range });
    }

    /// Ends a command.
    pub(crate) fn answer(&mut self, command: CommandId, result: Result<Answer, CommandError>) {
        self.journal.push(Effect::Answer {
            command,
            after: None,
            result,
        });
    }

    /// Tells everybody who watches.
    pub(crate) fn notify(&mut self, notice: Notice) {
        self.journal.push(Effect::Notify {
            after: None,
            notice,
        });
    }

    /// Stages the account's row.
    pub(crate) fn save_account(&mut self) {
        if let Some(account) = &self.account {
            self.journal.put(crate::keys::account(), account.to_row());
        }
    }

    /// Stages the counters.
    pub(crate) fn save_counters(&mut self) {
        self.journal
            .put(crate::keys::counters(), self.counters.to_row());
    }

    /// Stages the row of a contact.
    pub(crate) fn save_contact(&mut self, account: &AccountKey) {
        if let Some(contact) = self.contacts.get(account) {
            self.journal
                .put(crate::keys::contact(account), contact.to_row());
        }
    }

    /// Sets or clears what is under way, and stages it.
    pub(crate) fn save_progress(&mut self, step: Option<v1::progress_row::Step>) {
        let key: RowKey = crate::keys::progress();
        match &step {
            None => self.journal.delete(key),
            Some(step) => self.journal.put(
                key,
                crate::codec::encode(&v1::ProgressRow {
                    step: Some(step.clone()),
                }),
            ),
        }
        self.progress = step;
    }

    /// The newest accepted version of the own manifest.
    pub(crate) fn own_manifest(&self) -> Option<&DeviceManifest> {
        self.own_manifests.last()
    }

    /// This account's key, once this device belongs to it.
    pub(crate) fn own_key(&self) -> Option<AccountKey> {
        self.account.as_ref().and_then(|account| account.key)
    }

    /// This account's server.
    pub(crate) fn own_server(&self) -> Option<ServerAddress> {
        self.account.as_ref().map(|account| account.server.clone())
    }
}
