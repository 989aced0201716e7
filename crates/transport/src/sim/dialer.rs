// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes simulated links.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_core::Rng;
use tokio::time::sleep;
use waxwing_proto::{KeyPin, ServerAddress};

use super::end::{SimEnd, SimLink};
use super::network::Shared;
use super::world::{End, LinkState, Pair, Side, World};
use crate::error::LinkError;
use crate::link::{Dialer, Link, Plane};
use crate::seams::BoxFuture;

/// How long a client waits before it sends its first packet again, in milliseconds.
const RETRY_MS: u64 = 1000;

/// Makes links from one node.
#[derive(Clone)]
pub struct SimDialer {
    shared: Arc<Shared>,
    node: Arc<str>,
}

impl SimDialer {
    pub(super) const fn new(shared: Arc<Shared>, node: Arc<str>) -> Self {
        Self { shared, node }
    }

    /// One handshake: `None` when no answer came.
    fn connect(&self, server: &ServerAddress) -> Option<Result<Link, LinkError>> {
        let node: Arc<str> = server.host.as_str().into();
        let made = self.shared.step(|world, now_ms| {
            let is_open =
                world.is_path_open(&self.node, &node) && world.is_path_open(&node, &self.node);
            let listener = world.listeners.get(&(Arc::clone(&node), server.port))?;
            let (listener_id, key_pin) = (listener.id, listener.key_pin);
            let links = listener.links.clone();
            if !is_open {
                return None;
            }
            let Some(links) = links else {
                return Some(Err(LinkError::Refused));
            };
            if !server.key_pins.contains(&key_pin) {
                return Some(Err(LinkError::ServerKeyMismatch));
            }
            let (link, secret) = self.add_link(world, &node, listener_id);
            world.see_connected(now_ms, link);
            let addresses = Pair {
                client: world.address(&self.node),
                server: world.address(&node),
            };
            Some(Ok((link, (secret, key_pin), addresses, links)))
        })?;
        Some(
            made.and_then(|(link, (secret, key_pin), addresses, links)| {
                let client = self.end(
                    link,
                    Side::Client,
                    (secret, Some(key_pin)),
                    addresses.server,
                );
                let server = self.end(link, Side::Server, (secret, None), addresses.client);
                links.send(server).map_err(|_| LinkError::Refused)?;
                Ok(client)
            }),
        )
    }

    fn add_link(&self, world: &mut World, server: &Arc<str>, listener: u64) -> (u64, [u8; 32]) {
        let link = world.fresh_id();
        let mut secret = [0; 32];
        world.rng.fill_bytes(&mut secret);
        let state = LinkState {
            nodes: Pair {
                client: Arc::clone(&self.node),
                server: Arc::clone(server),
            },
            ends: Pair {
                client: End::new(),
                server: End::new(),
            },
            listener,
            streams: BTreeMap::new(),
            next_stream: 0,
        };
        world.links.insert(link, state);
        (link, secret)
    }

    fn end(
        &self,
        link: u64,
        side: Side,
        (secret, server_key): ([u8; 32], Option<KeyPin>),
        remote: SocketAddr,
    ) -> Link {
        let end = Arc::new(SimEnd {
            shared: Arc::clone(&self.shared),
            link,
            side,
        });
        Link::new(Arc::new(SimLink {
            end,
            secret,
            server_key,
            remote,
        }))
    }
}

impl Dialer for SimDialer {
    /// Both planes behave alike: there is no socket, ticket or token that they could share.
    fn dial<'a>(
        &'a self,
        server: &'a ServerAddress,
        _plane: Plane,
    ) -> BoxFuture<'a, Result<Link, LinkError>> {
        Box::pin(async move {
            if server.key_pins.is_empty() {
                return Err(LinkError::NoKeyPin);
            }
            let mut left_ms = self
                .shared
                .step(|world, _| world.settings.connect_timeout_ms);
            loop {
                let round_trip_ms = self.shared.step(|world, _| {
                    let (there_ms, _) = world.draw_delay_ms(0);
                    let (back_ms, _) = world.draw_delay_ms(0);
                    there_ms.saturating_add(back_ms)
                });
                let wait_ms = round_trip_ms.min(left_ms);
                sleep(Duration::from_millis(wait_ms)).await;
                left_ms = left_ms.saturating_sub(wait_ms);
                if left_ms == 0 {
                    return Err(LinkError::TimedOut);
                }
                if let Some(outcome) = self.connect(server) {
                    return outcome;
                }
                let wait_ms = RETRY_MS.min(left_ms);
                sleep(Duration::from_millis(wait_ms)).await;
                left_ms = left_ms.saturating_sub(wait_ms);
            }
        })
    }
}

impl core::fmt::Debug for SimDialer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SimDialer({})", self.node)
    }
}
