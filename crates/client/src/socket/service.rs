// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the methods do: each is a command of the engine, with names resolved before and objects
//! made after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast, watch};
use waxwing_engine::command::Status;
use waxwing_engine::{Answer, Command, CommandError};
use waxwing_identity::links::{LinkCode, ServerLink};
use waxwing_proto::DeviceId;

use super::resolve::{self, parse};
use crate::api::{self, Call, objects};
use crate::fault::{Code, Fault, Outcome};
use crate::host::{CommandFailure, Handle, HostError, LinkState};
use crate::sealed_store::SealedStoreError;

/// Who holds the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A command, as long as it runs.
    Foreground,
    /// The process that `unlock` started.
    Background,
}

/// The methods over one engine.
#[derive(Debug)]
pub(crate) struct Service {
    pub(super) handle: Handle,
    profile: String,
    mode: Mode,
    protected: bool,
    drained: AtomicBool,
    locked: watch::Sender<bool>,
    /// Held by the connection that asks for what is unread, so that nothing is shown twice.
    reader: Arc<Mutex<()>>,
}

impl Service {
    pub(crate) fn new(handle: Handle, profile: &str, mode: Mode, protected: bool) -> Self {
        Self {
            handle,
            profile: profile.to_owned(),
            mode,
            protected,
            drained: AtomicBool::new(false),
            locked: watch::channel(false).0,
            reader: Arc::new(Mutex::new(())),
        }
    }

    /// Whether somebody has asked for `lock`.
    pub(super) fn is_locked(&self) -> bool {
        *self.locked.borrow()
    }

    /// Completes when somebody has asked for `lock`.
    pub(crate) async fn locked(&self) {
        let mut locked = self.locked.subscribe();
        // The sender lives as long as this service.
        let _ = locked.wait_for(|locked| *locked).await;
    }

    /// Whether a connection is the one that reads; it becomes it if there is no other.
    pub(super) fn reads(&self, reading: &mut Option<OwnedMutexGuard<()>>) -> bool {
        if reading.is_none() {
            *reading = Arc::clone(&self.reader).try_lock_owned().ok();
        }
        reading.is_some()
    }

    /// What happens from now on.
    pub(super) fn watch(&self) -> broadcast::Receiver<waxwing_engine::Notice> {
        self.handle.notices()
    }

    /// Keeps in mind what `status` says about the mailbox. Runs as long as the host.
    pub(crate) async fn follow(&self, mut notices: broadcast::Receiver<waxwing_engine::Notice>) {
        loop {
            match notices.recv().await {
                Ok(waxwing_engine::Notice::Drained) => self.drained.store(true, Ordering::Relaxed),
                Ok(waxwing_engine::Notice::Online(false)) => {
                    self.drained.store(false, Ordering::Relaxed);
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Answers a call.
    pub(crate) async fn answer(&self, call: Call) -> Outcome<Value> {
        match call {
            Call::Hello { version } => self.hello(version),
            Call::Watch {} => json(&()),
            Call::Lock {} => {
                self.locked.send_replace(true);
                json(&())
            }
            Call::Status {} => json(&self.status().await?),
            Call::Register {
                invite,
                name,
                words,
            } => {
                let command = Command::Register {
                    invite: parse(&invite, Code::InviteInvalid)?,
                    name: parse(&name, Code::NameInvalid)?,
                    words: resolve::words(&words)?,
                };
                self.registered(command).await
            }
            Call::Recover { server, words } => {
                let server = resolve::server_link(&server)?;
                let words = resolve::words(&words)?;
                self.registered(Command::Recover { words, server }).await
            }
            Call::CloseAccount { words } => {
                let words = resolve::words(&words)?;
                self.done(Command::CloseAccount { words }).await
            }
            Call::Receipts {
                delivered,
                read,
                on_their_own,
            } => {
                let command = Command::SetReceipts {
                    delivered,
                    read,
                    on_their_own,
                };
                match self.command(command).await? {
                    Answer::Receipts(settings) => json(&objects::Receipts::new(
                        settings.delivered,
                        settings.read,
                        settings.on_their_own,
                    )),
                    _ => Err(unexpected()),
                }
            }
            Call::Devices {} => self.devices().await,
            Call::Link { server } => {
                let server = resolve::server_link(&server)?;
                match self.command(Command::Link { server }).await? {
                    Answer::LinkCode(code) => json(&objects::LinkCode::new(code.to_string())),
                    _ => Err(unexpected()),
                }
            }
            Call::ConfirmLink { same } => self.done(Command::ConfirmLink { same }).await,
            Call::InspectDevice { code } => {
                let code: LinkCode = parse(&code, Code::LinkCodeInvalid)?;
                match self.command(Command::InspectDevice { code }).await? {
                    Answer::DeviceOffer {
                        device,
                        safety_words,
                    } => json(&objects::DeviceOffer::new(device.to_hex(), safety_words)),
                    _ => Err(unexpected()),
                }
            }
            Call::ApproveDevice { device } => {
                let device = device_id(&device)?;
                self.done(Command::ApproveDevice { device }).await
            }
            Call::RemoveDevice { device } => {
                let device = device_id(&device)?;
                self.done(Command::RemoveDevice { device }).await
            }
            Call::ConfirmDevices { version } => {
                self.done(Command::ConfirmDevices { version }).await
            }
            call => self.answer_about_contacts(call).await,
        }
    }

    fn hello(&self, version: u32) -> Outcome<Value> {
        if version != api::VERSION {
            return Err(Code::HostVersion.into());
        }
        json(&objects::Host::new(
            env!("CARGO_PKG_VERSION").to_owned(),
            api::VERSION,
            std::process::id(),
            self.mode_text().to_owned(),
            self.protected,
        ))
    }

    const fn mode_text(&self) -> &'static str {
        match self.mode {
            Mode::Foreground => "foreground",
            Mode::Background => "background",
        }
    }

    async fn status(&self) -> Outcome<objects::Status> {
        let status = self.engine_status().await?;
        let own_link = self.command(Command::OwnContactLink).await;
        let server_link = match &own_link {
            Ok(Answer::ContactLink(link)) => ServerLink::new(link.server().clone()).ok(),
            _ => None,
        };
        let link = *self.handle.link().borrow();
        let (key_exchange, transport) = match link {
            LinkState::Up(group, transport) => (
                Some(group.as_str().to_owned()),
                Some(transport.as_str().to_owned()),
            ),
            _ => (None, None),
        };
        let link_error = match (own_link, link) {
            // A device that may not connect any more.
            (Err(fault), _)
                if matches!(
                    fault.code,
                    Code::DeviceRemoved | Code::RestoredStore | Code::AccountClosed
                ) =>
            {
                Some(fault.code)
            }
            (_, LinkState::Down(failure)) => Some(Code::from(failure)),
            _ if status.shut_out && !status.online => Some(Code::DeviceShutOut),
            _ => None,
        };
        Ok(objects::Status::new(
            self.profile.clone(),
            status.address,
            status.account.map(|account| account.to_hex()),
            status.device.map(|device| device.to_hex()),
            status.online,
            self.drained.load(Ordering::Relaxed),
            link_error,
            status.server,
            key_exchange,
            transport,
            server_link.map(|link| link.to_string()),
            status.outbox,
            status.waiting.into_iter().map(Into::into).collect(),
            status.alarms,
            status.own_alarm.map(Code::from),
            status.requests,
            status.manifest_version,
            status.one_time_prekeys,
            status.unopenable,
            self.protected,
            self.mode_text().to_owned(),
        ))
    }

    pub(super) async fn engine_status(&self) -> Outcome<Status> {
        match self.command(Command::Status).await? {
            Answer::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    async fn registered(&self, command: Command) -> Outcome<Value> {
        match self.command(command).await? {
            Answer::Registered {
                address,
                account,
                device,
            } => json(&objects::Registered::new(
                address,
                account.to_hex(),
                device.to_hex(),
            )),
            _ => Err(unexpected()),
        }
    }

    async fn devices(&self) -> Outcome<Value> {
        match self.command(Command::ListDevices).await? {
            Answer::Devices(devices) => json(
                &devices
                    .into_iter()
                    .map(objects::Device::from)
                    .collect::<Vec<_>>(),
            ),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn done(&self, command: Command) -> Outcome<Value> {
        match self.command(command).await? {
            Answer::Done => json(&()),
            _ => Err(unexpected()),
        }
    }

    /// Runs a command of the engine.
    pub(super) async fn command(&self, command: Command) -> Outcome<Answer> {
        self.handle
            .command(command)
            .await
            .map_err(|failure| match failure {
                CommandFailure::Command(error) => error.into(),
                CommandFailure::Ended(fate) => fate.map_or_else(|| Code::Locked.into(), host_fault),
            })
    }
}

/// What a fatal error of the host is to a user.
pub(crate) fn host_fault(error: HostError) -> Fault {
    let code = match &error {
        HostError::Store(SealedStoreError::NewerFormat(_)) => Code::StoreTooNew,
        HostError::Store(SealedStoreError::Corrupt) | HostError::Engine(_) => Code::StoreCorrupt,
        HostError::Store(SealedStoreError::Store(error)) => return store_fault(*error),
        _ => Code::Bug,
    };
    Fault::new(code).because(error)
}

/// What an error of the store is to a user.
pub(crate) fn store_fault(error: waxwing_storage::StoreError) -> Fault {
    use waxwing_storage::StoreError;
    let code = match error {
        StoreError::Corrupt { .. } => Code::StoreCorrupt,
        StoreError::NewerFormat { .. } | StoreError::OlderFormat { .. } => Code::StoreTooNew,
        StoreError::StoreInUse => Code::ProfileBusy,
        StoreError::Bug(_) | StoreError::Limit { .. } => Code::Bug,
        _ => Code::StoreFailed,
    };
    Fault::new(code).because(error)
}

pub(super) fn json<T: Serialize>(object: &T) -> Outcome<Value> {
    serde_json::to_value(object).map_err(|_| Fault::bug("an object"))
}

pub(super) const fn unexpected() -> Fault {
    Fault::new(Code::Bug)
}

fn device_id(hex: &str) -> Outcome<DeviceId> {
    DeviceId::from_hex(hex).map_err(|_| Fault::from(CommandError::DeviceUnknown).about(hex))
}
