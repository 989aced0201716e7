// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Golden stores: what was written once has to be readable for ever.
//!
//! `vectors/compat/store-N.txt` has lines of `server KEY VALUE`, `client KEY VALUE`, `header BYTES` and
//! `log NAME BYTES` in hexadecimal digits, where N is the format of the server's store. Where a
//! format changes, a new file comes beside the others; those stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tempfile::TempDir;

use super::files::{FileKeyValue, FileOptions, open_server};
use super::key_value::{Batch, KeyRange, KeyValue, Order};
use super::memory::{Immediate, MemoryDisk};
use super::{EmbeddedClientStore, ServerLimits, ServerOptions};
use crate::client::header::{self, Header};
use crate::client::{ClientStore, Row, RowKey, RowWrite};
use crate::conformance::disclosure::fill;
use crate::server::{DisclosedRow, DisclosureStore};

fn path(format: u32) -> PathBuf {
    let name = format!("../../vectors/compat/store-{format}.txt");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn golden(format: u32) -> String {
    std::fs::read_to_string(path(format)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Bytes {
    HEXLOWER.decode(text.as_bytes()).unwrap().into()
}

fn files() -> FileOptions {
    FileOptions {
        segment_size: Some(1024 * 1024),
        ..FileOptions::default()
    }
}

/// Opens a server's store, fills it where it is new, and shows all that is in it.
async fn server(folder: &Path, is_new: bool) -> Vec<DisclosedRow> {
    let options = ServerOptions {
        limits: ServerLimits::default(),
        new_name_key: [0x5a; 32],
    };
    let store = open_server(folder, options, files()).await.unwrap();
    if is_new {
        fill(&store).await;
    }
    let mut rows = Vec::new();
    store.walk(&mut |row| rows.push(row)).await.unwrap();
    rows
}

/// What has to be the same in every store that was filled alike: not random keys, not how long a
/// log is, and not what was remembered, which a migration forgets.
fn comparable(rows: Vec<DisclosedRow>) -> Vec<DisclosedRow> {
    rows.into_iter()
        .filter(|row| !["log", "log_fingerprints"].contains(&row.table))
        .map(|mut row| {
            row.fields.retain(|(field, _)| *field != "remembered");
            row
        })
        .collect()
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

fn golden_header() -> Header {
    Header {
        format: 1,
        key_derivation: Bytes::from_static(b"parameters"),
    }
}

/// The client's rows that this program writes, as lines of the file.
async fn written_by_client() -> (String, Vec<Row>) {
    let disk = MemoryDisk::new();
    let rows = client(&disk).await;
    let mut lines = String::new();
    for (key, value) in disk.rows() {
        lines += &format!("client {} {}\n", hex(&key), hex(&value));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("header");
    header::write(&file, &golden_header()).unwrap();
    lines += &format!("header {}\n", hex(&std::fs::read(file).unwrap()));
    (lines, rows)
}

/// A store's folder as a golden file describes it.
async fn from_golden(format: u32) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    let rows = FileKeyValue::open(&place.path().join("sled"), &files()).unwrap();
    for line in golden(format).lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "server" => {
                let row = (unhex(words[1]), Some(unhex(words[2])));
                rows.apply(Batch::from([row])).await.unwrap();
            }
            "log" => {
                std::fs::create_dir_all(&log).unwrap();
                std::fs::write(log.join(words[1]), unhex(words[2])).unwrap();
            }
            _ => {}
        }
    }
    std::fs::write(place.path().join("made"), "").unwrap();
    place
}

#[tokio::test]
async fn a_client_store_of_format_1_is_read_and_written_as_ever() {
    let (lines, expected) = written_by_client().await;
    let golden: String = golden(1)
        .lines()
        .filter(|line| !line.starts_with("server"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(
        lines == golden,
        "this program writes other rows than format 1 has"
    );
    let disk = MemoryDisk::new();
    for line in golden.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if words[0] == "client" {
            disk.write_raw(unhex(words[1]), unhex(words[2]));
        } else {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("header");
            std::fs::write(&file, unhex(words[1])).unwrap();
            assert_eq!(header::read(&file), Ok(Some(golden_header())));
        }
    }
    assert_eq!(client(&disk).await, expected);
    assert_eq!(expected.len(), 5);
}

/// Format 1 had mailboxes in rows; they are moved into the log with their positions.
#[tokio::test]
async fn a_server_store_of_format_1_is_migrated() {
    let place = from_golden(1).await;
    let fresh = tempfile::tempdir().unwrap();
    let expected = comparable(server(fresh.path(), true).await);
    assert!(expected.iter().any(|row| row.table == "envelopes"));
    for _ in 0..2 {
        let rows = comparable(server(place.path(), false).await);
        assert_eq!(rows, expected);
    }
    // What it was migrated from is still there.
    let kept = place.path().join("sled.format-1");
    let kept = FileKeyValue::open(&kept, &files()).unwrap();
    let scan = kept.scan(&KeyRange::prefix(&[0x1c]), Order::Ascending, 100);
    assert!(!scan.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_server_store_of_format_2_is_read_as_ever() {
    let place = from_golden(2).await;
    let fresh = tempfile::tempdir().unwrap();
    let expected = server(fresh.path(), true).await;
    let rows = server(place.path(), false).await;
    let without_length = |rows: Vec<DisclosedRow>| -> Vec<DisclosedRow> {
        rows.into_iter()
            .map(|mut row| {
                row.fields
                    .retain(|(field, _)| *field != "position" || row.table != "log");
                row
            })
            .collect()
    };
    assert_eq!(without_length(rows), without_length(expected));
}

/// Makes the file of the server's present format. Never over one that is there.
#[tokio::test]
#[ignore = "writes into the repository"]
async fn write_the_golden_file() {
    assert!(!path(2).exists(), "a golden file is never changed");
    let place = tempfile::tempdir().unwrap();
    server(place.path(), true).await;
    let mut lines = String::new();
    let rows = FileKeyValue::open(&place.path().join("sled"), &files()).unwrap();
    for row in rows
        .scan(&KeyRange::all(), Order::Ascending, usize::MAX)
        .unwrap()
        .rows
    {
        lines += &format!("server {} {}\n", hex(&row.key), hex(&row.value));
    }
    let mut names: Vec<_> = std::fs::read_dir(place.path().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for name in names {
        let bytes = std::fs::read(&name).unwrap();
        // What was prepared and never used is left out.
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if end > 0 {
            let name = name.file_name().unwrap().to_str().unwrap();
            lines += &format!(
                "log {name} {}\n",
                hex(&bytes[..end.next_multiple_of(8).min(bytes.len())])
            );
        }
    }
    std::fs::write(path(2), lines).unwrap();
}
