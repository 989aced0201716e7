// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Invites: the right to register. Only the SHA-256 of a token is stored.

use core::future::Future;

use sha2::{Digest, Sha256};
use waxwing_proto::InviteToken;

use crate::{Minute, StoreError};

/// The SHA-256 of an invite token: names an invite without being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteId(pub [u8; 32]);

impl InviteId {
    /// The id of a token.
    #[must_use]
    pub fn of(token: &InviteToken) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// An invite as the operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invite {
    /// Its id.
    pub id: InviteId,
    /// Registrations that it still allows.
    pub uses_left: u32,
    /// The first minute in which it is no longer good; `None` for never.
    pub expires: Option<Minute>,
}

/// Invites.
pub trait InviteStore: Send + Sync + 'static {
    /// Makes an invite good for `uses` registrations. The same token again replaces it.
    fn create_invite(
        &self,
        token: InviteToken,
        uses: u32,
        expires: Option<Minute>,
    ) -> impl Future<Output = Result<InviteId, StoreError>> + Send;

    /// Every invite that was not revoked, used-up and expired ones included, ordered by id.
    fn invites(&self) -> impl Future<Output = Result<Vec<Invite>, StoreError>> + Send;

    /// Removes an invite; `false` where there was none.
    fn revoke_invite(&self, id: InviteId) -> impl Future<Output = Result<bool, StoreError>> + Send;
}
