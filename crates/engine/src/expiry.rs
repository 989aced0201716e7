// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages that waited too long on the server and were deleted there. The counts are told at least once:
//! the server forgets them when this device has stored them, and this device when the user was told.

use waxwing_proto::{limits, v1};

use crate::command::{Answer, CommandId, ExpiredMessages};
use crate::engine::Engine;
use crate::notice::Notice;

/// What was deleted of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldExpiry {
    expired: ExpiredMessages,
    /// Whether the server knows that this device holds it.
    acknowledged: bool,
    shown: bool,
}

impl HeldExpiry {
    const fn new(expired: ExpiredMessages) -> Self {
        Self {
            expired,
            acknowledged: false,
            shown: false,
        }
    }

    pub(crate) const fn to_row(self) -> v1::HeldExpiry {
        v1::HeldExpiry {
            day: self.expired.day,
            count: self.expired.count,
            acknowledged: self.acknowledged,
            shown: self.shown,
        }
    }

    pub(crate) const fn from_row(row: &v1::HeldExpiry) -> Self {
        Self {
            expired: ExpiredMessages {
                day: row.day,
                count: row.count,
            },
            acknowledged: row.acknowledged,
            shown: row.shown,
        }
    }

    const fn is_done(&self) -> bool {
        self.acknowledged && self.shown
    }
}

impl Engine {
    /// What the server says it has deleted. Staged; the server hears of it after that is durable.
    pub(crate) fn hold_expired(&mut self, told: &[v1::ExpiredCount]) {
        // BOX-40, BOX-41.
        let Some(account) = &mut self.account else {
            return;
        };
        let mut news = Vec::new();
        for count in told.iter().take(limits::EXPIRED_DAYS_MAX) {
            let expired = ExpiredMessages {
                day: count.day,
                count: count.count,
            };
            // The same row of the server, told again because it did not hear of this device's having it.
            let again = account.expired.iter().position(|held| {
                held.expired.day == expired.day
                    && !held.acknowledged
                    && held.expired.count <= expired.count
            });
            if let Some(held) = again.and_then(|place| account.expired.get_mut(place)) {
                if held.expired == expired {
                    continue;
                }
                *held = HeldExpiry::new(expired);
            } else if account.expired.len() < limits::EXPIRED_DAYS_MAX {
                account.expired.push(HeldExpiry::new(expired));
            } else {
                // Not held, so not acknowledged: told again when there is room.
                continue;
            }
            news.push(expired);
        }
        for ExpiredMessages { day, count } in news {
            self.notify(Notice::Expired { day, count });
        }
    }

    /// What this device holds and the server still keeps.
    pub(crate) fn unacknowledged_expired(&self) -> Vec<v1::ExpiredCount> {
        let held = self.account.iter().flat_map(|account| &account.expired);
        held.filter(|held| !held.acknowledged)
            .map(|held| v1::ExpiredCount {
                day: held.expired.day,
                count: held.expired.count,
            })
            .collect()
    }

    /// The server has forgotten what it was told that this device holds.
    pub(crate) fn expired_acknowledged(&mut self) {
        let Some(account) = &mut self.account else {
            return;
        };
        if account.expired.iter().all(|held| held.acknowledged) {
            return;
        }
        for held in &mut account.expired {
            held.acknowledged = true;
        }
        account.expired.retain(|held| !held.is_done());
        self.save_account();
    }

    /// What the user has not been told, the oldest day first.
    pub(crate) fn expired_messages(&self) -> Vec<ExpiredMessages> {
        let held = self.account.iter().flat_map(|account| &account.expired);
        let mut list: Vec<ExpiredMessages> = held
            .filter(|held| !held.shown)
            .map(|held| held.expired)
            .collect();
        list.sort_by_key(|expired| (expired.day, expired.count));
        list
    }

    /// The user was told of these.
    pub(crate) fn expired_shown(&mut self, command: CommandId, shown: &[ExpiredMessages]) {
        if let Some(account) = &mut self.account {
            for held in &mut account.expired {
                held.shown |= shown.contains(&held.expired);
            }
            account.expired.retain(|held| !held.is_done());
            self.save_account();
        }
        self.answer(command, Ok(Answer::Done));
    }
}
