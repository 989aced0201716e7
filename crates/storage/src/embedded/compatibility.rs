// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Golden rows of format 1: stores that were written once have to be readable for ever.
//!
//! `vectors/compat/store-1.txt` has lines of `server KEY VALUE`, `client KEY VALUE` and `header BYTES`
//! in hexadecimal digits. Where the format changes, a new file comes beside it; this one stays.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::memory::{Immediate, MemoryDisk};
use super::{EmbeddedClientStore, EmbeddedStore, ServerLimits, ServerOptions};
use crate::client::header::{self, Header};
use crate::client::{ClientStore, Row, RowKey, RowWrite};
use crate::conformance::disclosure::fill;
use crate::server::{DisclosedRow, DisclosureStore};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/compat/store-1.txt")
}

fn unhex(text: &str) -> Bytes {
    HEXLOWER.decode(text.as_bytes()).unwrap().into()
}

async fn server(disk: &MemoryDisk) -> Vec<DisclosedRow> {
    let options = ServerOptions {
        limits: ServerLimits::default(),
        new_name_key: [0x5a; 32],
    };
    let key_value = disk.open(Arc::new(Immediate)).unwrap();
    let is_new = disk.rows().is_empty();
    let store = EmbeddedStore::open(key_value, options).await.unwrap();
    if is_new {
        fill(&store).await;
    }
    let mut rows = Vec::new();
    store.walk(&mut |row| rows.push(row)).await.unwrap();
    rows
}

async fn client(disk: &MemoryDisk) -> Vec<Row> {
    let key_value = disk.open(Arc::new(Immediate)).unwrap();
    let is_new = disk.rows().is_empty();
    let store = EmbeddedClientStore::open(key_value).await.unwrap();
    if is_new {
        let sizes = [0_usize, 1, 5 * 1024, 5 * 1024 + 1, 11_000];
        let batch = sizes.iter().map(|size| RowWrite::Put {
            at: RowKey {
                table: 3,
                key: Bytes::from(format!("row {size}")),
            },
            value: (0..=250).cycle().take(*size).collect(),
        });
        store.apply(batch.collect()).await.unwrap();
    }
    store.scan(3, &[], None, 100).unwrap()
}

/// The rows that this program writes, as lines of the file.
async fn written() -> (String, Vec<DisclosedRow>, Vec<Row>) {
    let disks = [MemoryDisk::new(), MemoryDisk::new()];
    let server_rows = server(&disks[0]).await;
    let client_rows = client(&disks[1]).await;
    let mut lines = String::new();
    for (kind, disk) in ["server", "client"].iter().zip(&disks) {
        for (key, value) in disk.rows() {
            lines += &format!(
                "{kind} {} {}\n",
                HEXLOWER.encode(&key),
                HEXLOWER.encode(&value)
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("header");
    header::write(&file, &golden_header()).unwrap();
    lines += &format!(
        "header {}\n",
        HEXLOWER.encode(&std::fs::read(file).unwrap())
    );
    (lines, server_rows, client_rows)
}

fn golden_header() -> Header {
    Header {
        format: 1,
        key_derivation: Bytes::from_static(b"parameters"),
    }
}

#[tokio::test]
async fn stores_of_format_1_are_read_and_written_as_ever() {
    let (lines, server_rows, client_rows) = written().await;
    let golden = std::fs::read_to_string(path()).unwrap();
    assert!(
        lines == golden,
        "this program writes other rows than format 1 has"
    );

    let disks = [MemoryDisk::new(), MemoryDisk::new()];
    for line in golden.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let disk = match words[0] {
            "server" => &disks[0],
            "client" => &disks[1],
            _ => {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("header");
                std::fs::write(&file, unhex(words[1])).unwrap();
                assert_eq!(header::read(&file), Ok(Some(golden_header())));
                continue;
            }
        };
        disk.write_raw(unhex(words[1]), unhex(words[2]));
    }
    assert_eq!(server(&disks[0]).await, server_rows);
    assert_eq!(client(&disks[1]).await, client_rows);
    assert_eq!(client_rows.len(), 5);
}

/// Makes the file for a new format. Never over one that is there.
#[tokio::test]
#[ignore = "writes into the repository"]
async fn write_the_golden_file() {
    assert!(!path().exists(), "a golden file is never changed");
    std::fs::create_dir_all(path().parent().unwrap()).unwrap();
    std::fs::write(path(), written().await.0).unwrap();
}
