// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A socket of the simulated network, as quinn sees it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::Sleep;

use super::Shared;

pub(super) struct SimSocket {
    shared: Arc<Shared>,
    id: u64,
    local: SocketAddr,
    /// Rings when the next datagram arrives. One task reads a socket, quinn's driver.
    alarm: Mutex<Option<(u64, Pin<Box<Sleep>>)>>,
}

impl SimSocket {
    pub(super) const fn new(shared: Arc<Shared>, id: u64, local: SocketAddr) -> Self {
        Self {
            shared,
            id,
            local,
            alarm: Mutex::new(None),
        }
    }

    /// Whether the time has come; if not, the task is woken then.
    fn poll_until(&self, context: &mut Context<'_>, at_ms: u64) -> Poll<()> {
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.shared.start.checked_add(Duration::from_millis(at_ms));
        let Some(at) = at.filter(|_| at_ms != u64::MAX) else {
            *alarm = None;
            return Poll::Pending;
        };
        match alarm.as_mut() {
            Some((known_ms, _)) if *known_ms == at_ms => {}
            Some((known_ms, sleep)) => {
                sleep.as_mut().reset(at);
                *known_ms = at_ms;
            }
            None => *alarm = Some((at_ms, Box::pin(tokio::time::sleep_until(at)))),
        }
        match alarm.as_mut() {
            Some((_, sleep)) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.shared.map().release(self.id);
    }
}

impl core::fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SimSocket({})", self.local)
    }
}

/// The network takes everything at once.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let now_ms = self.shared.now_ms();
        let mut map = self.shared.map();
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        for datagram in transmit.contents.chunks(size.max(1)) {
            map.send(now_ms, self.id, transmit.destination, datagram);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut places = buffers.iter_mut().zip(metas.iter_mut());
        loop {
            let now_ms = self.shared.now_ms();
            let taken = self.shared.map().take(now_ms, self.id, context.waker());
            match taken {
                Ok(arrival) => {
                    let size = arrival.bytes.len();
                    // A datagram that does not fit is lost, as with a real socket.
                    if let Some((buffer, meta)) = places.next()
                        && let Some(room) = buffer.get_mut(..size)
                    {
                        room.copy_from_slice(&arrival.bytes);
                        *meta = RecvMeta {
                            addr: arrival.from,
                            len: size,
                            stride: size,
                            ecn: None,
                            dst_ip: None,
                        };
                        // One at a time: quinn asks again.
                        return Poll::Ready(Ok(1));
                    }
                }
                Err(at_ms) => {
                    if self.poll_until(context, at_ms).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// As with a real socket that sets "do not fragment": MTU discovery is on.
    fn may_fragment(&self) -> bool {
        false
    }
}
