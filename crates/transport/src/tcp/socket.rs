// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP sockets: how they are made, and how TLS reads from and writes to them without waiting.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::error::LinkError;

/// Newcomers that the operating system lets wait.
const BACKLOG: i32 = 1024;
/// What the operating system takes before it has sent it, in bytes. More would let an attachment
/// stand before a message that has a higher priority.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_MAX: u32 = 64 * 1024;

/// Binds a listening socket. An IPv6 wildcard address takes IPv4 too, where the system allows it.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, LinkError> {
    let bind = || {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // Where that is refused the socket serves IPv6 alone, as the address says.
            let _ = socket.set_only_v6(false);
        }
        // Connections of the server's former life must not keep it from its port.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|error: io::Error| LinkError::Socket(error.kind()))
}

/// Sets what every connection needs. What the system refuses costs speed and nothing else.
pub(super) fn prepare(stream: &TcpStream) {
    // Messages are small and must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_MAX);
}

/// Reads and writes what the socket has and takes at the moment.
pub(super) struct Now<'a>(pub(super) &'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has nothing at the moment. rustls looks at the size of its buffer when it reads, and makes it
/// small again after a large record.
pub(super) struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
