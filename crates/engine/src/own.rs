// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers about the own account beside the steps of the connection.

use waxwing_proto::v1;
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::v1::response::Result as Reply;

use crate::command::{Answer, CommandId};
use crate::effect::Effect;
use crate::engine::{Engine, Turn};
use crate::event::RequestFailure;
use crate::pending::OwnCall;

impl Engine {
    pub(crate) fn own_responded(
        &mut self,
        turn: &mut Turn<'_>,
        call: OwnCall,
        outcome: Result<Reply, RequestFailure>,
    ) {
        match call {
            OwnCall::PrekeyStatus => self.prekey_status(turn, outcome),
            OwnCall::PublishPrekeys => self.prekeys_published(turn, outcome),
            OwnCall::CreateDeliveryIds(ids) => self.delivery_ids_responded(turn, &ids, outcome),
            OwnCall::RevokeDeliveryIds(ids) => self.delivery_ids_revoked(turn, &ids, outcome),
            OwnCall::Manifests => self.own_manifests_responded(turn, outcome),
            OwnCall::ReplaceManifest => self.manifest_replaced(turn, outcome),
            OwnCall::Close(command) => self.account_closed(command, outcome),
            OwnCall::RecoveryChain => self.recovery_chain(turn, outcome),
        }
    }

    fn account_closed(&mut self, command: CommandId, outcome: Result<Reply, RequestFailure>) {
        match outcome {
            Ok(Reply::CloseAccount(v1::CloseAccountResponse {})) => {
                if let Some(account) = &mut self.account {
                    account.phase = Phase::Closed;
                }
                self.save_account();
                self.connection.subscribed = false;
                self.journal.push(Effect::Disconnect);
                self.answer(command, Ok(Answer::Done));
            }
            Ok(_) => self.answer(command, Err(Self::failure(RequestFailure::Malformed))),
            Err(failure) => self.answer(command, Err(Self::failure(failure))),
        }
    }
}
