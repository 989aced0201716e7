// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Invites over rows.

use waxwing_proto::InviteToken;

use super::key_value::{KeyRange, KeyValue};
use super::records::{InviteRow, Record, fixed, key};
use super::server::EmbeddedStore;
use crate::server::{Invite, InviteId, InviteStore};
use crate::{Minute, StoreError};

impl<K: KeyValue> InviteStore for EmbeddedStore<K> {
    async fn create_invite(
        &self,
        token: InviteToken,
        uses: u32,
        expires: Option<Minute>,
    ) -> Result<InviteId, StoreError> {
        let id = InviteId::of(&token);
        let row = InviteRow {
            uses_left: uses,
            expires: expires.map(|minute| minute.0),
        };
        self.write(|step| step.put(key::<InviteRow>(&[&id.0]), &row))
            .await?;
        Ok(id)
    }

    async fn invites(&self) -> Result<Vec<Invite>, StoreError> {
        let table = InviteRow::TABLE;
        let range = KeyRange::prefix(&[table.prefix]);
        self.look(|step| {
            step.scan_bytes(&range, usize::MAX, table.name, |_| true)?
                .iter()
                .map(|row| {
                    let id = row.key.get(1..).unwrap_or_default();
                    let invite = InviteRow::read(&row.value)?;
                    Ok(Invite {
                        id: InviteId(fixed(id, table.name)?),
                        uses_left: invite.uses_left,
                        expires: invite.expires.map(Minute),
                    })
                })
                .collect()
        })
        .await
    }

    async fn revoke_invite(&self, id: InviteId) -> Result<bool, StoreError> {
        let invite_key = key::<InviteRow>(&[&id.0]);
        self.write(|step| {
            let exists = step.get::<InviteRow>(&invite_key)?.is_some();
            if exists {
                step.delete(invite_key)?;
            }
            Ok(exists)
        })
        .await
    }
}
