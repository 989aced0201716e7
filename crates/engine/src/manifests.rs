// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Pins: what a decision of [`crate::trust`] changes in the profile, and how the versions that a
//! decision needs are fetched.

use waxwing_identity::{DeviceManifest, ManifestHead};
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{AccountKey, ServerAddress, limits, v1};

use crate::contacts::Contact;
use crate::effect::{Effect, Plane};
use crate::engine::{Engine, Turn};
use crate::event::RequestFailure;
use crate::keys;
use crate::notice::{Alarm, AlarmKind, Notice};
use crate::pending::{OwnCall, Pending};
use crate::timers::{Timer, jitter, retry_delay_ms};
use crate::trust::{self, Decision, HeadClaim, Settlement, Witness};

/// How often versions are asked for that would end an alarm, in milliseconds.
const SUCCESSORS_MS: u64 = 3_600_000;

/// Who named a head that contradicts the held one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimant {
    /// A device of the account that the head is of.
    Itself,
    /// A contact, of this account.
    Contact,
}

/// Reads manifests; what is none is left out.
pub(crate) fn decode_all<'a>(
    list: impl IntoIterator<Item = &'a bytes::Bytes>,
) -> Vec<DeviceManifest> {
    list.into_iter()
        .take(limits::MANIFESTS_PER_ANSWER_MAX)
        .filter_map(|bytes| DeviceManifest::decode(bytes).ok())
        .collect()
}

impl Engine {
    /// The accepted manifest of an account, one's own included.
    pub(crate) fn accepted_manifest(&self, account: &AccountKey) -> Option<&DeviceManifest> {
        if self.own_key() == Some(*account) {
            self.own_manifest()
        } else {
            self.manifests.get(account)
        }
    }

    /// Pins a version of the own manifest.
    pub(crate) fn pin_own_manifest(&mut self, manifest: DeviceManifest) {
        let key = *manifest.account();
        let anchor = manifest.anchor().version;
        for old in core::mem::take(&mut self.own_manifests) {
            if old.version() >= anchor && old.version() < manifest.version() {
                self.own_manifests.push(old);
            } else {
                self.journal.delete(keys::own_manifest(&key, old.version()));
            }
        }
        self.journal.put(
            keys::own_manifest(&key, manifest.version()),
            zeroize::Zeroizing::new(manifest.as_bytes().to_vec()),
        );
        self.own_manifests.push(manifest);
    }

    /// Decides about a manifest that was shown, and does what follows.
    pub(crate) fn consider(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        shown: &DeviceManifest,
        known: &[DeviceManifest],
        witness: Witness,
    ) -> Decision {
        let own = self.own_key() == Some(*account);
        let pinned = self.accepted_manifest(account);
        let anchor_before = pinned.map(|pinned| pinned.anchor().version);
        let decision = trust::decide(account, pinned, shown, known, witness);
        let is_accepted = matches!(
            decision,
            Decision::Accept { .. } | Decision::AcceptAndBlock(_)
        );
        if is_accepted && anchor_before.is_some_and(|before| shown.anchor().version > before) {
            self.account_key_spoke(account);
        }
        match decision {
            Decision::Keep | Decision::Behind | Decision::Fetch { .. } | Decision::Refuse => {}
            Decision::Accept { alarm } => {
                self.accept_manifest(turn, account, shown, known);
                if let Some(alarm) = alarm {
                    self.raise(account, alarm);
                }
            }
            Decision::AcceptAndBlock(alarm) => {
                self.accept_manifest(turn, account, shown, known);
                self.raise(account, alarm);
            }
            Decision::Block(alarm) => self.raise(account, alarm),
        }
        if own {
            self.check_own_listing();
        }
        decision
    }

    /// A later version that the account key signed is about to be pinned: what devices and servers did
    /// before it is settled.
    fn account_key_spoke(&mut self, account: &AccountKey) {
        // IDN-65.
        if self.own_key() == Some(*account) {
            if let Some(own) = &mut self.account {
                own.alarms.settle(Settlement::AccountSigned);
            }
            self.save_account();
        } else if let Some(contact) = self.contacts.get_mut(account) {
            contact.alarms.settle(Settlement::AccountSigned);
            self.save_contact(account);
        }
    }

    pub(crate) fn accept_manifest(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        shown: &DeviceManifest,
        known: &[DeviceManifest],
    ) {
        for peer in self.sessions.devices_of(account) {
            if shown.device(&peer.1).is_none() {
                self.sessions.forget_device(&mut self.journal, &peer);
            }
        }
        self.weigh_renewals(account);
        if self.own_key() == Some(*account) {
            let newest = self.own_manifest().map_or(0, DeviceManifest::version);
            let anchor = shown.anchor().version;
            let mut between: Vec<&DeviceManifest> = known
                .iter()
                .filter(|manifest| {
                    manifest.account() == account
                        && manifest.version() >= anchor
                        && manifest.version() > newest
                        && manifest.version() < shown.version()
                })
                .collect();
            between.sort_by_key(|manifest| manifest.version());
            between.dedup_by_key(|manifest| manifest.version());
            for manifest in between {
                self.pin_own_manifest(manifest.clone());
            }
            self.pin_own_manifest(shown.clone());
            self.notify(Notice::DevicesChanged);
            self.timers.set(Timer::Prekeys, 0);
            return;
        }
        self.journal.put(
            keys::manifest(account),
            zeroize::Zeroizing::new(shown.as_bytes().to_vec()),
        );
        let before = self.manifests.insert(*account, shown.clone());
        if let Some(contact) = self.contacts.get_mut(account) {
            if contact.verified && contact.verified_devices.is_empty() {
                // The keys were compared before the first manifest was seen.
                contact.verified_devices = shown
                    .devices()
                    .iter()
                    .map(waxwing_identity::DeviceEntry::id)
                    .collect();
            }
            let left = contact
                .verified_devices
                .iter()
                .any(|device| shown.device(device).is_some());
            contact.verified = contact.verified && trust::verification_stands(left, contact.alarms);
            self.save_contact(account);
            self.notify(Notice::ContactChanged(*account));
        }
        if let Some(before) = before {
            self.show_devices_changed(turn, account, &before, shown);
        }
    }

    /// Shows an alarm and remembers it. The same alarm is not shown twice while it stands.
    pub(crate) fn raise(&mut self, account: &AccountKey, kind: AlarmKind) {
        if self.own_key() == Some(*account) {
            self.own_alarm(kind);
            return;
        }
        let Some(contact) = self.contacts.get_mut(account) else {
            return;
        };
        if !contact.alarms.raise(kind) {
            return;
        }
        contact.verified = contact.verified && trust::verification_stands(true, contact.alarms);
        let is_request = contact.request_pending;
        self.save_contact(account);
        // A stranger can raise what it likes about itself; it stands in the list of contacts.
        if is_request {
            return;
        }
        self.notify(Notice::Alarm(Alarm {
            account: *account,
            kind,
            blocks_sending: trust::blocks_sending(kind),
        }));
        self.timers.set_sooner(Timer::Successors, 0);
    }

    /// Raises or settles the alarm about sessions that cannot be renewed.
    pub(crate) fn weigh_renewals(&mut self, account: &AccountKey) {
        // SES-67.
        if self.sessions.renews_in_vain(account) {
            self.raise(account, AlarmKind::SessionsInVain);
            return;
        }
        let by = Settlement::Renewed;
        if self.own_key() == Some(*account) {
            let own = self.account.as_mut();
            if own.is_some_and(|own| own.alarms.settle(by)) {
                self.save_account();
            }
        } else if let Some(contact) = self.contacts.get_mut(account)
            && contact.alarms.settle(by)
        {
            self.save_contact(account);
            self.notify(Notice::ContactChanged(*account));
        }
    }

    /// An alarm about the own account or this device.
    pub(crate) fn own_alarm(&mut self, kind: AlarmKind) {
        let Some(account) = &mut self.account else {
            return;
        };
        let known = !account.alarms.raise(kind);
        let key = account.key;
        self.save_account();
        if let (false, Some(account)) = (known, key) {
            self.notify(Notice::Alarm(Alarm {
                account,
                kind,
                blocks_sending: trust::blocks_sending(kind),
            }));
        }
    }

    /// A device that its account does not list any more does nothing from then on.
    fn check_own_listing(&mut self) {
        let listed = match (&self.account, self.own_manifest()) {
            (Some(account), Some(manifest)) => {
                account.phase != Phase::Active || manifest.device(&account.device).is_some()
            }
            _ => true,
        };
        if listed {
            return;
        }
        if let Some(account) = &mut self.account {
            account.phase = Phase::Removed;
        }
        self.own_alarm(AlarmKind::RemovedFromAccount);
        self.connection.subscribed = false;
        self.journal.push(Effect::Disconnect);
        self.notify(Notice::Online(false));
    }

    /// Compares the heads that a content of a contact carries with the held ones.
    pub(crate) fn heed_heads(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        own_head: Option<&ManifestHead>,
        peer_head: Option<&ManifestHead>,
    ) {
        // A stranger's words cause no call to a server that the stranger names, and no alarm.
        let is_own = self.own_key() == Some(*account);
        let is_accepted = self.contacts.get(account).is_some_and(Contact::is_accepted);
        if !is_own && !is_accepted {
            return;
        }
        if let (Some(named), Some(held)) = (own_head, self.accepted_manifest(account)) {
            match trust::compare_head(named, &held.head()) {
                HeadClaim::Fits => {}
                HeadClaim::Behind if is_own => self.fetch_own_manifests(turn),
                HeadClaim::Behind => self.fetch_manifests(account),
                HeadClaim::Conflict => {
                    self.claims.insert(*account, (*named, Claimant::Itself));
                    if is_own {
                        self.fetch_own_manifests(turn);
                    } else {
                        self.fetch_manifests(account);
                    }
                }
            }
        }
        let Some(own) = self.own_key().filter(|own| own != account) else {
            return;
        };
        if let (Some(named), Some(held)) = (peer_head, self.own_manifest()) {
            match trust::compare_head(named, &held.head()) {
                HeadClaim::Fits => {}
                HeadClaim::Behind => self.fetch_own_manifests(turn),
                HeadClaim::Conflict => {
                    self.claims.insert(own, (*named, Claimant::Contact));
                    self.fetch_own_manifests(turn);
                }
            }
        }
    }

    /// Asks a contact's server for newer versions, on the anonymous plane.
    pub(crate) fn fetch_manifests(&mut self, account: &AccountKey) {
        let after = self
            .manifests
            .get(account)
            .map_or(0, DeviceManifest::version);
        let Some(route) = self
            .contacts
            .get(account)
            .and_then(|contact| contact.route.clone())
        else {
            return;
        };
        // A contact that names ever new heads causes one question at a time.
        if !self.fetching.insert(*account) {
            return;
        }
        let call = fetch_call(account, after);
        self.request(
            Plane::Anonymous,
            route.server,
            call,
            Pending::Manifests(*account),
        );
    }

    pub(crate) fn manifests_responded(
        &mut self,
        turn: &mut Turn<'_>,
        account: AccountKey,
        outcome: Result<Reply, RequestFailure>,
    ) {
        self.fetching.remove(&account);
        if let Ok(Reply::FetchManifests(reply)) = outcome {
            let shown = decode_all(&reply.manifests);
            self.consider_chain(turn, &account, shown);
            self.settle_claim(&account);
        }
        self.pump(turn, account);
    }

    /// Asks for later versions of contacts that nothing is sent to: an account-signed one ends what blocks
    /// them, and nobody else would ask. Goes on as long as there are such contacts.
    pub(crate) fn look_for_successors(&mut self, turn: &mut Turn<'_>) {
        let blocked: Vec<AccountKey> = self
            .contacts
            .values()
            .filter(|contact| contact.is_accepted() && contact.alarms.await_account_key())
            .map(|contact| contact.account)
            .collect();
        if blocked.is_empty() || !self.connection.subscribed {
            return;
        }
        for account in blocked {
            self.fetch_manifests(&account);
        }
        let delay = jitter(turn.rng, SUCCESSORS_MS >> 1, SUCCESSORS_MS);
        self.timers.set(Timer::Successors, turn.after_ms(delay));
    }

    /// A head that contradicts the pinned one, named inside the encryption, while the account's server
    /// shows nothing that would explain it: two versions with one number.
    fn settle_claim(&mut self, account: &AccountKey) {
        let Some((claim, claimant)) = self.claims.remove(account) else {
            return;
        };
        let contradicts = self
            .accepted_manifest(account)
            .is_some_and(|held| trust::compare_head(&claim, &held.head()) == HeadClaim::Conflict);
        if !contradicts {
            return;
        }
        // IDN-66. Who says so of its own account is believed; of another it is a word without a proof.
        let kind = match claimant {
            Claimant::Itself => AlarmKind::Equivocation,
            Claimant::Contact => AlarmKind::ListContested,
        };
        self.raise(account, kind);
    }

    /// Considers the newest of a list of versions, with the others as witnesses.
    pub(crate) fn consider_chain(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        shown: Vec<DeviceManifest>,
    ) -> Option<Decision> {
        let newest = shown
            .iter()
            .max_by_key(|manifest| manifest.version())?
            .clone();
        Some(self.consider(turn, account, &newest, &shown, Witness::Server))
    }

    /// Asks the own server for the versions of the own manifest that this device lacks. On the
    /// anonymous plane, as everybody else would: the server does not know whom it could lie to.
    pub(crate) fn fetch_own_manifests(&mut self, _turn: &mut Turn<'_>) {
        let (Some(key), Some(server)) = (self.own_key(), self.own_server()) else {
            return;
        };
        if self.connection.fetching_manifests {
            return;
        }
        self.connection.fetching_manifests = true;
        self.connection.asked_from_anchor = false;
        let after = self.own_manifest().map_or(0, DeviceManifest::version);
        self.ask_own_manifests(key, server, after);
    }

    fn ask_own_manifests(&mut self, key: AccountKey, server: ServerAddress, after: u32) {
        self.request(
            Plane::Anonymous,
            server,
            fetch_call(&key, after),
            Pending::Own(OwnCall::Manifests),
        );
    }

    pub(crate) fn own_manifests_responded(
        &mut self,
        turn: &mut Turn<'_>,
        outcome: Result<Reply, RequestFailure>,
    ) {
        let (Some(key), Some(server)) = (self.own_key(), self.own_server()) else {
            return;
        };
        let Ok(Reply::FetchManifests(reply)) = outcome else {
            self.own_gathered.finish();
            self.own_manifests_later(turn, 3);
            return;
        };
        if let Some(after) = self.own_gathered.take(&key, &reply) {
            self.ask_own_manifests(key, server, after);
            return;
        }
        let gathered = self.own_gathered.finish();
        let before = self.own_manifest().map(DeviceManifest::head);
        match self.consider_chain(turn, &key, gathered) {
            Some(Decision::Refuse) => self.own_alarm(AlarmKind::Equivocation),
            // Asked once more from where it says that it begins; a server that hands out the same again
            // withholds what is missing, and is asked again later and ever more seldom.
            Some(Decision::Fetch { after }) if !self.connection.asked_from_anchor => {
                self.connection.asked_from_anchor = true;
                self.ask_own_manifests(key, server, after);
                return;
            }
            Some(Decision::Fetch { .. }) => {
                let withheld = self.connection.manifests_withheld.saturating_add(1);
                self.connection.manifests_withheld = withheld;
                self.own_manifests_later(turn, withheld.saturating_add(3));
                return;
            }
            _ => self.connection.manifests_withheld = 0,
        }
        self.connection.fetching_manifests = false;
        self.settle_claim(&key);
        if before != self.own_manifest().map(DeviceManifest::head) {
            self.resume_device_change(turn);
        }
        self.pump_all(turn);
    }

    fn own_manifests_later(&mut self, turn: &mut Turn<'_>, attempt: u32) {
        self.connection.fetching_manifests = false;
        let due = retry_delay_ms(turn.rng, attempt);
        self.timers.set(Timer::OwnManifests, turn.after_ms(due));
    }
}

/// The call for all versions after a number.
pub(crate) fn fetch_call(account: &AccountKey, after_version: u32) -> Call {
    Call::FetchManifests(v1::FetchManifestsRequest {
        account: Some(v1::fetch_manifests_request::Account::AccountKey(
            account.to_wire(),
        )),
        after_version,
    })
}
