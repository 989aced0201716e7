// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What servers have asked for at the end of a connection: to be left alone until some time, and to be
//! called at another address then. A server that ends has told each of its clients another time; were
//! anonymous calls not to keep to it, everybody with a message that waits would be back at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waxwing_proto::{ServerAddress, limits};
use waxwing_transport::{CallError, Elsewhere, Link, LinkError};

/// Servers that are remembered; those whose time is over go first.
const SERVERS_MAX: usize = 256;

/// What one server has asked for.
#[derive(Debug, Clone)]
struct Rest {
    /// By the monotonic clock.
    until_ms: u64,
    elsewhere: Option<Elsewhere>,
}

/// What all servers have asked for, on whichever connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Rests(Arc<Mutex<BTreeMap<ServerAddress, Rest>>>);

impl Rests {
    fn rests(&self) -> MutexGuard<'_, BTreeMap<ServerAddress, Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Heeds what a server said as it ended a connection.
    pub(super) fn ended(&self, server: &ServerAddress, link: &Link, now_ms: u64) {
        let Some(reason) = link.close_reason() else {
            return;
        };
        let error = CallError::LinkLost(LinkError::Closed(reason));
        self.note(server, error.retry_after_ms(), link.elsewhere(), now_ms);
    }

    /// Heeds what a server said to an attempt. Where it went elsewhere, the next one goes home.
    pub(super) fn refused(&self, server: &ServerAddress, error: &CallError, now_ms: u64) {
        self.goes_home(server);
        self.note(server, error.retry_after_ms(), None, now_ms);
    }

    /// An attempt elsewhere came to nothing.
    pub(super) fn goes_home(&self, server: &ServerAddress) {
        if let Some(rest) = self.rests().get_mut(server) {
            rest.elsewhere = None;
        }
    }

    fn note(
        &self,
        server: &ServerAddress,
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
        if rests.len() >= SERVERS_MAX && !rests.contains_key(server) {
            rests.retain(|_, rest| rest.until_ms > now_ms);
            if rests.len() >= SERVERS_MAX {
                rests.pop_first();
            }
        }
        let rest = rests.entry(server.clone()).or_insert(Rest {
            until_ms,
            elsewhere: None,
        });
        rest.until_ms = rest.until_ms.max(until_ms);
        if elsewhere.is_some() {
            rest.elsewhere = elsewhere;
        }
    }

    /// For how long a server is to be left alone, in milliseconds.
    pub(super) fn left_ms(&self, server: &ServerAddress, now_ms: u64) -> u64 {
        let rests = self.rests();
        let rest = rests.get(server);
        rest.map_or(0, |rest| rest.until_ms.saturating_sub(now_ms))
    }

    /// Where a server is called: the key stays the same.
    pub(super) fn address(&self, server: &ServerAddress) -> ServerAddress {
        let rests = self.rests();
        let elsewhere = rests.get(server).and_then(|rest| rest.elsewhere.clone());
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

    fn server(port: u16) -> ServerAddress {
        ServerAddress {
            host: "home.example".parse().unwrap(),
            port,
            key_pins: vec![KeyPin([7; 32])],
        }
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
        // What was said on another connection counts as well; less than that changes nothing.
        rests.refused(&server(1), &ended(10), 200);
        assert_eq!(rests.left_ms(&server(1), 200), 4900);
        rests.refused(&server(1), &ended(u32::MAX), 200);
        let most = u64::from(limits::RETRY_AFTER_MS_MAX);
        assert_eq!(rests.left_ms(&server(1), 200), most);
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
        assert_eq!(address.key_pins, server(1).key_pins);
        rests.refused(&server(1), &CallError::Timeout, 0);
        assert_eq!(rests.address(&server(1)), server(1));
    }

    #[test]
    fn the_table_is_bounded() {
        let rests = Rests::default();
        for port in 1..=1000 {
            rests.note(&server(port), Some(1000), None, u64::from(port));
        }
        assert!(rests.rests().len() <= SERVERS_MAX);
        assert_eq!(rests.left_ms(&server(1000), 1000), 1000);
    }
}
