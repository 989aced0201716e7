// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an operator can do to a store: invites and disclosure. The same code runs inside the
//! server and in a command that has the folder for itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use waxwing_identity::InviteLink;
use waxwing_proto::{AccountKey, InviteToken, ServerAddress};
use waxwing_relay::Census;
use waxwing_storage::server::{AccountStore as _, InviteId, InviteStore as _};
use waxwing_storage::{Minute, StoreError};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::{Clock as _, Entropy as _};

use crate::admin::{ExportedCounts, ListedInvite, NewInvite, Order, Reply};
use crate::backup::{self, Trouble};
use crate::config::Configuration;
use crate::disclosure::Disclosure;
use crate::failure::Failure;
use crate::folder::{Folder, ServerStore};
use crate::invite::{self, Lifetime};
use crate::text;

/// An operator at a store.
pub(crate) struct Operator {
    store: Arc<ServerStore>,
    server: ServerAddress,
    transports: Vec<String>,
    /// Of the server that runs; absent in a command that has the folder for itself.
    census: Option<Arc<Census>>,
}

impl Operator {
    /// An operator who makes links to the server of this folder.
    pub(crate) fn new(
        store: Arc<ServerStore>,
        folder: &Folder,
        configuration: &Configuration,
    ) -> Result<Self, Failure> {
        let key = folder.server_key()?;
        let server = key.address(configuration)?;
        let transports = configuration.transport_names();
        Ok(Self {
            store,
            server,
            transports: transports.into_iter().map(str::to_owned).collect(),
            census: None,
        })
    }

    /// The same, beside a server that runs.
    pub(crate) fn of_running(self, census: Arc<Census>) -> Self {
        Self {
            census: Some(census),
            ..self
        }
    }

    /// The connections at this moment, by their key exchange.
    fn connections(&self) -> BTreeMap<String, u64> {
        let counts = self.census.as_ref().map(|census| census.by_key_exchange());
        counts
            .unwrap_or_default()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }

    /// The server as links name it.
    pub(crate) const fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Performs an order. Refusals are replies too.
    pub(crate) async fn perform(&self, order: &Order) -> Reply {
        let performed = match order {
            Order::Status => self
                .store
                .account_count()
                .await
                .map(|accounts| Reply::Status {
                    accounts,
                    transports: self.transports.clone(),
                    connections: self.connections(),
                }),
            Order::NewInvite {
                uses,
                lifetime_minutes,
            } => {
                let lifetime = lifetime_minutes.map_or(Lifetime::Unlimited, Lifetime::Minutes);
                self.new_invite(*uses, lifetime).await
            }
            Order::ListInvites => self.list_invites().await,
            Order::RevokeInvite { id } => self.revoke_invite(id).await,
            Order::Disclose { account } => self.disclose(account).await,
            Order::Export { file } => self.export(file).await,
        };
        performed.unwrap_or_else(|error| Reply::StoreFailed {
            code: error.code().to_owned(),
        })
    }

    async fn new_invite(&self, uses: u32, lifetime: Lifetime) -> Result<Reply, StoreError> {
        let mut token = [0; InviteToken::LENGTH];
        SystemEntropy.fill(&mut token);
        let token = InviteToken::new(token);
        let expires = lifetime.expires(this_minute());
        let id = self.store.create_invite(token, uses, expires).await?;
        let link = InviteLink::new(self.server.clone(), token)
            .map_err(|_| StoreError::Bug("the server's address fits no link"))?;
        Ok(Reply::NewInvite(NewInvite {
            link: link.to_string(),
            id: invite::short_id(&id),
            uses,
            expires_minute: expires.map(|minute| minute.0),
        }))
    }

    async fn list_invites(&self) -> Result<Reply, StoreError> {
        let now = this_minute();
        let invites = self.store.invites().await?;
        let listed = invites.into_iter().map(|invite| ListedInvite {
            id: invite::short_id(&invite.id),
            uses_left: invite.uses_left,
            expires_minute: invite.expires.map(|minute| minute.0),
            expired: invite.expires.is_some_and(|expires| expires <= now),
        });
        Ok(Reply::Invites(listed.collect()))
    }

    async fn revoke_invite(&self, text: &str) -> Result<Reply, StoreError> {
        let unknown = || Reply::UnknownInvite {
            id: text.to_owned(),
        };
        if !invite::is_id(text) {
            return Ok(unknown());
        }
        let invites = self.store.invites().await?;
        let mut found = invites
            .iter()
            .map(|invite| invite.id)
            .filter(|id| invite::id_begins(id, text));
        let Some(id): Option<InviteId> = found.next() else {
            return Ok(unknown());
        };
        if found.next().is_some() {
            return Ok(Reply::AmbiguousInvite {
                id: text.to_owned(),
            });
        }
        if self.store.revoke_invite(id).await? {
            Ok(Reply::Revoked {
                id: invite::short_id(&id),
            })
        } else {
            Ok(unknown())
        }
    }

    async fn disclose(&self, text: &str) -> Result<Reply, StoreError> {
        // `name@host` is what people know; the host is this server.
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let record = match (AccountKey::from_hex(text), name.parse()) {
            (Ok(account), _) => self.store.account(account).await?,
            (Err(_), Ok(name)) => self.store.account_by_name(name).await?,
            (Err(_), Err(_)) => None,
        };
        match record {
            None => Ok(Reply::UnknownAccount {
                account: text.to_owned(),
            }),
            Some(record) => {
                let name = record.name.as_str();
                let disclosure = Disclosure::of(&*self.store, record.account, name).await?;
                Ok(Reply::Disclosure(disclosure))
            }
        }
    }

    /// Writes an export. It blocks for as long as that takes, so it has a thread of its own.
    async fn export(&self, file: &str) -> Result<Reply, StoreError> {
        let (store, path) = (Arc::clone(&self.store), PathBuf::from(file));
        let written = tokio::task::spawn_blocking(move || backup::write(&store, &path))
            .await
            .map_err(|_| StoreError::Bug("an export panicked"))?;
        match written {
            Ok(exported) => Ok(Reply::Exported(ExportedCounts {
                rows: exported.rows,
                mailboxes: exported.mailboxes,
                envelopes: exported.envelopes,
                damaged: exported.damaged,
            })),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::File(error)) => Ok(Reply::ExportFailed {
                file: file.to_owned(),
                error: error.raw_os_error(),
            }),
        }
    }
}

fn this_minute() -> Minute {
    Minute::from_unix_seconds(SystemClock::new().wall_ms() / 1000)
}

/// The link that `up` and `init` show.
pub(crate) fn server_link(server: &ServerAddress) -> Result<String, Failure> {
    waxwing_identity::ServerLink::new(server.clone())
        .map(|link| link.to_string())
        .map_err(|error| text::bug(&error.to_string()))
}
