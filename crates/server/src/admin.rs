// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The admin socket: how commands reach the store while a server runs on it. One JSON line each
//! way, only for processes of the same user (the folder is closed to others, and the peer is asked).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::disclosure::Disclosure;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::operator::Operator;
use crate::{platform, text};

const ORDER_SIZE_MAX: u64 = 64 * 1024;
const CONVERSATIONS_MAX: usize = 8;
const ORDER_TIME: Duration = Duration::from_secs(5);
const REPLY_TIME: Duration = Duration::from_secs(60);
/// An export is as large as the store.
const EXPORT_TIME: Duration = Duration::from_secs(6 * 3600);
/// How often, and how far apart, a command looks again for a server that is about to answer.
const LOOKS: u32 = 30;
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Status,
    NewInvite {
        uses: u32,
        /// Minutes from now; absent for ever.
        lifetime_minutes: Option<u32>,
    },
    ListInvites,
    RevokeInvite {
        /// The first digits of its id.
        id: String,
    },
    Disclose {
        /// A name, or an account key in hexadecimal digits.
        account: String,
    },
    Export {
        /// The absolute path of a file that is not there.
        file: String,
    },
}

impl Order {
    /// How long a reply may take.
    const fn reply_time(&self) -> Duration {
        match self {
            Self::Export { .. } => EXPORT_TIME,
            _ => REPLY_TIME,
        }
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Status {
        accounts: u64,
        transports: Vec<String>,
        /// Connections at this moment, by the name of their key exchange.
        connections: BTreeMap<String, u64>,
    },
    NewInvite(NewInvite),
    Invites(Vec<ListedInvite>),
    Revoked {
        id: String,
    },
    Disclosure(Disclosure),
    Exported(ExportedCounts),
    ExportFailed {
        file: String,
        /// The operating system's number for what went wrong with the file, where it has one.
        error: Option<i32>,
    },
    UnknownInvite {
        id: String,
    },
    AmbiguousInvite {
        id: String,
    },
    UnknownAccount {
        account: String,
    },
    StoreFailed {
        code: String,
    },
    Misunderstood,
}

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExportedCounts {
    pub(crate) rows: u64,
    pub(crate) mailboxes: u64,
    pub(crate) envelopes: u64,
    pub(crate) damaged: u64,
}

/// An invite that was just made: the only time that its token is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewInvite {
    pub(crate) link: String,
    pub(crate) id: String,
    pub(crate) uses: u32,
    pub(crate) expires_minute: Option<u32>,
}

/// An invite in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedInvite {
    pub(crate) id: String,
    pub(crate) uses_left: u32,
    pub(crate) expires_minute: Option<u32>,
    pub(crate) expired: bool,
}

/// Has an order performed: by the server that runs on the folder, or else right here.
pub(crate) async fn perform(folder: &Folder, order: &Order) -> Result<Reply, Failure> {
    let configuration = folder.configuration()?;
    for look in 0..LOOKS {
        if let Some(reply) = ask(folder, order).await? {
            return refused(reply);
        }
        if let Some(_lock) = folder.lock()? {
            folder.check_private()?;
            let store = Arc::new(folder.open_store(&configuration).await?);
            let operator = Operator::new(store, folder, &configuration)?;
            return refused(operator.perform(order).await);
        }
        // Somebody has the folder and does not answer yet: a server that starts or ends.
        if look.saturating_add(1) < LOOKS {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
    Err(text::server_silent(folder.path()))
}

/// Asks the running server; `None` when there is none.
pub(crate) async fn ask(folder: &Folder, order: &Order) -> Result<Option<Reply>, Failure> {
    let mut stream = match UnixStream::connect(folder.socket_path()).await {
        Ok(stream) => stream,
        // No socket, a socket that a crash left, or a folder that is not ours to enter.
        Err(_) => return Ok(None),
    };
    let silent = || text::server_silent(folder.path());
    let mut line = serde_json::to_vec(order).map_err(|error| text::bug(&error.to_string()))?;
    line.push(b'\n');
    let exchange = async {
        stream.write_all(&line).await?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await?;
        Ok::<_, io::Error>(reply)
    };
    let reply = tokio::time::timeout(order.reply_time(), exchange)
        .await
        .map_err(|_| silent())?;
    match reply {
        // The server ended before it answered.
        Ok(reply) if reply.is_empty() => Ok(None),
        Ok(reply) => serde_json::from_slice(&reply)
            .map(Some)
            .map_err(|_| silent()),
        Err(_) => Ok(None),
    }
}

/// Turns the replies that say no into failures.
fn refused(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        Reply::UnknownInvite { id } => Err(text::unknown_invite(&id)),
        Reply::AmbiguousInvite { id } => Err(text::ambiguous_invite(&id)),
        Reply::UnknownAccount { account } => Err(text::unknown_account(&account)),
        Reply::StoreFailed { code } => Err(text::store_failed_there(&code)),
        Reply::ExportFailed { file, error } => {
            let error = match error {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::ErrorKind::Other.into(),
            };
            Err(text::export_file_failed(Path::new(&file), &error))
        }
        Reply::Misunderstood => Err(text::bug("another version of waxwingd is running")),
        reply => Ok(reply),
    }
}

/// Answers orders until it is dropped.
pub(crate) async fn serve(listener: UnixListener, operator: Arc<Operator>) {
    let places = Arc::new(Semaphore::new(CONVERSATIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for the moment.
            tokio::time::sleep(LOOK_INTERVAL).await;
            continue;
        };
        if !platform::peer_is_trusted(&stream) {
            tracing::warn!("another user tried the admin socket");
            continue;
        }
        let operator = Arc::clone(&operator);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &operator).await {
                tracing::debug!(kind = %error.kind(), "a conversation on the admin socket broke off");
            }
            drop(place);
        });
    }
}

async fn converse(mut stream: UnixStream, operator: &Operator) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = Vec::new();
    let mut limited = BufReader::new(read).take(ORDER_SIZE_MAX);
    tokio::time::timeout(ORDER_TIME, limited.read_until(b'\n', &mut line)).await??;
    let reply = match serde_json::from_slice(&line) {
        Ok(order) => operator.perform(&order).await,
        Err(_) => Reply::Misunderstood,
    };
    let mut bytes = serde_json::to_vec(&reply).map_err(io::Error::other)?;
    bytes.push(b'\n');
    tokio::time::timeout(REPLY_TIME, write.write_all(&bytes)).await??;
    write.shutdown().await
}
