// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes simulated links.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::network::Shared;
use crate::link::{Link, Listener};
use crate::seams::BoxFuture;

/// Takes links at one node and port.
pub struct SimListener {
    shared: Arc<Shared>,
    place: (Arc<str>, u16),
    id: u64,
    incoming: Mutex<mpsc::UnboundedReceiver<Link>>,
    address: SocketAddr,
}

impl SimListener {
    pub(super) fn new(
        shared: Arc<Shared>,
        place: (Arc<str>, u16),
        id: u64,
        incoming: mpsc::UnboundedReceiver<Link>,
        node_address: SocketAddr,
    ) -> Self {
        let address = SocketAddr::new(node_address.ip(), place.1);
        Self {
            shared,
            place,
            id,
            incoming: Mutex::new(incoming),
            address,
        }
    }

    fn open_links(&self) -> usize {
        self.shared.step(|world, _| {
            world
                .links
                .values()
                .filter(|link| link.listener == self.id)
                .filter(|link| link.ends.server.close_reason().is_none())
                .count()
        })
    }
}

impl Listener for SimListener {
    fn accept(&self) -> BoxFuture<'_, Option<Link>> {
        Box::pin(async { self.incoming.lock().await.recv().await })
    }

    fn stop_accepting(&self) {
        self.shared.step(|world, _| {
            if let Some(own) = world.listeners.get_mut(&self.place)
                && own.id == self.id
            {
                own.links = None;
            }
        });
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop_accepting();
            loop {
                let mut changed = core::pin::pin!(self.shared.links_changed.notified());
                changed.as_mut().enable();
                if self.open_links() == 0 {
                    return;
                }
                changed.await;
            }
        })
    }

    fn local_address(&self) -> Option<SocketAddr> {
        Some(self.address)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.shared.step(|world, _| {
            let own = world.listeners.get(&self.place);
            if own.is_some_and(|own| own.id == self.id) {
                world.listeners.remove(&self.place);
            }
        });
    }
}

impl core::fmt::Debug for SimListener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SimListener({}:{})", self.place.0, self.place.1)
    }
}
