// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The calls, one file for each group, and what they have in common: who calls, and the way to
//! the right handler.

pub(crate) mod account;
pub(crate) mod authenticate;
pub(crate) mod delivery_ids;
pub(crate) mod directory;
pub(crate) mod meet;
pub(crate) mod prekeys;
pub(crate) mod send;

use std::sync::{Arc, Mutex, PoisonError};

use waxwing_identity::{DeviceEntry, DeviceManifest, Signature};
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_storage::server::{AccountRecord, Store};
use waxwing_transport::{AddressPrefix, BoxFuture, Link, StreamError};

use crate::admission::Action;
use crate::live::LiveConnection;
use crate::plane::Plane;
use crate::refusal::Refusal;
use crate::state::State;
use crate::wake::Mailbox;

/// The client at the other end of one connection.
pub(crate) struct Caller {
    pub(crate) link: Link,
    pub(crate) plane: Plane,
    /// Set once a device has authenticated.
    live: Mutex<Option<LiveConnection>>,
}

impl Caller {
    pub(crate) const fn new(link: Link) -> Self {
        Self {
            link,
            plane: Plane::new(),
            live: Mutex::new(None),
        }
    }

    fn prefix(&self) -> AddressPrefix {
        self.link.remote_prefix()
    }

    fn set_live(&self, live: LiveConnection) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(live);
    }

    /// The TLS exporter value that signatures on this connection cover.
    fn exporter(&self) -> Result<[u8; 32], Refusal> {
        let label = waxwing_identity::authentication::EXPORTER_LABEL;
        self.link
            .exporter(label, &[])
            .map_err(|_| Refusal::UNAVAILABLE)
    }
}

/// What one call runs in.
pub(crate) struct Context<S> {
    pub(crate) state: Arc<State<S>>,
    pub(crate) caller: Arc<Caller>,
    /// When the client stops waiting, in monotonic milliseconds.
    pub(crate) deadline_at_ms: u64,
}

impl<S: Store> Context<S> {
    /// Counts the call against the caller's address prefix.
    fn admit(&self, action: Action, cost: u32) -> Result<(), Refusal> {
        self.admit_at(action, cost, self.state.now_ms())
    }

    fn admit_at(&self, action: Action, cost: u32, now_ms: u64) -> Result<(), Refusal> {
        let prefix = self.caller.prefix();
        Ok(self
            .state
            .admission(now_ms)
            .from_address(action, prefix, cost, now_ms)?)
    }

    /// An account, its newest manifest, and in it the device.
    async fn listed_device(
        &self,
        mailbox: Mailbox,
    ) -> Result<(AccountRecord, DeviceManifest, DeviceEntry), Refusal> {
        let record = self
            .state
            .stored(self.state.store.account(mailbox.account).await)?;
        let record = record.ok_or(ErrorCode::DeviceNotListed)?;
        let manifest = stored_manifest(&record.manifest)?;
        let entry = *manifest
            .device(&mailbox.device)
            .ok_or(ErrorCode::DeviceNotListed)?;
        Ok((record, manifest, entry))
    }
}

/// Reads a manifest that this server verified before it stored it.
fn stored_manifest(bytes: &[u8]) -> Result<DeviceManifest, Refusal> {
    DeviceManifest::decode(bytes).map_err(|_| {
        tracing::error!("a stored manifest cannot be read");
        Refusal::UNAVAILABLE
    })
}

fn signature(bytes: &[u8]) -> Result<Signature, Refusal> {
    Signature::try_from(bytes).map_err(|_| Refusal::MALFORMED)
}

/// Runs one call. `cancelled` completes when the client has given it up; only calls that wait look
/// at it, a step of the store is never cut.
pub(crate) async fn answer<S: Store>(
    context: &Context<S>,
    call: Call,
    cancelled: BoxFuture<'static, StreamError>,
) -> Result<Answer, Refusal> {
    // TRN-16.
    let plane = &context.caller.plane;
    match call {
        Call::Register(request) => account::register(context, request)
            .await
            .map(Answer::Register),
        Call::Authenticate(request) => authenticate::authenticate(context, request)
            .await
            .map(Answer::Authenticate),
        Call::ReplaceManifest(request) => account::replace_manifest(context, request)
            .await
            .map(Answer::ReplaceManifest),
        Call::CloseAccount(request) => account::close(context, plane.account()?, request)
            .await
            .map(Answer::CloseAccount),
        Call::PublishPrekeys(request) => prekeys::publish(context, plane.account()?, request)
            .await
            .map(Answer::PublishPrekeys),
        Call::PrekeyStatus(v1::PrekeyStatusRequest {}) => {
            prekeys::status(context, plane.account()?)
                .await
                .map(Answer::PrekeyStatus)
        }
        Call::CreateDeliveryIds(request) => {
            delivery_ids::create(context, plane.account()?, request)
                .await
                .map(Answer::CreateDeliveryIds)
        }
        Call::RevokeDeliveryIds(request) => {
            delivery_ids::revoke(context, plane.account()?, request)
                .await
                .map(Answer::RevokeDeliveryIds)
        }
        Call::AdvanceGeneration(request) => {
            authenticate::advance_generation(context, plane.account()?, request)
                .await
                .map(Answer::AdvanceGeneration)
        }
        // The connection turns a permitted call of this kind into a stream before it comes here.
        Call::Subscribe(v1::SubscribeRequest {}) | Call::OpenSending(v1::OpenSendingRequest {}) => {
            Err(ErrorCode::Unauthenticated.into())
        }
        other => {
            plane.anonymous()?;
            answer_anonymous(context, other, cancelled).await
        }
    }
}

async fn answer_anonymous<S: Store>(
    context: &Context<S>,
    call: Call,
    cancelled: BoxFuture<'static, StreamError>,
) -> Result<Answer, Refusal> {
    match call {
        Call::ResolveName(request) => directory::resolve_name(context, request)
            .await
            .map(Answer::ResolveName),
        Call::FetchManifests(request) => directory::fetch_manifests(context, request)
            .await
            .map(Answer::FetchManifests),
        Call::TakePrekeys(request) => prekeys::take(context, request)
            .await
            .map(Answer::TakePrekeys),
        Call::Send(request) => send::send(context, &request).await.map(Answer::Send),
        Call::PutRendezvous(request) => meet::put(context, request).map(Answer::PutRendezvous),
        Call::FetchRendezvous(request) => meet::fetch(context, request, cancelled)
            .await
            .map(Answer::FetchRendezvous),
        _ => Err(ErrorCode::UnknownCall.into()),
    }
}
