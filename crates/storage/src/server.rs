// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a server keeps, in traits grouped by job.
//!
//! Every method is one whole step of the protocol: atomic, serialised with every other step, and
//! durable when its future resolves with `Ok`. A step decides on everything that was decided
//! before it, durable or not, and is answered after all that it saw is durable. A future that is
//! dropped before it resolves leaves the step done or not done, never half done.
//! A step returns [`Outcome`]: the outer error is the store's own and ends the server, the inner
//! one is the step's typed refusal, which changes nothing.

pub mod account;
pub mod delivery_id;
pub mod disclosure;
pub mod invite;
pub mod mailbox;
pub mod prekey;

pub use account::{
    AccountRecord, AccountStore, CloseRefusal, DeviceRecord, GenerationRefusal, ManifestHead,
    ManifestVersion, RegisterRefusal, Registration, ReplaceRefusal,
};
pub use delivery_id::{CreateDeliveryIdsRefusal, DeliveryIdKind, DeliveryIdStore};
pub use disclosure::{DISCLOSURE_FIELDS, DisclosedRow, DisclosedValue, DisclosureStore};
pub use invite::{Invite, InviteId, InviteStore};
pub use mailbox::{
    AddressedEnvelope, Append, AppendRefusal, Appended, ExpiredCount, MailboxStore, Position,
    Recipient, StoredEnvelope,
};
pub use prekey::{
    OneTimePair, PrekeyBundle, PrekeyStatus, PrekeyStore, Publication, PublishRefusal, SignedPair,
    TakeRefusal, TakenPrekeys,
};

use crate::StoreError;

/// The result of a step that can be refused: `Err` is a failed store, `Ok(Err(_))` a refusal.
pub type Outcome<T, R> = Result<Result<T, R>, StoreError>;

/// Everything that a server keeps. Rendezvous slots are not here: they live in memory only.
pub trait Store:
    AccountStore + InviteStore + PrekeyStore + DeliveryIdStore + MailboxStore + DisclosureStore
{
}

impl<S> Store for S where
    S: AccountStore + InviteStore + PrekeyStore + DeliveryIdStore + MailboxStore + DisclosureStore
{
}
