// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one connection can make a server hold, and all of them together.
//!
//! A peer decides how much of its window it fills: with bytes that are not read yet, with fragments that
//! have gaps (T8), or by not acknowledging what it is sent. So what was granted is what may be held, and
//! it is granted in total: where many connections are there, each new one gets less. Small windows make a
//! transfer slower over long paths, and nothing fail.

use quinn::{Connection, VarInt};

/// The windows of one connection, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Windows {
    /// What came and was not read, on all streams.
    pub(super) receive: u32,
    /// What was sent and not acknowledged.
    pub(super) send: u32,
}

impl Windows {
    /// What came and was not read, on one stream: never more than on all.
    pub(super) const STREAM: u32 = 128 * 1024;
    pub(super) const FULL: Self = Self {
        receive: 256 * 1024,
        send: 512 * 1024,
    };
    const MIDDLE: Self = Self {
        receive: 64 * 1024,
        send: 128 * 1024,
    };
    /// What every connection begins with, so that none is promised more at its beginning than one that
    /// was resumed by its ticket (RFC 9000, section 7.4.1).
    pub(super) const SMALL: Self = Self {
        receive: 16 * 1024,
        send: 32 * 1024,
    };

    /// What a connection with these windows can make the server hold.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.receive).saturating_add(u64::from(self.send))
    }

    /// Those for the next connection, where `granted` bytes are granted already: full ones up to
    /// `full_max` bytes, middle ones up to twice that.
    pub(super) fn next(granted: u64, full_max: u64) -> Self {
        // TRN-79.
        let fits = |windows: Self, most| granted.saturating_add(windows.bytes()) <= most;
        if fits(Self::FULL, full_max) {
            Self::FULL
        } else if fits(Self::MIDDLE, full_max.saturating_mul(2)) {
            Self::MIDDLE
        } else {
            Self::SMALL
        }
    }

    /// Opens them, on a connection whose handshake has ended.
    pub(super) fn open(self, connection: &Connection) {
        if self != Self::SMALL {
            connection.set_receive_window(VarInt::from_u32(self.receive));
            connection.set_send_window(self.send.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_proto::limits;

    #[test]
    fn what_is_granted_to_all_is_bounded() {
        let mut granted = 0;
        let mut counts = [0_usize; 3];
        for _ in 0..limits::CONNECTIONS_MAX {
            let windows = Windows::next(granted, limits::QUIC_WINDOWS_FULL_MAX);
            granted += windows.bytes();
            let all = [Windows::FULL, Windows::MIDDLE, Windows::SMALL];
            counts[all.iter().position(|it| *it == windows).unwrap()] += 1;
        }
        assert!(granted <= limits::QUIC_WINDOWS_MAX, "{granted}");
        assert!(
            counts[0] > 500 && counts[1] > 2_000 && counts[2] > 10_000,
            "{counts:?}"
        );
    }

    #[test]
    fn windows_that_are_given_back_are_granted_again() {
        let full = limits::QUIC_WINDOWS_FULL_MAX;
        assert_eq!(
            Windows::next(full - Windows::FULL.bytes(), full),
            Windows::FULL
        );
        assert_eq!(
            Windows::next(full - Windows::FULL.bytes() + 1, full),
            Windows::MIDDLE
        );
        assert_eq!(Windows::next(2 * full, full), Windows::SMALL);
        assert_eq!(Windows::next(0, 0), Windows::SMALL);
    }
}
