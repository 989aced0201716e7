// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writing a pcap file (version 2.4, draft-ietf-opsawg-pcap), which every analyser reads.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};

/// What a record of the file holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Ethernet frames (LINKTYPE_ETHERNET).
    Ethernet,
    /// The payloads of datagrams alone (LINKTYPE_USER0).
    Payload,
}

/// The file being written.
pub(super) struct Writer {
    file: BufWriter<File>,
    packets: u64,
}

impl Writer {
    pub(super) fn create(path: &Path, kind: Kind) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut file = BufWriter::new(file);
        let link_type: u32 = match kind {
            Kind::Ethernet => 1,
            Kind::Payload => 147,
        };
        file.write_all(&0xa1b2_c3d4_u32.to_be_bytes())?;
        for field in [2_u16, 4] {
            file.write_all(&field.to_be_bytes())?;
        }
        for field in [0, 0, 1 << 18, link_type] {
            file.write_all(&field.to_be_bytes())?;
        }
        Ok(Self { file, packets: 0 })
    }

    pub(super) fn add(&mut self, packet: &[u8]) -> Result<()> {
        let length = u32::try_from(packet.len())?;
        for field in [0, 0, length, length] {
            self.file.write_all(&field.to_be_bytes())?;
        }
        self.file.write_all(packet)?;
        self.packets = self.packets.saturating_add(1);
        Ok(())
    }

    /// Writes what is buffered; gives the number of packets.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.file.flush()?;
        Ok(self.packets)
    }
}
