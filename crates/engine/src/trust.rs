// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one place where trust is decided: may a manifest that somebody showed become the pinned one,
//! and may something be encrypted to its devices.
//!
//! `waxwing-identity` computes facts ([`judge`]); here they become decisions. A key-transparency log
//! will add one more argument to [`decide`] and change nothing else.

use waxwing_identity::{
    DeviceManifest, ManifestError, ManifestHead, PinVerdict, Succession, judge, verify_chain,
};
use waxwing_proto::AccountKey;

use crate::alarms::Alarms;
use crate::notice::AlarmKind;

/// Who showed a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// A server, as the newest version that it has.
    Server,
    /// A peer, inside the encryption; it may have travelled for weeks.
    Peer,
}

/// What follows from a manifest that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is the pinned one, or an older one from somebody who may not know better.
    Keep,
    /// The pin moves to it.
    Accept {
        /// What the user is told, if anything; never something that blocks.
        alarm: Option<AlarmKind>,
    },
    /// The pin moves to it, since revocations work at once, but nothing is sent until the user
    /// verified or the account key signed.
    AcceptAndBlock(AlarmKind),
    /// The pin stays, and nothing is sent.
    Block(AlarmKind),
    /// A server showed an older version than the pinned one. An answer that was under way while the pin
    /// moved looks the same: only a second one in a row is a rollback.
    Behind,
    /// It cannot be judged without the versions after this number.
    Fetch {
        /// The number.
        after: u32,
    },
    /// It is no manifest of this account's chain.
    Refuse,
}

/// Decides about `shown` for the account that was pinned by a link, a name or an earlier session.
///
/// `known` holds versions in between, in any order. An attacker controls `shown`, `known` and what
/// is missing; the account's keys alone can make this function accept.
pub(crate) fn decide(
    account: &AccountKey,
    pinned: Option<&DeviceManifest>,
    shown: &DeviceManifest,
    known: &[DeviceManifest],
    witness: Witness,
) -> Decision {
    // IDN-24, IDN-25, IDN-26.
    if shown.account() != account {
        return Decision::Block(AlarmKind::KeyChanged);
    }
    let Some(pinned) = pinned else {
        return decide_first(shown, known);
    };
    match judge(pinned, shown, known) {
        Ok(PinVerdict::Same) => Decision::Keep,
        Ok(PinVerdict::Extends(succession)) => accept(&succession, None),
        Ok(PinVerdict::AccountOverride(succession)) => {
            accept(&succession, Some(AlarmKind::Recovered))
        }
        Ok(PinVerdict::Older | PinVerdict::Voided) => match witness {
            Witness::Server => Decision::Behind,
            Witness::Peer => Decision::Keep,
        },
        Ok(PinVerdict::Equivocation) => Decision::Block(AlarmKind::Equivocation),
        Ok(PinVerdict::MissingVersions { after }) => Decision::Fetch { after },
        Err(ManifestError::OtherAccount) => Decision::Block(AlarmKind::KeyChanged),
        Err(_) => Decision::Refuse,
    }
}

/// A first manifest is accepted when all of it leads to the account key.
fn decide_first(shown: &DeviceManifest, known: &[DeviceManifest]) -> Decision {
    if shown.leads_to_account() {
        return Decision::Accept { alarm: None };
    }
    let anchor = shown.anchor();
    let mut chain: Vec<&DeviceManifest> = known
        .iter()
        .filter(|manifest| {
            manifest.account() == shown.account()
                && manifest.version() >= anchor.version
                && manifest.version() < shown.version()
        })
        .collect();
    chain.sort_by_key(|manifest| manifest.version());
    chain.dedup_by_key(|manifest| manifest.head());
    chain.push(shown);
    match verify_chain(chain) {
        Ok(_) => Decision::Accept { alarm: None },
        Err(_) => Decision::Fetch {
            after: anchor.version.saturating_sub(1),
        },
    }
}

fn accept(succession: &Succession, alarm: Option<AlarmKind>) -> Decision {
    if succession.younger_revokes_older {
        return Decision::AcceptAndBlock(AlarmKind::SuspiciousRemoval);
    }
    // Where the account key revoked every earlier device this is a recovery, also on the pinned version.
    let replaced_by_account =
        succession.account_signed && !succession.revoked.is_empty() && !succession.added.is_empty();
    Decision::Accept {
        alarm: alarm.or(replaced_by_account.then_some(AlarmKind::Recovered)),
    }
}

/// Whether nothing may be sent while this alarm stands.
pub(crate) const fn blocks_sending(alarm: AlarmKind) -> bool {
    // IDN-29.
    match alarm {
        AlarmKind::KeyChanged
        | AlarmKind::Equivocation
        | AlarmKind::Rollback
        | AlarmKind::SuspiciousRemoval
        | AlarmKind::RemovedFromAccount
        | AlarmKind::RestoredStore => true,
        // What a contact merely says keeps nobody from writing.
        AlarmKind::ClonedDevice
        | AlarmKind::SessionsInVain
        | AlarmKind::ListContested
        | AlarmKind::Recovered => false,
    }
}

/// What can settle an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// The user compared the account keys and nothing else.
    AccountKeys,
    /// The user compared the account keys and the head of the contact's manifest with its own code.
    CompleteCode,
    /// A later version that the account key signed was accepted.
    AccountSigned,
    /// The user looked at the own account's devices and found them right.
    OwnDevices,
    /// Sessions are renewed again.
    Renewed,
    /// The user accepted the contact once more, and all sessions with its devices were destroyed.
    BegunAnew,
}

/// Whether an alarm ends by it. Account keys say nothing about devices: whoever stole a device, or
/// serves old or forked lists of devices, has the same account key in front.
pub(crate) const fn settles(by: Settlement, alarm: AlarmKind) -> bool {
    // IDN-64, IDN-65, IDN-66, SES-67, SES-68.
    match by {
        Settlement::Renewed => return matches!(alarm, AlarmKind::SessionsInVain),
        Settlement::BegunAnew => {
            return matches!(alarm, AlarmKind::ClonedDevice | AlarmKind::SessionsInVain);
        }
        _ => {}
    }
    match alarm {
        AlarmKind::Equivocation
        | AlarmKind::Rollback
        | AlarmKind::SuspiciousRemoval
        | AlarmKind::ListContested => !matches!(by, Settlement::AccountKeys),
        AlarmKind::KeyChanged | AlarmKind::ClonedDevice | AlarmKind::Recovered => {
            !matches!(by, Settlement::AccountSigned)
        }
        // No comparison says anything about what a server holds back.
        AlarmKind::SessionsInVain => false,
        // This device is of no more use; there is nothing to settle.
        AlarmKind::RemovedFromAccount | AlarmKind::RestoredStore => false,
    }
}

/// Whether a verification still counts: a device of the verified head must be left, and neither the
/// key changed nor the account equivocated.
pub(crate) const fn verification_stands(verified_devices_left: bool, alarms: Alarms) -> bool {
    verified_devices_left
        && !alarms.contains(AlarmKind::KeyChanged)
        && !alarms.contains(AlarmKind::Equivocation)
        && !alarms.contains(AlarmKind::SuspiciousRemoval)
}

/// What a head that a peer named says about the one that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadClaim {
    /// Nothing new.
    Fits,
    /// There is a later version: ask for it.
    Behind,
    /// Two versions with one number.
    Conflict,
}

/// Compares a head that somebody named with the held one.
pub(crate) fn compare_head(named: &ManifestHead, held: &ManifestHead) -> HeadClaim {
    use waxwing_identity::HeadRelation;
    match named.relation_to(held) {
        HeadRelation::Same | HeadRelation::Older => HeadClaim::Fits,
        HeadRelation::Newer => HeadClaim::Behind,
        HeadRelation::Conflicting => HeadClaim::Conflict,
    }
}
