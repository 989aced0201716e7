// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a command gets to an engine: through the process that hosts it, or by becoming that process.
//!
//! The profile's lock decides who hosts. It is never held during a prompt, so two commands that
//! start at once may both ask for the passphrase, but one of them hosts and the other attaches.

mod dialing;
mod hosting;
mod network;

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::api::{Call, Notice};
use crate::console::Console;
use crate::fault::{Code, Fault, Outcome};
use crate::passphrase::Sources;
use crate::platform;
use crate::profile::{Folders, Profile, config};
use crate::socket::{Client, Mode};
pub(crate) use dialing::Dialing;
use hosting::Hosting;

/// How long a command waits for another process that holds the profile and does not answer: it
/// opens the store, or ends.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);
const BUSY_PAUSE: Duration = Duration::from_millis(40);

/// How a new store is to be protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protect {
    /// With a passphrase.
    Passphrase,
    /// Not at all; the user said so.
    Nothing,
}

/// What every command works with.
pub(crate) struct Context {
    pub(crate) console: Console,
    pub(crate) folders: Folders,
    pub(crate) profile: Profile,
    pub(crate) sources: Sources,
    /// How servers are reached.
    pub(crate) dialing: Dialing,
    /// How long the network may take, where the user said so.
    pub(crate) timeout: Option<Duration>,
}

impl Context {
    pub(crate) fn new(console: Console, global: &crate::cli::Global) -> Outcome<Self> {
        let folders = Folders::find()?;
        let profile = Profile::new(&folders, &global.profile)?;
        let settings = config::read(&folders.config, &global.profile)?;
        Ok(Self {
            console,
            folders,
            profile,
            sources: Sources::new(global.clone(), settings.passphrase_command),
            dialing: Dialing::new(
                (global.transport, settings.transport),
                settings.proxy,
                settings.constant_packets.unwrap_or_default(),
                global.timeout,
            )?,
            timeout: global.timeout,
        })
    }
}

/// A connection to the profile's engine. [`Session::close`] ends it; a session that is dropped and
/// hosts the engine takes it down as a crash would, which loses nothing.
pub(crate) struct Session {
    client: Client,
    hosting: Option<Hosting>,
}

impl Session {
    /// Gets to the engine of an existing profile.
    pub(crate) async fn open(context: &mut Context) -> Outcome<Self> {
        context.profile.must_exist()?;
        Self::start(context, None, Mode::Foreground).await
    }

    /// Becomes the host of an existing profile in the background; fails when there is one.
    pub(crate) async fn open_background(context: &mut Context) -> Outcome<Self> {
        context.profile.must_exist()?;
        Self::start(context, None, Mode::Background).await
    }

    /// Gets to the engine, and makes the profile if there is none.
    pub(crate) async fn open_or_create(context: &mut Context, protect: Protect) -> Outcome<Self> {
        if context.profile.exists() {
            let protected = context.profile.needs_passphrase()?;
            if protected != (protect == Protect::Passphrase) {
                return Err(Fault::new(Code::ProtectionDiffers).about(&context.profile.name));
            }
        }
        Self::start(context, Some(protect), Mode::Foreground).await
    }

    async fn start(context: &mut Context, create: Option<Protect>, mode: Mode) -> Outcome<Self> {
        let mut patience: Option<Instant> = None;
        loop {
            if let Some(client) = attach(&context.profile).await? {
                return Ok(Self {
                    client,
                    hosting: None,
                });
            }
            // Asked for without the lock; afterwards another process may host.
            let is_new = !context.profile.exists();
            let passphrase = match (is_new, create) {
                (true, None) => {
                    return Err(Fault::new(Code::ProfileMissing).about(&context.profile.name));
                }
                (true, Some(Protect::Nothing)) => None,
                (true, Some(Protect::Passphrase)) => {
                    Some(context.sources.new_store(&context.console).await?)
                }
                (false, _) if context.profile.needs_passphrase()? => {
                    let asked = !context.sources.is_silent();
                    let passphrase = context.sources.existing(&context.console).await?;
                    if asked && let Some(client) = attach(&context.profile).await? {
                        return Ok(Self {
                            client,
                            hosting: None,
                        });
                    }
                    Some(passphrase)
                }
                (false, _) => None,
            };
            match context.profile.lock()? {
                // Somebody made or removed the profile meanwhile: look again.
                Some(lock) if context.profile.exists() == is_new => drop(lock),
                Some(lock) => {
                    let (hosting, client) = Hosting::begin(
                        &context.profile,
                        lock,
                        (passphrase, is_new),
                        mode,
                        &context.dialing,
                    )
                    .await?;
                    return Ok(Self {
                        client,
                        hosting: Some(hosting),
                    });
                }
                None => {}
            }
            let until = *patience.get_or_insert_with(|| platform::deadline(BUSY_PATIENCE));
            if Instant::now() >= until {
                return Err(Fault::new(Code::ProfileBusy).about(&context.profile.name));
            }
            sleep(BUSY_PAUSE).await;
        }
    }

    /// Whether this process hosts the engine.
    pub(crate) const fn is_host(&self) -> bool {
        self.hosting.is_some()
    }

    /// Whether this process made the profile.
    pub(crate) fn is_new(&self) -> bool {
        self.hosting.as_ref().is_some_and(Hosting::is_new)
    }

    /// Makes a call.
    pub(crate) async fn call<T: DeserializeOwned>(&mut self, call: &Call) -> Outcome<T> {
        let outcome = self.client.call(call).await;
        self.explained(outcome).await
    }

    /// Asks for notices.
    pub(crate) async fn watch(&mut self) -> Outcome {
        self.client.watch().await
    }

    /// The next notice, or why there will be none. Cancellation safe.
    pub(crate) async fn notice(&mut self) -> Outcome<Notice> {
        let outcome = tokio::select! {
            biased;
            fault = ended(self.hosting.as_ref()) => return Err(fault),
            notice = self.client.notice() => notice,
        };
        self.explained(outcome).await
    }

    /// Completes when the hosted engine ends by itself or somebody asks for `lock`; never where
    /// another process hosts.
    pub(crate) async fn ended(&self) -> Fault {
        ended(self.hosting.as_ref()).await
    }

    /// Ends: what is under way to the disk arrives there, and others who use this host are told.
    pub(crate) async fn close(self) {
        if let Some(hosting) = self.hosting {
            hosting.end().await;
        }
    }

    /// Ends, and removes the profile that this process made.
    pub(crate) async fn discard(self, profile: &Profile) {
        if let Some(hosting) = self.hosting {
            let lock = hosting.end().await;
            profile.discard();
            drop(lock);
        }
    }

    /// A lost connection to oneself has a better reason: how the engine ended.
    async fn explained<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        match (&self.hosting, outcome) {
            (Some(hosting), Err(fault)) if fault.code == Code::HostLost => {
                Err(hosting.ended().await)
            }
            (_, outcome) => outcome,
        }
    }
}

async fn ended(hosting: Option<&Hosting>) -> Fault {
    match hosting {
        Some(hosting) => hosting.ended().await,
        None => core::future::pending().await,
    }
}

/// Connects to the host of a profile, if there is one that answers.
pub(crate) async fn attach(profile: &Profile) -> Outcome<Option<Client>> {
    match connect(profile).await? {
        Some(client) => Ok(client.greet().await?.map(|(client, _)| client)),
        None => Ok(None),
    }
}

/// Connects to the host of a profile, whatever its version is.
pub(crate) async fn connect(profile: &Profile) -> Outcome<Option<Client>> {
    match profile.host_socket() {
        Some(path) => Client::connect(&path).await,
        None => Ok(None),
    }
}
