// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the users of a host talk to it.

use std::sync::{Arc, OnceLock};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use waxwing_engine::{Answer, Command, CommandError, LinkFailure, Notice};
use waxwing_transport::{KeyExchange, Signals, Transport};

use super::error::HostError;

/// Commands that wait for the engine at a time.
const COMMANDS_WAITING_MAX: usize = 64;
/// Notices that a slow watcher may be behind before it misses some.
const NOTICES_BEHIND_MAX: usize = 1024;

/// A command that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandFailure {
    /// The engine's answer.
    Command(CommandError),
    /// The host has ended; what a changing command did is found in the store by the next host.
    Ended(Option<HostError>),
}

/// How the connection to one's own server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// None is wanted, or the first attempt has not ended.
    Idle,
    /// It is up, over this key exchange and this transport.
    Up(KeyExchange, Transport),
    /// The last attempt failed, or the connection was lost; another attempt follows.
    Down(LinkFailure),
}

/// A host's users share it by clones. The host goes on when all are gone; [`Handle::shut_down`]
/// ends it.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Asked>,
    notices: broadcast::Sender<Notice>,
    shutdown: watch::Sender<bool>,
    link: watch::Receiver<LinkState>,
    signals: Signals,
    fate: Arc<OnceLock<Option<HostError>>>,
}

impl core::fmt::Debug for Handle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Handle(..)")
    }
}

/// A command on its way to the engine.
pub(super) struct Asked {
    pub(super) command: Box<Command>,
    pub(super) reply: oneshot::Sender<Result<Answer, CommandError>>,
}

/// The driver's ends of what a handle holds.
pub(super) struct Desk {
    pub(super) commands: mpsc::Receiver<Asked>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) shutdown: watch::Receiver<bool>,
    pub(super) link: watch::Sender<LinkState>,
    pub(super) fate: Arc<OnceLock<Option<HostError>>>,
}

impl Handle {
    pub(super) fn new() -> (Self, Desk) {
        let (commands, commands_out) = mpsc::channel(COMMANDS_WAITING_MAX);
        let (notices, _) = broadcast::channel(NOTICES_BEHIND_MAX);
        let (shutdown, shutdown_out) = watch::channel(false);
        let (link_in, link) = watch::channel(LinkState::Idle);
        let fate = Arc::new(OnceLock::new());
        let desk = Desk {
            commands: commands_out,
            notices: notices.clone(),
            shutdown: shutdown_out,
            link: link_in,
            fate: Arc::clone(&fate),
        };
        (
            Self {
                commands,
                notices,
                shutdown,
                link,
                signals: Signals::new(),
                fate,
            },
            desk,
        )
    }

    /// Hands a command to the engine and waits for its answer, which may take as long as the
    /// network does. Dropping the future does not take the command back.
    ///
    /// # Errors
    /// [`CommandFailure`].
    pub async fn command(&self, command: Command) -> Result<Answer, CommandFailure> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            command: Box::new(command),
            reply,
        };
        if self.commands.send(asked).await.is_err() {
            return Err(self.ended());
        }
        match answer.await {
            Ok(answer) => answer.map_err(CommandFailure::Command),
            Err(_) => Err(self.ended()),
        }
    }

    /// What happens from now on. A watcher that falls too far behind is told so by the channel and
    /// finds what it missed by asking: every notice stands for a state that can be read.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// How the connection to one's own server is, now and from now on.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }

    /// Says that the network of this device has changed, has come back, or that the application
    /// came to the front: connections are tried and made anew at once, on both planes.
    pub fn network_changed(&self) {
        self.signals.network_changed();
    }

    pub(super) fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// Asks the host to end: what is under way to the disk arrives there, acknowledgements that are
    /// due go out within a second, everything else waits for the next host.
    pub fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Completes when the host has ended.
    pub async fn ended_wholly(&self) -> Option<HostError> {
        self.commands.closed().await;
        self.fate.get().copied().flatten()
    }

    fn ended(&self) -> CommandFailure {
        CommandFailure::Ended(self.fate.get().copied().flatten())
    }
}
