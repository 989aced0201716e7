// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Clients of the bare relay. Over QUIC they share some sockets, where the real ones have one for each
//! connection: the server sees as many connections, and this program leaves room on its core.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, BytesMut};
use quinn::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use waxwing_proto::{KeyPin, ServerAddress};
use waxwing_transport::quic::SERVER_NAME;
use waxwing_transport::{quic, tcp};

use super::clients::Trouble;
use super::frames::{self, EXPORTER_LABEL, SEND};
use super::people::{Person, Stamp};
use super::process::Carrier;
use crate::transport::any_port;

/// Read at a time, at least.
const READ_SIZE: usize = 8 * 1024;

/// Sockets of all connections over QUIC.
const SOCKETS: usize = 16;

type Read = Box<dyn AsyncRead + Send + Unpin>;
type Write = Box<dyn AsyncWrite + Send + Unpin>;

/// Connects to one server.
#[derive(Clone)]
pub(super) struct Network {
    carrier: Carrier,
    to: SocketAddr,
    pin: KeyPin,
    sockets: Arc<Vec<Endpoint>>,
    next_socket: Arc<AtomicUsize>,
}

/// One connection and its stream.
struct Stream {
    read: Read,
    write: Write,
    exporter: [u8; 32],
}

impl Network {
    /// Needs a runtime.
    pub(super) fn new(carrier: Carrier, server: &ServerAddress) -> Result<Self> {
        let sockets: Vec<Endpoint> = match carrier {
            Carrier::Quic => (0..SOCKETS)
                .map(|_| Ok(quic::bare::client(any_port())?))
                .collect::<Result<_>>()?,
            Carrier::Tcp => Vec::new(),
        };
        Ok(Self {
            carrier,
            sockets: Arc::new(sockets),
            next_socket: Arc::default(),
            to: SocketAddr::from((Ipv4Addr::LOCALHOST, server.port)),
            pin: *server.key_pins.first().context("no key")?,
        })
    }

    async fn connect(&self) -> Result<Stream> {
        match self.carrier {
            Carrier::Quic => self.connect_quic().await,
            Carrier::Tcp => self.connect_tcp().await,
        }
    }

    async fn connect_quic(&self) -> Result<Stream> {
        let turn = self.next_socket.fetch_add(1, Ordering::Relaxed) % SOCKETS;
        let endpoint = self.sockets.get(turn).context("no socket")?;
        let config = quic::bare::connecting(self.pin)?;
        let connection = endpoint.connect_with(config, self.to, SERVER_NAME)?.await?;
        let mut exporter = [0; 32];
        ensure!(
            connection
                .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
                .is_ok(),
            "no exporter"
        );
        let (write, read) = connection.open_bi().await?;
        Ok(Stream {
            read: Box::new(read),
            write: Box::new(write),
            exporter,
        })
    }

    async fn connect_tcp(&self) -> Result<Stream> {
        let stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(tcp::bare::client(self.pin)?);
        let stream = connector.connect(tcp::bare::name()?, stream).await?;
        let (_, tls) = stream.get_ref();
        let exporter = tls.export_keying_material([0; 32], EXPORTER_LABEL, Some(b""))?;
        let (read, write) = split(stream);
        Ok(Stream {
            read: Box::new(read),
            write: Box::new(write),
            exporter,
        })
    }

    /// A person's authenticated connection.
    pub(super) async fn receiver(&self, person: &Person) -> Result<Receiver> {
        let mut stream = self.connect().await?;
        let opening = frames::opening(person.device_secret(), &stream.exporter);
        stream.write.write_all(&opening).await?;
        stream.write.flush().await?;
        Ok(Receiver {
            stream,
            left: BytesMut::new(),
            acknowledged: 0,
            deleted: 0,
        })
    }

    /// A connection that nobody authenticates. Each accepted message gives `accepted` a permit.
    pub(super) async fn sender(
        &self,
        accepted: Arc<Semaphore>,
        trouble: Trouble,
    ) -> Result<Sender> {
        let Stream {
            mut read, write, ..
        } = self.connect().await?;
        tokio::spawn(async move {
            while let Ok(count) = read.read_u32_le().await {
                accepted.add_permits(usize::try_from(count).unwrap_or(0));
            }
            trouble.has(anyhow::anyhow!("a sending connection ended"));
        });
        Ok(Sender {
            write,
            queued: vec![SEND],
        })
    }
}

/// Somebody who receives.
pub(super) struct Receiver {
    stream: Stream,
    left: BytesMut,
    acknowledged: u64,
    deleted: u64,
}

impl Receiver {
    /// Waits for messages, takes those that are there, and acknowledges them together.
    pub(super) async fn receive(&mut self, take: &mut impl FnMut(&[u8])) -> Result<()> {
        self.left.reserve(READ_SIZE);
        let count = self.stream.read.read_buf(&mut self.left).await?;
        ensure!(count > 0, "the stream ended");
        let mut rest: &[u8] = &self.left;
        let mut up_to = 0;
        while let Some((position, envelope)) = frames::take_delivery(&mut rest) {
            if envelope.is_empty() {
                self.deleted = position;
            } else {
                take(envelope);
                up_to = position;
            }
        }
        let used = self.left.len() - rest.len();
        self.left.advance(used);
        if up_to > 0 {
            self.acknowledged = up_to;
            self.stream.write.write_u64_le(up_to).await?;
            self.stream.write.flush().await?;
        }
        Ok(())
    }

    /// Whether everything that was acknowledged is durably deleted.
    pub(super) const fn is_settled(&self) -> bool {
        self.acknowledged == self.deleted
    }
}

/// Somebody who sends.
pub(super) struct Sender {
    write: Write,
    queued: Vec<u8>,
}

impl Sender {
    /// Leaves a message for the next flush.
    pub(super) fn post(&mut self, to: &Person, stamp: Stamp) {
        frames::put_message(&mut self.queued, &to.address, &stamp.envelope());
    }

    /// Sends what was left.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.write.write_all(&self.queued).await?;
        self.queued.clear();
        Ok(self.write.flush().await?)
    }
}
