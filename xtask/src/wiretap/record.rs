// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recording the traffic of the run: everything on the loopback interface by a raw socket, or,
//! where that is not permitted, by a relay between the clients and the server.
//!
//! The record is a pcap file. Its times are zero: nothing depends on them.

mod pcap;
mod raw;
mod relay;

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How long a recording thread waits for a packet before it looks whether it shall end.
const PATIENCE: Duration = Duration::from_millis(50);

/// Which way to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// A raw socket on the loopback interface; needs the right to open one
    Raw,
    /// A relay between the clients and the server
    Relay,
}

/// A recording under way.
pub(crate) struct Recorder {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<u64>>>,
    relay: Option<relay::Relay>,
}

impl Recorder {
    /// Begins to record into `path`. Without a wish, a raw socket where it is permitted.
    pub(crate) fn begin(path: &Path, wish: Option<Way>) -> Result<Self> {
        let mut recorder = Self {
            path: path.to_owned(),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            relay: None,
        };
        if wish != Some(Way::Relay) {
            match raw::open() {
                Ok(socket) => {
                    let writer = pcap::Writer::create(path, pcap::Kind::Ethernet)?;
                    let stop = Arc::clone(&recorder.stop);
                    let thread = std::thread::spawn(move || raw::record(&socket, writer, &stop));
                    recorder.threads.push(thread);
                    return Ok(recorder);
                }
                Err(error) if wish == Some(Way::Raw) => {
                    return Err(error).context("no raw socket");
                }
                Err(_) => {}
            }
        }
        let writer = pcap::Writer::create(path, pcap::Kind::Payload)?;
        recorder.relay = Some(relay::Relay::begin(writer, Arc::clone(&recorder.stop))?);
        Ok(recorder)
    }

    /// Which way it records, in words.
    pub(crate) const fn title(&self) -> &'static str {
        if self.relay.is_some() {
            "the traffic (UDP relay)"
        } else {
            "the traffic (raw socket on lo)"
        }
    }

    /// Where clients have to send to, when that is not the server itself.
    pub(crate) fn public_address(&self) -> Option<SocketAddr> {
        self.relay.as_ref().map(relay::Relay::address)
    }

    /// Says where the server listens.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        if let Some(relay) = &self.relay {
            relay.lead_to(server);
        }
    }

    /// Sends a text in the clear over loopback, as a program that forgot to encrypt would: to a
    /// free port, or through the relay where only the relay is recorded.
    pub(crate) fn leak(&self, text: &str) -> Result<()> {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        let to = self
            .public_address()
            .map_or_else(|| receiver.local_addr(), Ok)?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        let sent = sender.send_to(text.as_bytes(), to)?;
        if sent != text.len() {
            bail!("the planted leak was not sent whole");
        }
        Ok(())
    }

    /// Ends when everything that is under way is written; gives the file and the packets in it.
    pub(crate) fn end(mut self) -> Result<(PathBuf, u64)> {
        self.stop.store(true, Ordering::SeqCst);
        let mut packets = 0_u64;
        for thread in self.threads.drain(..) {
            let Ok(count) = thread.join() else {
                bail!("a recording thread panicked")
            };
            packets = packets.saturating_add(count?);
        }
        if let Some(relay) = self.relay.take() {
            packets = packets.saturating_add(relay.end()?);
        }
        Ok((self.path, packets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiretap::{canary::Canaries, search::Needles};

    fn records(way: Way) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("traffic.pcap");
        let recorder = match Recorder::begin(&path, Some(way)) {
            // The right to open a raw socket is not everybody's.
            Err(_) if way == Way::Raw => return,
            recorder => recorder.unwrap(),
        };
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        recorder.lead_to(server.local_addr().unwrap());
        let to = recorder
            .public_address()
            .unwrap_or_else(|| server.local_addr().unwrap());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"asked over loopback 1", to).unwrap();
        let mut buffer = [0; 100];
        let (count, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"asked over loopback 1");
        server.send_to(b"answered over loopback 2", from).unwrap();
        let count = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"answered over loopback 2");
        recorder.leak("leaked over loopback 3").unwrap();
        let (path, packets) = recorder.end().unwrap();
        assert!(packets >= 3, "{packets}");

        let mut canaries = Canaries::default();
        for text in [
            "asked over loopback 1",
            "answered over loopback 2",
            "leaked over loopback 3",
        ] {
            canaries.text(text, text);
        }
        let needles = Needles::new(&canaries).unwrap();
        assert_eq!(needles.file("traffic", &path).unwrap().leaks().count(), 3);
    }

    #[test]
    fn the_relay_passes_everything_on_and_records_it() {
        records(Way::Relay);
    }

    #[test]
    fn the_raw_socket_records_loopback() {
        records(Way::Raw);
    }
}
