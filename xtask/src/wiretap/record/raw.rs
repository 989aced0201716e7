// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recording by a raw packet socket (packet(7)): every frame on the loopback interface.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use socket2::Socket;

use super::{PATIENCE, pcap};

/// More than the largest frame that the kernel hands over, segments that it has not cut included.
const FRAME_SIZE_MAX: usize = 1 << 18;
/// Frames that may wait while this thread is not running.
#[cfg(target_os = "linux")]
const BACKLOG_SIZE: usize = 16 << 20;

/// Opens the socket; fails for those who may not.
#[cfg(target_os = "linux")]
pub(super) fn open() -> io::Result<Socket> {
    use socket2::{Domain, Protocol, Type};

    // ETH_P_ALL, in network order.
    let everything = i32::from(3_u16.to_be());
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(everything)))?;
    // The system grants what it grants; the planted leaks would show a hole.
    let _ = socket.set_recv_buffer_size(BACKLOG_SIZE);
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Only Linux has packet sockets.
#[cfg(not(target_os = "linux"))]
pub(super) fn open() -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Records until `stop` is set and nothing more comes.
pub(super) fn record(
    mut socket: &Socket,
    mut writer: pcap::Writer,
    stop: &AtomicBool,
) -> Result<u64> {
    let mut frame = vec![0_u8; FRAME_SIZE_MAX];
    let mut last: Vec<u8> = Vec::new();
    loop {
        match socket.read(&mut frame) {
            Ok(count) => {
                let Some(received) = frame.get(..count) else {
                    continue;
                };
                // Loopback frames have no addresses. Each comes twice: as it leaves, as it arrives.
                if received.starts_with(&[0; 12]) && received != last.as_slice() {
                    writer.add(received)?;
                    last.clear();
                    last.extend_from_slice(received);
                }
            }
            Err(error) if is_pause(&error) => {
                if stop.load(Ordering::SeqCst) {
                    return writer.finish();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether an error only says that nothing came in time.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
