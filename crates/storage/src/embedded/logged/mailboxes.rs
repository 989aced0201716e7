// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mailboxes in the delivery log.

use std::vec;

use waxwing_proto::{DeliveryId, DeviceId};

use super::routes::{Route, Routes};
use crate::StoreError;
use crate::embedded::accounts::account_key;
use crate::embedded::key_value::KeyValue;
use crate::embedded::mailboxes;
use crate::embedded::records::{AccountRow, Record};
use crate::embedded::rows::Step;
use crate::embedded::server::{EmbeddedStore, ServerLimits};
use crate::embedded::shares::{self, Usage};
use crate::log::{
    Arrival, Change, Committed, DeliveryLog, Group, Held, Mailbox, MailboxKey, Prepared, Turn,
};
use crate::server::{
    AddressedEnvelope, Append, AppendRefusal, Appended, Outcome, Position, Recipient,
    StoredEnvelope,
};

fn routes<K: KeyValue>(store: &EmbeddedStore<K>) -> Result<&Routes, StoreError> {
    let routes = store.key_value.routes();
    routes.ok_or(StoreError::Bug("a delivery log without routes"))
}

/// Where a delivery id leads, whether or not that is durable. The caller holds the turn of the steps.
fn route<K: KeyValue>(
    store: &EmbeddedStore<K>,
    id: &DeliveryId,
) -> Result<Option<Route>, StoreError> {
    let routes = routes(store)?;
    if let Some(route) = routes.get(id) {
        return Ok(Some(route));
    }
    let read = routes.moment();
    let found = mailboxes::recipient_in(&mut Step::new(&store.key_value), id)?.map(Route::from);
    if let Some(route) = &found {
        routes.put(*id, route, read);
    }
    Ok(found)
}

/// Where a delivery id leads, mostly without the turn of the steps.
fn find<K: KeyValue>(
    store: &EmbeddedStore<K>,
    id: &DeliveryId,
) -> Result<Option<Route>, StoreError> {
    if let Some(route) = routes(store)?.get(id) {
        return Ok(Some(route));
    }
    let _steps = store.turn()?;
    route(store, id)
}

/// See [`crate::server::MailboxStore::recipient`].
pub(in crate::embedded) fn recipient<K: KeyValue>(
    store: &EmbeddedStore<K>,
    id: &DeliveryId,
) -> Result<Option<Recipient>, StoreError> {
    Ok(find(store, id)?.map(|route| Recipient {
        account: route.account,
        kind: route.kind,
        manifest_version: route.listed.manifest_version,
        devices: route.listed.devices.clone(),
    }))
}

/// Whom a sending is for, or why it is for nobody. `last` is what the sending before it led to.
fn target<K: KeyValue>(
    store: &EmbeddedStore<K>,
    append: &Append,
    last: &mut Option<(DeliveryId, Route)>,
) -> Outcome<Route, AppendRefusal> {
    let found = match last {
        Some((id, found)) if *id == append.delivery_id => found.clone(),
        _ => {
            let Some(found) = find(store, &append.delivery_id)? else {
                return Ok(Err(AppendRefusal::DeliveryIdGone));
            };
            *last = Some((append.delivery_id, found.clone()));
            found
        }
    };
    let lists = |one: &AddressedEnvelope| found.listed.devices.contains(&one.device);
    let is_current = append.manifest_version == found.listed.manifest_version
        && append.envelopes.iter().all(lists);
    if is_current {
        return Ok(Ok(found));
    }
    store.glance(|step| {
        let row = step
            .get::<AccountRow>(&account_key(&found.account))?
            .ok_or(StoreError::Corrupt {
                what: AccountRow::TABLE.name,
            })?;
        let manifest = step.newest_manifest(&found.account, &row)?;
        Ok(Err(AppendRefusal::StaleDevices { manifest }))
    })
}

fn held(held: Held) -> shares::Held {
    shares::Held {
        envelopes: held.envelopes,
        bytes: held.bytes,
    }
}

fn usage(mailbox: Option<&Mailbox>, append: &Append) -> Usage {
    mailbox.map_or_else(Usage::default, |mailbox| Usage {
        all: held(mailbox.held()),
        own: held(mailbox.held_own()),
        strangers: held(mailbox.held_strangers()),
        same_id: held(mailbox.held_under(&append.delivery_id)),
    })
}

/// Sendings on their way into a turn: where each goes, and the envelopes of all that go anywhere, encoded.
struct Aimed<'a> {
    sendings: Vec<(&'a Append, Outcome<Route, AppendRefusal>)>,
    prepared: Vec<Prepared>,
}

/// See [`crate::server::MailboxStore::append_all`].
pub(in crate::embedded) async fn append_all<K: KeyValue>(
    store: &EmbeddedStore<K>,
    log: &DeliveryLog,
    appends: Vec<Append>,
) -> Vec<Outcome<Appended, AppendRefusal>> {
    let count = appends.len();
    let failed = |error: StoreError| (0..count).map(|_| Err(error)).collect();
    // Many wait here at once, each with what it needs for the answers only.
    let (answers, committed) = match begin(store, log, appends) {
        Ok(begun) => begun,
        Err(error) => return failed(error),
    };
    match committed.durable().await {
        Ok(()) => answers,
        Err(error) => failed(error),
    }
}

/// What is answered once that is durable. A refusal too: it is answered when what it saw is durable.
type Begun = (Vec<Outcome<Appended, AppendRefusal>>, Committed);

/// All of [`append_all`] but for waiting.
fn begin<K: KeyValue>(
    store: &EmbeddedStore<K>,
    log: &DeliveryLog,
    appends: Vec<Append>,
) -> Result<Begun, StoreError> {
    // BOX-9, BOX-10.
    store.key_value.admit()?;
    loop {
        let seen = routes(store)?.moment();
        let Aimed { sendings, prepared } = aim(store, log, &appends);
        let mut turn = log.turn()?;
        // A change of rows is noted within the turn that commits it: where none was, what was found holds.
        if routes(store)?.moment() != seen {
            continue;
        }
        touch(&mut turn, &prepared);
        let mut delivering = Delivering {
            limits: &store.limits,
            turn: &mut turn,
            prepared: prepared.into_iter(),
            group: Group::new(),
            positions: Vec::new(),
        };
        let answers = sendings
            .into_iter()
            .map(|(append, route)| match route? {
                Ok(route) => Ok(delivering.deliver(append, &route)?.map(|stored| Appended {
                    account: route.account,
                    stored,
                })),
                Err(refusal) => Ok(Err(refusal)),
            })
            .collect();
        return Ok((answers, turn.finish()?));
    }
}

/// Looks once for what mailboxes remember of envelopes. Each look misses the processor's caches; without
/// anything between them they are waited for together, and what is decided then finds its memory there.
fn touch(turn: &mut Turn<'_>, prepared: &[Prepared]) {
    let is_same = |one: &Prepared, other: &Prepared| one.mailbox() == other.mailbox();
    for together in prepared.chunk_by(is_same) {
        if let Some(first) = together.first()
            && let Ok(Some(mailbox)) = turn.mailbox(first.mailbox())
        {
            let known = together.iter().filter(|one| mailbox.knows(one));
            core::hint::black_box(known.count());
        }
    }
}

/// Finds where sendings go, and encodes and checksums their envelopes, so that nobody waits for it.
fn aim<'a, K: KeyValue>(
    store: &EmbeddedStore<K>,
    log: &DeliveryLog,
    appends: &'a [Append],
) -> Aimed<'a> {
    let mut prepared = Vec::with_capacity(appends.len());
    let mut last = None;
    let sendings = appends.iter().map(|append| {
        let route = target(store, append, &mut last);
        if let Ok(Ok(route)) = &route {
            prepared.extend(append.envelopes.iter().map(|addressed| {
                let mailbox = MailboxKey {
                    account: route.account,
                    device: addressed.device,
                };
                let arrival = Arrival {
                    envelope_id: addressed.envelope_id,
                    delivery_id: append.delivery_id,
                    kind: route.kind,
                    day: append.today,
                    body: addressed.envelope.clone(),
                };
                log.prepare(mailbox, &arrival)
            }));
        }
        (append, route)
    });
    let sendings = sendings.collect();
    Aimed { sendings, prepared }
}

/// Sendings that enter their mailboxes in one turn.
struct Delivering<'a, 'b> {
    limits: &'a ServerLimits,
    turn: &'a mut Turn<'b>,
    /// Of this sending and those after it.
    prepared: vec::IntoIter<Prepared>,
    group: Group,
    positions: Vec<Position>,
}

impl Delivering<'_, '_> {
    /// Stages what is new and fits.
    fn deliver(
        &mut self,
        append: &Append,
        route: &Route,
    ) -> Outcome<Vec<(DeviceId, Position)>, AppendRefusal> {
        self.group.clear();
        self.positions.clear();
        let mut is_full = false;
        let mut stored = Vec::with_capacity(append.envelopes.len());
        for (addressed, prepared) in append.envelopes.iter().zip(&mut self.prepared) {
            let mailbox = self.turn.mailbox(prepared.mailbox())?;
            if mailbox.is_some_and(|mailbox| mailbox.knows(&prepared)) {
                continue;
            }
            let usage = usage(mailbox, append);
            let size = mailboxes::size_of(&addressed.envelope);
            is_full |= !shares::has_room(&usage, self.limits, route.kind, size);
            stored.push((addressed.device, Position::START));
            self.group.push(Change::Deliver(prepared));
        }
        if is_full {
            return Ok(Err(AppendRefusal::MailboxFull));
        }
        self.turn.stage(&mut self.group, &mut self.positions)?;
        for ((_, position), staged) in stored.iter_mut().zip(&self.positions) {
            *position = *staged;
        }
        Ok(Ok(stored))
    }
}

/// See [`crate::server::MailboxStore::read`].
pub(in crate::embedded) fn read(
    log: &DeliveryLog,
    mailbox: MailboxKey,
    after: Position,
    max_count: usize,
    max_bytes: usize,
) -> Result<Vec<StoredEnvelope>, StoreError> {
    // BOX-16, BOX-17.
    log.read(&mailbox, after, max_count, max_bytes)
}

/// See [`crate::server::MailboxStore::acknowledge`].
pub(in crate::embedded) async fn acknowledge(
    log: &DeliveryLog,
    mailbox: MailboxKey,
    positions: Vec<Position>,
) -> Result<(), StoreError> {
    // BOX-22.
    let group = vec![Change::Acknowledge(mailbox, positions)];
    let committed = log.turn()?.commit(group)?;
    committed.durable().await
}
