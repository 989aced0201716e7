// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recording without privileges: a UDP relay that the server's links name instead of the server.
//!
//! Each client address gets a socket of its own towards the server, so that the server tells the
//! clients apart as it would without the relay.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};

use super::{PATIENCE, pcap};

/// The largest payload of a UDP datagram.
const DATAGRAM_SIZE_MAX: usize = 1 << 16;

/// What all threads of the relay share.
struct Shared {
    front: UdpSocket,
    server: Mutex<Option<SocketAddr>>,
    writer: Mutex<pcap::Writer>,
    stop: Arc<AtomicBool>,
}

/// A relay at work.
pub(super) struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: JoinHandle<Result<()>>,
}

impl Relay {
    pub(super) fn begin(writer: pcap::Writer, stop: Arc<AtomicBool>) -> Result<Self> {
        let front = UdpSocket::bind("127.0.0.1:0").context("cannot open the relay's socket")?;
        front.set_read_timeout(Some(PATIENCE))?;
        let address = front.local_addr()?;
        let shared = Shared {
            front,
            server: Mutex::new(None),
            writer: Mutex::new(writer),
            stop,
        };
        let shared = Arc::new(shared);
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || forward(&shared)
        });
        Ok(Self {
            shared,
            address,
            thread,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn lead_to(&self, server: SocketAddr) {
        *lock(&self.shared.server) = Some(server);
    }

    pub(super) fn end(self) -> Result<u64> {
        let Ok(ended) = self.thread.join() else {
            bail!("the relay panicked")
        };
        ended?;
        let shared = Arc::into_inner(self.shared).context("a thread of the relay still runs")?;
        shared
            .writer
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .finish()
    }
}

/// The socket that stands for a client towards the server, and the thread that reads it.
type Client = (Arc<UdpSocket>, JoinHandle<Result<()>>);

fn admit(shared: &Arc<Shared>, client: SocketAddr) -> Result<Client> {
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
    back.set_read_timeout(Some(PATIENCE))?;
    let thread = std::thread::spawn({
        let (shared, back) = (Arc::clone(shared), Arc::clone(&back));
        move || answer(&shared, &back, client)
    });
    Ok((back, thread))
}

/// From the clients to the server.
fn forward(shared: &Arc<Shared>) -> Result<()> {
    let mut clients: BTreeMap<SocketAddr, Client> = BTreeMap::new();
    let mut datagram = vec![0_u8; DATAGRAM_SIZE_MAX];
    loop {
        let (count, from) = match shared.front.recv_from(&mut datagram) {
            Ok(received) => received,
            // A pause; or a client that has gone refuses what is sent to it, which is reported here.
            Err(_) if shared.stop.load(Ordering::SeqCst) => break,
            Err(_) => continue,
        };
        let payload = datagram.get(..count).unwrap_or_default();
        lock(&shared.writer).add(payload)?;
        let Some(server) = *lock(&shared.server) else {
            continue;
        };
        let (back, _) = match clients.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(admit(shared, from)?),
        };
        // A server that is down loses datagrams, as a network does.
        let _ = back.send_to(payload, server);
    }
    for (_, (_, thread)) in clients {
        let Ok(ended) = thread.join() else {
            bail!("the relay panicked")
        };
        ended?;
    }
    Ok(())
}

/// From the server to one client.
fn answer(shared: &Shared, back: &UdpSocket, client: SocketAddr) -> Result<()> {
    let mut datagram = vec![0_u8; DATAGRAM_SIZE_MAX];
    loop {
        match back.recv(&mut datagram) {
            Ok(count) => {
                let payload = datagram.get(..count).unwrap_or_default();
                lock(&shared.writer).add(payload)?;
                let _ = shared.front.send_to(payload, client);
            }
            Err(_) if shared.stop.load(Ordering::SeqCst) => return Ok(()),
            Err(_) => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
