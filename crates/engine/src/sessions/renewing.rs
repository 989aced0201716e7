// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the horizon asks the sessions, and what it notes with them.

use waxwing_proto::{AccountKey, DeviceId};

use super::Sessions;
use super::clock::{Clock, Renewal};
use crate::journal::Journal;
use crate::keys;

impl Sessions {
    /// Whether the active session with a device should be followed by a new one.
    pub(crate) fn renewal(&self, account: &AccountKey, device: &DeviceId, now_ms: u64) -> Renewal {
        self.peers
            .get(&(*account, *device))
            .and_then(|peer| Some(peer.clock.renewal(peer.active()?, now_ms)))
            .unwrap_or(Renewal::NotDue)
    }

    /// Whether the sessions with a device of an account cannot be renewed.
    pub(crate) fn renews_in_vain(&self, account: &AccountKey) -> bool {
        let devices = self.peers.iter().filter(|((owner, _), _)| owner == account);
        devices
            .into_iter()
            .any(|(_, known)| known.clock.renews_in_vain())
    }

    /// The times of a device.
    pub(crate) fn clock(&self, account: &AccountKey, device: &DeviceId) -> Option<&Clock> {
        self.peers.get(&(*account, *device)).map(|peer| &peer.clock)
    }

    /// When a content that answers nothing left last for a device of an account.
    pub(crate) fn last_control_ms(&self, account: &AccountKey) -> u64 {
        let devices = self.peers.iter().filter(|((owner, _), _)| owner == account);
        let times = devices.map(|(_, known)| known.clock.control_ms);
        times.max().unwrap_or(0)
    }

    /// Notes that such a content leaves.
    pub(crate) fn note_control(
        &mut self,
        journal: &mut Journal,
        account: &AccountKey,
        now_ms: u64,
    ) {
        for ((owner, device), known) in &mut self.peers {
            if owner == account {
                known.clock.control_ms = now_ms;
                journal.put(keys::session_clock(owner, device), known.clock.to_row());
            }
        }
    }
}
