// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A relay in memory, directly on the wire messages: it keeps the rules that a client relies on and
//! can be told to break some.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use waxwing_engine::{Now, RequestFailure};
use waxwing_identity::authentication::{verify_authentication, verify_generation};
use waxwing_identity::{DeviceManifest, Signature, verify_successor};
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, InviteToken, KeyPin, ServerAddress};

use super::World;
use super::mailboxes::{Mailbox, Prekeys};
use super::witness::Witness;

/// A connection of the account plane.
pub(crate) struct Caller {
    /// The server, where the relay stands for several.
    pub(crate) host: String,
    pub(crate) exporter: [u8; 32],
    pub(crate) device: Option<(AccountKey, DeviceId)>,
}

pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) manifests: Vec<DeviceManifest>,
    pub(crate) public: DeliveryId,
    pub(crate) own: DeliveryId,
    pub(crate) generations: BTreeMap<DeviceId, u64>,
}

impl Account {
    pub(crate) fn newest(&self) -> &DeviceManifest {
        self.manifests.last().unwrap()
    }
}

#[derive(Default)]
pub(crate) struct Relay {
    pub(crate) invites: BTreeSet<InviteToken>,
    pub(crate) accounts: BTreeMap<AccountKey, Account>,
    pub(crate) ids: BTreeMap<DeliveryId, AccountKey>,
    pub(crate) mailboxes: BTreeMap<DeviceId, Mailbox>,
    pub(crate) prekeys: BTreeMap<DeviceId, Prekeys>,
    pub(crate) undrained: BTreeSet<DeviceId>,
    pub(crate) rendezvous: BTreeMap<(Bytes, u32), Bytes>,
    /// Shown instead of the newest manifest of an account.
    pub(crate) lies: BTreeMap<AccountKey, Bytes>,
    /// Names that answer with another account.
    pub(crate) other_names: BTreeMap<String, AccountKey>,
    pub(crate) mailboxes_full: bool,
    /// Lets devices in that were removed, and tells nobody about newer manifests.
    pub(crate) forgets_removals: bool,
    pub(crate) ids_full: bool,
    pub(crate) prekey_questions: u32,
    /// What was deleted at the retention limit, for each device.
    pub(crate) expired: Vec<(DeviceId, v1::ExpiredCount)>,
    /// How often anybody was told of some.
    pub(crate) told_expired: u32,
    /// Positions that were acknowledged.
    pub(crate) acknowledged: u64,
    /// How many calls of each kind came.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    /// Answers that a hostile server gives to manifest fetches about an account.
    pub(crate) chain_lies: BTreeMap<AccountKey, v1::FetchManifestsResponse>,
    /// Says that it has no one-time pairs, whatever it was given.
    pub(crate) forgets_prekeys: bool,
    /// Refuses sendings, and wants to be left alone for weeks.
    pub(crate) busy: bool,
    /// Answers every wait for a slot at once, with nothing.
    pub(crate) impatient: bool,
    /// Accepts what is for these devices, and loses it.
    pub(crate) loses: BTreeSet<DeviceId>,
    /// Envelopes that were accepted.
    pub(crate) accepted: u32,
    /// Bytes of the newest of them.
    pub(crate) newest_size: usize,
    /// By host: the key that a server shows instead of that of all, and what it tells of its keys.
    pub(crate) keys: BTreeMap<String, (KeyPin, Vec<Bytes>)>,
    /// What no client may do, and what they all said.
    pub(crate) witness: Witness,
}

pub(crate) type Outcome = Result<Reply, RequestFailure>;

pub(crate) fn refuse(code: ErrorCode) -> Outcome {
    Err(RequestFailure::Refused {
        code,
        retry_after_ms: 0,
    })
}

const fn kind(call: &Call) -> &'static str {
    match call {
        Call::FetchManifests(_) => "manifests",
        Call::TakePrekeys(_) => "take prekeys",
        Call::Send(_) => "send",
        Call::PublishPrekeys(_) => "publish",
        Call::RevokeDeliveryIds(_) => "revoke",
        Call::CreateDeliveryIds(_) => "create",
        Call::Authenticate(_) => "authenticate",
        _ => "other",
    }
}

fn key(bytes: &Bytes) -> AccountKey {
    AccountKey::try_from(bytes.as_ref()).unwrap()
}

pub(crate) fn device(bytes: &Bytes) -> DeviceId {
    DeviceId::try_from(bytes.as_ref()).unwrap()
}

pub(crate) fn delivery_id(bytes: &Bytes) -> DeliveryId {
    DeliveryId::try_from(bytes.as_ref()).unwrap()
}

fn signature(bytes: &Bytes) -> Signature {
    Signature::try_from(bytes.as_ref()).unwrap()
}

impl Relay {
    /// The key that a server shows.
    pub(crate) fn key_at(&self, server: &ServerAddress) -> KeyPin {
        let key = self.keys.get(server.host.as_str());
        key.map_or(World::server().key_pins[0], |(key, _)| *key)
    }

    pub(crate) fn call(&mut self, _now: Now, caller: Option<&mut Caller>, call: Call) -> Outcome {
        *self.calls.entry(kind(&call)).or_default() += 1;
        self.witness.hear(&call);
        match call {
            Call::ResolveName(request) => self.resolve(&request),
            Call::FetchManifests(request) => self.fetch_manifests(&request),
            Call::TakePrekeys(request) => self.take_prekeys(&request),
            Call::Send(_) if self.busy => Err(RequestFailure::Refused {
                code: ErrorCode::RateLimited,
                retry_after_ms: u32::MAX,
            }),
            Call::Send(request) => self.send(&request),
            Call::PutRendezvous(request) => {
                self.rendezvous
                    .insert((request.locator, request.slot), request.value);
                Ok(Reply::PutRendezvous(v1::PutRendezvousResponse {}))
            }
            other => match caller {
                None => refuse(ErrorCode::WrongPlane),
                Some(caller) => self.account_call(caller, other),
            },
        }
    }

    fn account_call(&mut self, caller: &mut Caller, call: Call) -> Outcome {
        match call {
            Call::Register(request) => return self.register(&request),
            Call::Authenticate(request) => return self.authenticate(caller, &request),
            Call::ReplaceManifest(request) => return self.replace_manifest(&request),
            _ => {}
        }
        let Some((account, device)) = caller.device else {
            return refuse(ErrorCode::Unauthenticated);
        };
        match call {
            Call::PublishPrekeys(request) => self.publish(device, &request),
            Call::PrekeyStatus(_) => {
                let prekeys = self.prekeys.entry(device).or_default();
                Ok(Reply::PrekeyStatus(v1::PrekeyStatusResponse {
                    one_time_remaining: prekeys.one_time.len() as u32,
                    signed_pair_id: prekeys.signed_id,
                }))
            }
            Call::CreateDeliveryIds(_) if self.ids_full => refuse(ErrorCode::LimitReached),
            Call::CreateDeliveryIds(request) => {
                for id in &request.delivery_ids {
                    self.ids.insert(delivery_id(id), account);
                }
                Ok(Reply::CreateDeliveryIds(v1::CreateDeliveryIdsResponse {}))
            }
            Call::RevokeDeliveryIds(request) => {
                for id in &request.delivery_ids {
                    self.ids.remove(&delivery_id(id));
                }
                Ok(Reply::RevokeDeliveryIds(v1::RevokeDeliveryIdsResponse {}))
            }
            Call::AdvanceGeneration(request) => {
                self.expired
                    .retain(|(of, expired)| *of != device || !request.expired.contains(expired));
                let known = self.accounts.get_mut(&account).unwrap();
                let lists = |manifest: &&DeviceManifest| manifest.device(&device).is_some();
                let newest_with = known.manifests.iter().rfind(lists).unwrap();
                let entry = *newest_with.device(&device).unwrap();
                verify_generation(
                    &account,
                    &device,
                    request.generation,
                    &entry.signing_key(),
                    &signature(&request.signature),
                )
                .unwrap();
                let stored = known.generations.entry(device).or_default();
                if request.generation < *stored {
                    return refuse(ErrorCode::GenerationRolledBack);
                }
                *stored = request.generation;
                Ok(Reply::AdvanceGeneration(v1::AdvanceGenerationResponse {}))
            }
            Call::CloseAccount(_) => {
                self.accounts.remove(&account);
                self.ids.retain(|_, owner| *owner != account);
                Ok(Reply::CloseAccount(v1::CloseAccountResponse {}))
            }
            _ => refuse(ErrorCode::UnknownCall),
        }
    }

    fn register(&mut self, request: &v1::RegisterRequest) -> Outcome {
        let manifest = DeviceManifest::decode(&request.manifest).unwrap();
        let account = *manifest.account();
        let token = InviteToken::try_from(request.invite_token.as_ref()).unwrap();
        if !self.invites.contains(&token) {
            return refuse(ErrorCode::InviteUsed);
        }
        if self.accounts.contains_key(&account) {
            return refuse(ErrorCode::AccountExists);
        }
        if self
            .accounts
            .values()
            .any(|known| known.name == request.name)
        {
            return refuse(ErrorCode::NameTaken);
        }
        self.invites.remove(&token);
        let (public, own) = (
            delivery_id(&request.public_delivery_id),
            delivery_id(&request.own_delivery_id),
        );
        self.ids.insert(public, account);
        self.ids.insert(own, account);
        self.accounts.insert(
            account,
            Account {
                name: request.name.clone(),
                manifests: vec![manifest],
                public,
                own,
                generations: BTreeMap::new(),
            },
        );
        Ok(Reply::Register(v1::RegisterResponse {}))
    }

    fn authenticate(&mut self, caller: &mut Caller, request: &v1::AuthenticateRequest) -> Outcome {
        let (account, id) = (key(&request.account_key), device(&request.device_id));
        let Some(known) = self.accounts.get(&account) else {
            return refuse(ErrorCode::NotFound);
        };
        let manifest = if self.forgets_removals {
            let lists = |manifest: &&DeviceManifest| manifest.device(&id).is_some();
            known.manifests.iter().rfind(lists).unwrap()
        } else {
            known.newest()
        };
        let Some(entry) = manifest.device(&id) else {
            return refuse(ErrorCode::DeviceNotListed);
        };
        verify_authentication(
            &caller.exporter,
            &account,
            &id,
            &entry.signing_key(),
            &signature(&request.signature),
        )
        .unwrap();
        caller.device = Some((account, id));
        self.told_expired += u32::from(self.expired.iter().any(|(of, _)| *of == id));
        Ok(Reply::Authenticate(v1::AuthenticateResponse {
            manifest_version: manifest.version(),
            generation: known.generations.get(&id).copied().unwrap_or(0),
            expired: self
                .expired
                .iter()
                .filter(|(of, _)| *of == id)
                .map(|(_, expired)| *expired)
                .collect(),
            name: known.name.clone(),
            public_delivery_id: known.public.to_wire(),
            own_delivery_id: known.own.to_wire(),
            key_pins: self
                .keys
                .get(&caller.host)
                .map_or(Vec::new(), |(_, told)| told.clone()),
        }))
    }

    fn replace_manifest(&mut self, request: &v1::ReplaceManifestRequest) -> Outcome {
        let manifest = DeviceManifest::decode(&request.manifest).unwrap();
        let Some(known) = self.accounts.get_mut(manifest.account()) else {
            return refuse(ErrorCode::NotFound);
        };
        if verify_successor(known.newest(), &manifest).is_err() {
            return refuse(ErrorCode::ManifestConflict);
        }
        for gone in known.newest().devices() {
            if manifest.device(&gone.id()).is_none() {
                self.mailboxes.remove(&gone.id());
                self.prekeys.remove(&gone.id());
            }
        }
        known.manifests.push(manifest);
        Ok(Reply::ReplaceManifest(v1::ReplaceManifestResponse {}))
    }

    fn resolve(&self, request: &v1::ResolveNameRequest) -> Outcome {
        let other = self.other_names.get(&request.name);
        let found = self.accounts.iter().find(|(key, account)| match other {
            Some(other) => *key == other,
            None => account.name == request.name,
        });
        match found {
            None => refuse(ErrorCode::NotFound),
            Some((key, account)) => Ok(Reply::ResolveName(v1::ResolveNameResponse {
                account_key: key.to_wire(),
                public_delivery_id: account.public.to_wire(),
                proof: Bytes::new(),
            })),
        }
    }

    fn fetch_manifests(&self, request: &v1::FetchManifestsRequest) -> Outcome {
        let Some(v1::fetch_manifests_request::Account::AccountKey(bytes)) = &request.account else {
            return refuse(ErrorCode::Malformed);
        };
        if let Some(lie) = self.chain_lies.get(&key(bytes)) {
            return Ok(Reply::FetchManifests(lie.clone()));
        }
        let Some(known) = self.accounts.get(&key(bytes)) else {
            return refuse(ErrorCode::NotFound);
        };
        let later: Vec<&DeviceManifest> = known
            .manifests
            .iter()
            .filter(|manifest| manifest.version() > request.after_version)
            .collect();
        Ok(Reply::FetchManifests(v1::FetchManifestsResponse {
            // Two at a time, so that asking on is exercised.
            manifests: later
                .iter()
                .take(2)
                .map(|manifest| manifest.as_bytes().clone())
                .collect(),
            more: later.len() > 2,
            proof: Bytes::new(),
        }))
    }

    /// The manifest that is shown for an account.
    pub(crate) fn shown(&self, account: &AccountKey) -> Bytes {
        match self.lies.get(account) {
            Some(lie) => lie.clone(),
            None => self.accounts[account].newest().as_bytes().clone(),
        }
    }

    pub(crate) fn slot(&self, request: &v1::FetchRendezvousRequest) -> Option<Bytes> {
        self.rendezvous
            .get(&(request.locator.clone(), request.slot))
            .cloned()
    }
}
