// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an answer or a read belongs to. Lost at a restart: what it was for can be told from the rows.

use waxwing_proto::{AccountKey, AccountName, DeliveryId};

use crate::command::CommandId;
use crate::reading::Reading;

/// What a call was made for.
pub(crate) enum Pending {
    /// A step of the account's connection.
    Account(AccountCall),
    /// Something about the own account beside that.
    Own(OwnCall),
    /// The lane of an account.
    Lane {
        /// The account.
        account: AccountKey,
        /// The step.
        call: LaneCall,
    },
    /// Newer manifests of a contact.
    Manifests(AccountKey),
    /// A name that the user typed.
    Resolve {
        /// The command.
        command: CommandId,
        /// The name.
        name: AccountName,
        /// The label that the user wants.
        label: Option<String>,
    },
    /// A step of a linking.
    Linking(LinkingCall),
}

/// Steps of the account's connection, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccountCall {
    Register,
    /// The override of a recovery.
    Recover,
    Authenticate,
    AdvanceGeneration,
}

/// Other calls about the own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnCall {
    PrekeyStatus,
    /// Whether the publication held a signed pair.
    PublishPrekeys,
    CreateDeliveryIds(Vec<(AccountKey, DeliveryId)>),
    RevokeDeliveryIds(Vec<DeliveryId>),
    /// The versions of the own manifest.
    Manifests,
    /// A change of devices.
    ReplaceManifest,
    Close(CommandId),
    /// The chain that a recovery overrides.
    RecoveryChain,
}

/// Steps of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneCall {
    TakePrekeys,
    Manifests,
    /// The shipment of this number.
    Send(u64),
    /// The contact's address once more, since its delivery id is gone.
    Resolve,
}

/// Steps of a linking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkingCall {
    /// A slot was written.
    Put(u32),
    /// A slot is waited for.
    Fetch(u32),
    /// The chain of the account that this new device is to join.
    Chain,
}

/// What rows were asked for.
pub(crate) enum Query {
    /// For the delivery in hand.
    Inbox,
    /// For a list of messages.
    Reading {
        /// The command.
        command: CommandId,
        /// How far the reading is.
        reading: Reading,
    },
    /// Rows of the unread list that are to go.
    Shown {
        /// The command.
        command: CommandId,
        /// The highest cursor that was shown.
        up_to: u64,
    },
}
