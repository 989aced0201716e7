// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What servers have asked for at the end of a connection: to be left alone until some time, and to be
//! called at another address then. A server that ends has told each of its clients another time; were
//! anonymous calls not to keep to it, everybody with a message that waits would be back at once.
//!
//! What was said on the connection of one subject counts for that subject alone: a server that tells one
//! to wait would otherwise see which others wait with it, and learn that they belong together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waxwing_proto::{ServerAddress, limits};
use waxwing_transport::{CallError, Elsewhere, Link, LinkError};

use super::anonymous::Key;

/// What one server has asked for.
#[derive(Debug, Clone)]
struct Rest {
    /// By the monotonic clock.
    until_ms: u64,
    elsewhere: Option<Elsewhere>,
}

/// What servers have asked for, by subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Rests(Arc<Mutex<BTreeMap<Key, Rest>>>);

impl Rests {
    fn rests(&self) -> MutexGuard<'_, BTreeMap<Key, Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Heeds what a server said as it ended a connection.
    pub(super) fn ended(&self, key: &Key, link: &Link, now_ms: u64) {
        let Some(reason) = link.close_reason() else {
            return;
        };
        // TRN-71: back home, where it names nothing.
        self.goes_home(key);
        let error = CallError::LinkLost(LinkError::Closed(reason));
        self.note(key, error.retry_after_ms(), link.elsewhere(), now_ms);
    }

    /// Heeds what a server said to an attempt. Where it went elsewhere, the next one goes home.
    pub(super) fn refused(&self, key: &Key, error: &CallError, now_ms: u64) {
        self.goes_home(key);
        self.note(key, error.retry_after_ms(), None, now_ms);
    }

    /// An attempt elsewhere came to nothing.
    pub(super) fn goes_home(&self, key: &Key) {
        if let Some(rest) = self.rests().get_mut(key) {
            rest.elsewhere = None;
        }
    }

    /// It is there again.
    pub(super) fn reached(&self, key: &Key) {
        if let Some(rest) = self.rests().get_mut(key) {
            rest.until_ms = 0;
        }
    }

    fn note(
        &self,
        key: &Key,
        retry_after_ms: Option<u32>,
        elsewhere: Option<Elsewhere>,
        now_ms: u64,
    ) {
        // TRN-63, TRN-71.
        if retry_after_ms.is_none() && elsewhere.is_none() {
            return;
        }
        let delay_ms = retry_after_ms.unwrap_or(0).min(limits::RETRY_AFTER_MS_MAX);
        let until_ms = now_ms.saturating_add(u64::from(delay_ms));
        let mut rests = self.rests();
        if rests.len() >= limits::RESTING_SUBJECTS_MAX && !rests.contains_key(key) {
            rests.retain(|_, rest| rest.until_ms > now_ms);
            if rests.len() >= limits::RESTING_SUBJECTS_MAX {
                rests.pop_first();
            }
        }
        let rest = rests.entry(key.clone()).or_insert(Rest {
            until_ms,
            elsewhere: None,
        });
        rest.until_ms = rest.until_ms.max(until_ms);
        if elsewhere.is_some() {
            rest.elsewhere = elsewhere;
        }
    }

    /// For how long a server is to be left alone, in milliseconds.
    pub(super) fn left_ms(&self, key: &Key, now_ms: u64) -> u64 {
        let rests = self.rests();
        let rest = rests.get(key);
        rest.map_or(0, |rest| rest.until_ms.saturating_sub(now_ms))
    }

    /// Where a server is called: the key stays the same.
    pub(super) fn address(&self, key: &Key) -> ServerAddress {
        let server = &key.0;
        let rests = self.rests();
        let elsewhere = rests.get(key).and_then(|rest| rest.elsewhere.clone());
        match elsewhere {
            None => server.clone(),
            Some(Elsewhere { host, port }) => ServerAddress {
                host,
                port,
                key_pins: server.key_pins.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use waxwing_proto::KeyPin;
    use waxwing_transport::{CloseCode, CloseReason};

    use super::*;

    fn server(port: u16) -> Key {
        let server = ServerAddress {
            host: "home.example".parse().unwrap(),
            port,
            key_pins: vec![KeyPin([7; 32])],
        };
        (server, vec![1])
    }

    fn ended(retry_after_ms: u32) -> CallError {
        CallError::LinkLost(LinkError::Closed(CloseReason::Peer {
            code: CloseCode::ShuttingDown,
            retry_after_ms: Some(retry_after_ms),
        }))
    }

    #[test]
    fn a_server_is_left_alone_for_as_long_as_it_said() {
        let rests = Rests::default();
        rests.refused(&server(1), &ended(5000), 100);
        assert_eq!(rests.left_ms(&server(1), 100), 5000);
        assert_eq!(rests.left_ms(&server(1), 5099), 1);
        assert_eq!(rests.left_ms(&server(1), 5100), 0);
        assert_eq!(rests.left_ms(&server(2), 100), 0);
        // Another subject at the same server hears nothing of it.
        let other = (server(1).0, vec![2]);
        assert_eq!(rests.left_ms(&other, 100), 0);
        // Less than what was said before changes nothing.
        rests.refused(&server(1), &ended(10), 200);
        assert_eq!(rests.left_ms(&server(1), 200), 4900);
        rests.refused(&server(1), &ended(u32::MAX), 200);
        let most = u64::from(limits::RETRY_AFTER_MS_MAX);
        assert_eq!(rests.left_ms(&server(1), 200), most);
        rests.reached(&server(1));
        assert_eq!(rests.left_ms(&server(1), 200), 0);
        rests.refused(&server(3), &CallError::Timeout, 0);
        assert_eq!(rests.left_ms(&server(3), 0), 0);
    }

    #[test]
    fn it_is_called_where_it_said_until_that_comes_to_nothing() {
        let rests = Rests::default();
        let other = Elsewhere {
            host: "second.example".parse().unwrap(),
            port: 9,
        };
        rests.note(&server(1), None, Some(other.clone()), 0);
        let address = rests.address(&server(1));
        assert_eq!((&address.host, address.port), (&other.host, 9));
        assert_eq!(address.key_pins, server(1).0.key_pins);
        rests.refused(&server(1), &CallError::Timeout, 0);
        assert_eq!(rests.address(&server(1)), server(1).0);
    }

    #[test]
    fn the_table_is_bounded() {
        let rests = Rests::default();
        for port in 1..=1000 {
            rests.note(&server(port), Some(1000), None, u64::from(port));
        }
        assert!(rests.rests().len() <= limits::RESTING_SUBJECTS_MAX);
        assert_eq!(rests.left_ms(&server(1000), 1000), 1000);
    }
}
