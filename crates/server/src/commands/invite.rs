// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `invite new|list|revoke`.

use serde_json::json;

use super::Scene;
use crate::admin::{self, NewInvite, Order, Reply};
use crate::cli::{InviteArgs, InviteCommand};
use crate::failure::Failure;
use crate::invite::Lifetime;
use crate::text::{self, answers};
use crate::{logging, qr};

/// The order that makes an invite as the command line says.
pub(super) fn order(args: &InviteArgs, uses_default: u32) -> Order {
    Order::NewInvite {
        uses: args.uses.unwrap_or(uses_default),
        lifetime_minutes: match args.expires {
            Lifetime::Minutes(minutes) => Some(minutes),
            Lifetime::Unlimited => None,
        },
    }
}

pub(super) fn run(scene: &Scene, command: InviteCommand) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    let order = match command {
        InviteCommand::New(args) => order(&args, 1),
        InviteCommand::List => Order::ListInvites,
        InviteCommand::Revoke { id } => Order::RevokeInvite { id },
    };
    let reply = super::serve::runtime()?.block_on(admin::perform(&scene.folder, &order))?;
    match reply {
        Reply::NewInvite(invite) => show_new(scene, &invite),
        Reply::Invites(invites) => {
            let value = json!({ "v": 1, "type": "invites", "invites": invites });
            scene
                .output
                .result(&answers::invites(&invites, &scene.data_option), &value)
        }
        Reply::Revoked { id } => {
            let value = json!({ "v": 1, "type": "revoked", "id": id });
            scene.output.result(&answers::revoked(&id), &value)
        }
        _ => Err(text::bug("the reply does not fit the order")),
    }
}

fn show_new(scene: &Scene, invite: &NewInvite) -> Result<(), Failure> {
    let value = json!({
        "v": 1,
        "type": "invite",
        "invite": invite.link,
        "id": invite.id,
        "uses": invite.uses,
        "expires": invite.expires_minute.map(text::date_and_time),
    });
    let image = if scene.output.is_terminal() {
        qr::draw(&invite.link)
    } else {
        None
    };
    scene
        .output
        .result(&answers::new_invite(invite, image.as_deref()), &value)
}
