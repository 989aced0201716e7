// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may use how much of a mailbox.

use waxwing_proto::limits::MAILBOX_OWN_RESERVE_DIVISOR;

use super::server::ServerLimits;
use crate::server::DeliveryIdKind;

/// Envelopes and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    pub(super) envelopes: u64,
    pub(super) bytes: u64,
}

impl Held {
    fn plus(self, size: u64) -> Self {
        Self {
            envelopes: self.envelopes.saturating_add(1),
            bytes: self.bytes.saturating_add(size),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            envelopes: self.envelopes.saturating_sub(other.envelopes),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    const fn is_within(self, envelopes: u64, bytes: u64) -> bool {
        self.envelopes <= envelopes && self.bytes <= bytes
    }
}

/// What a mailbox holds when one more envelope is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) all: Held,
    /// From the account's own devices.
    pub(super) own: Held,
    pub(super) strangers: Held,
    /// Under the delivery id of the one that is to come.
    pub(super) same_id: Held,
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn without_reserve(max: u64) -> u64 {
    let reserve = max.checked_div(MAILBOX_OWN_RESERVE_DIVISOR).unwrap_or(0);
    max.saturating_sub(reserve)
}

/// Whether one more envelope of this kind and size fits into the mailbox and into its share.
pub(super) fn has_room(
    usage: &Usage,
    limits: &ServerLimits,
    kind: DeliveryIdKind,
    size: u64,
) -> bool {
    // BOX-12, BOX-13, BOX-70, BOX-71, BOX-72.
    let envelopes_max = number(limits.mailbox_envelopes_max);
    let bytes_max = limits.mailbox_bytes_max;
    let all = usage.all.plus(size);
    if !all.is_within(envelopes_max, bytes_max) {
        return false;
    }
    let others_fit = all
        .minus(usage.own)
        .is_within(without_reserve(envelopes_max), without_reserve(bytes_max));
    match kind {
        DeliveryIdKind::Own => true,
        DeliveryIdKind::Public => {
            others_fit
                && usage.strangers.plus(size).is_within(
                    number(limits.mailbox_stranger_envelopes_max),
                    limits.mailbox_stranger_bytes_max,
                )
        }
        DeliveryIdKind::Contact => {
            others_fit
                && usage.same_id.plus(size).is_within(
                    number(limits.mailbox_contact_envelopes_max),
                    limits.mailbox_contact_bytes_max,
                )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [BOX-70], [BOX-72].
    #[test]
    fn one_contact_cannot_fill_a_mailbox_and_the_reserve_stays() {
        let limits = ServerLimits::default();
        let share = number(limits.mailbox_contact_envelopes_max);
        let mut usage = Usage::default();
        let mut contacts = 0_u64;
        loop {
            usage.same_id = Held::default();
            if !has_room(&usage, &limits, DeliveryIdKind::Contact, 1) {
                break;
            }
            contacts += 1;
            while has_room(&usage, &limits, DeliveryIdKind::Contact, 1) {
                usage.all = usage.all.plus(1);
                usage.same_id = usage.same_id.plus(1);
            }
            assert!(usage.same_id.envelopes <= share);
        }
        assert!(contacts > 4, "one contact may use a fourth of it at most");
        assert!(!has_room(&usage, &limits, DeliveryIdKind::Public, 1));
        assert!(has_room(&usage, &limits, DeliveryIdKind::Own, 1));
        let large = limits.mailbox_contact_bytes_max;
        let empty = Usage::default();
        assert!(has_room(&empty, &limits, DeliveryIdKind::Contact, large));
        assert!(!has_room(
            &empty,
            &limits,
            DeliveryIdKind::Contact,
            large + 1
        ));
        assert!(has_room(&empty, &limits, DeliveryIdKind::Own, large + 1));
    }
}
