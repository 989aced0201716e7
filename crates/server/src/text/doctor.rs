// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `doctor` finds.

use std::collections::BTreeMap;
use std::path::Path;

use super::{byte_count, grouped, quoted};
use crate::failure::Failure;

pub(crate) const OTHER_VERSION: &str = "another version of waxwingd is running";
pub(crate) const STORE_OPENS: &str = "opens, and every record of it is whole";
pub(crate) const DOES_NOT_RUN: &str = "does not run at the moment";

pub(crate) fn runs(accounts: u64) -> String {
    format!("runs, its store answers, {} accounts", grouped(accounts))
}

pub(crate) fn offered(transports: &[&str]) -> String {
    transports.join(" and ")
}

pub(crate) const CLASSICAL_OFFERED: &str = "a key exchange without ML-KEM is in use";

pub(crate) fn key_exchange(name: &str) -> String {
    format!("{name} and no other is offered")
}

pub(crate) fn connected(connections: &BTreeMap<String, u64>) -> String {
    if connections.is_empty() {
        return "none at the moment".to_owned();
    }
    let counts: Vec<String> = connections
        .iter()
        .map(|(name, count)| format!("{} over {name}", grouped(*count)))
        .collect();
    counts.join(", ")
}

pub(crate) fn port_free(listen: &str, protocols: &str) -> String {
    format!("{listen} ({protocols}) is free")
}

pub(crate) fn reached_at(host: &str, port: u16, protocols: &str) -> String {
    format!("{host}, port {port} ({protocols}); whether others reach it cannot be seen from here")
}

pub(crate) fn free(bytes: u64) -> String {
    format!("{} free", byte_count(bytes))
}

pub(crate) fn store_damaged(path: &Path) -> Failure {
    super::store_damaged(path).next("see how much", "waxwingd verify")
}

pub(crate) fn set_aside(path: &Path) -> Failure {
    let what = "the tables were made anew, since the ones before could not be read".to_owned();
    Failure::finding("store_rebuilt", what)
        .why("Nothing is missing. A disk that has changed bytes once may do so again.")
        .next("look at the disk", "smartctl -a DEVICE")
        .next("then delete them", format!("rm -r {}", quoted(path)))
}

pub(crate) fn clock_wrong(date: &str) -> Failure {
    Failure::finding("clock_wrong", format!("the clock says {date}"))
        .why("Invites and the retention limit depend on the day.")
        .next("set it", "timedatectl set-ntp true")
}

pub(crate) fn udp_buffers(receive: u64, send: u64) -> String {
    format!(
        "the kernel grants {} to receive and {} to send",
        byte_count(receive),
        byte_count(send)
    )
}

pub(crate) fn udp_buffers_small(bytes: u64, wanted: u64) -> Failure {
    Failure::finding(
        "udp_buffers_small",
        format!("the kernel grants {}", byte_count(bytes)),
    )
    .why("Under load packets are lost and sent again. Everything works, slower.")
    .next(
        "raise it",
        format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}"),
    )
}

pub(crate) fn open_files(connections: usize) -> String {
    format!("enough for {connections} connections over TCP")
}

pub(crate) fn open_files_few(connections: usize, wanted: usize) -> Failure {
    Failure::finding(
        "open_files_few",
        format!("enough for {connections} connections over TCP, of {wanted} that a server takes"),
    )
    .why("Further ones are refused; those over QUIC share one socket.")
    .next("where systemd starts it, set", "LimitNOFILE=20000")
    .next("in a shell", "ulimit -Hn 20000")
}

pub(crate) fn disk_small(path: &Path, free: u64) -> Failure {
    Failure::finding("disk_small", format!("{} free", byte_count(free)))
        .why("A full disk refuses messages; what was accepted is kept.")
        .next("see", format!("df -h {}", quoted(path)))
}

pub(crate) fn local_only(host: &str) -> Failure {
    Failure::finding(
        "local_only",
        format!("{host}: links are good on this machine only"),
    )
    .why("That is right for a trial.")
    .next("for others, set name and listen in", "waxwingd.toml")
}
