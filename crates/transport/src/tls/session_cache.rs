// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a client keeps of its connections to a server: the tickets by which the next one is cheap.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::client::{ClientSessionMemoryCache, Resumption};
use waxwing_proto::ServerAddress;

use crate::error::LinkError;
use crate::link::Plane;

/// Servers of whom tickets are kept; the one that was called longest ago makes room.
const SERVERS_MAX: usize = 8;
/// Names for which the library keeps tickets. There is one, the constant name of every handshake.
const NAMES_MAX: usize = 1;

/// The settings for the servers that a dialer calls on the account plane, tickets included.
///
/// In memory only. They belong to one address and its pins: the library does not look at the key
/// again when it resumes, so a ticket must never serve under other pins than those it was got under.
#[derive(Debug, Default)]
pub(crate) struct SessionCache(Mutex<VecDeque<(ServerAddress, ClientConfig)>>);

impl SessionCache {
    /// The settings for one attempt to call `server`; `make` makes those of the first one.
    ///
    /// The anonymous plane gets fresh ones without tickets, each time: a ticket would let the server
    /// tie two of its connections to one client. So does a server of which two keys are held: by a
    /// ticket it would know who comes before it shows one of them, and which one it showed would tell
    /// that client apart on the anonymous plane.
    pub(crate) fn config(
        &self,
        server: &ServerAddress,
        plane: Plane,
        make: impl FnOnce() -> Result<ClientConfig, LinkError>,
    ) -> Result<ClientConfig, LinkError> {
        // TRN-5, TRN-81.
        if plane == Plane::Anonymous || server.key_pins.len() > 1 {
            return make();
        }
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = servers.iter().position(|(address, _)| address == server);
        let config = if let Some((_, config)) = known.and_then(|at| servers.remove(at)) {
            config
        } else {
            let mut config = make()?;
            let store = Arc::new(ClientSessionMemoryCache::new(NAMES_MAX));
            config.resumption = Resumption::store(store);
            config
        };
        servers.truncate(SERVERS_MAX.saturating_sub(1));
        servers.push_front((server.clone(), config.clone()));
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{config, provider};

    fn address(port: u16) -> ServerAddress {
        ServerAddress {
            host: "relay.example".parse().unwrap(),
            port,
            key_pins: Vec::new(),
        }
    }

    /// Whether the settings had to be made.
    fn is_made(cache: &SessionCache, port: u16, plane: Plane) -> bool {
        let mut is_made = false;
        let make = || {
            is_made = true;
            config::client(Arc::new(provider()), Vec::new(), b"test/1")
        };
        let asked = cache.config(&address(port), plane, make);
        assert!(!asked.unwrap().enable_early_data);
        is_made
    }

    #[test]
    fn the_last_servers_are_remembered_and_the_anonymous_plane_never() {
        let cache = SessionCache::default();
        assert!(is_made(&cache, 1, Plane::Account));
        assert!(!is_made(&cache, 1, Plane::Account));
        for _ in 0..2 {
            assert!(is_made(&cache, 1, Plane::Anonymous));
        }
        let others = 2..=u16::try_from(SERVERS_MAX).unwrap();
        for port in others {
            assert!(is_made(&cache, port, Plane::Account));
        }
        assert!(!is_made(&cache, 1, Plane::Account));
        // The second one was called longest ago.
        assert!(is_made(&cache, 100, Plane::Account));
        assert!(!is_made(&cache, 1, Plane::Account));
        assert!(is_made(&cache, 2, Plane::Account));
        assert_eq!(cache.0.lock().unwrap().len(), SERVERS_MAX);
    }

    #[test]
    fn other_pins_are_another_server() {
        let cache = SessionCache::default();
        assert!(is_made(&cache, 1, Plane::Account));
        let rotated = ServerAddress {
            key_pins: vec![waxwing_proto::KeyPin([1; 32])],
            ..address(1)
        };
        let mut is_made = false;
        let make = || {
            is_made = true;
            config::client(Arc::new(provider()), Vec::new(), b"test/1")
        };
        let asked = cache.config(&rotated, Plane::Account, make);
        assert!(asked.is_ok());
        assert!(is_made);
    }

    #[test]
    fn a_server_of_two_keys_is_called_without_tickets() {
        let cache = SessionCache::default();
        let server = ServerAddress {
            key_pins: vec![
                waxwing_proto::KeyPin([1; 32]),
                waxwing_proto::KeyPin([2; 32]),
            ],
            ..address(1)
        };
        for _ in 0..2 {
            let mut is_made = false;
            let make = || {
                is_made = true;
                config::client(Arc::new(provider()), Vec::new(), b"test/1")
            };
            assert!(cache.config(&server, Plane::Account, make).is_ok());
            assert!(is_made);
        }
        assert!(cache.0.lock().unwrap().is_empty());
    }
}
