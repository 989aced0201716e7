// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an attacker can reach, as functions of bytes. A target asserts what must hold for *any*
//! input, so a failed assertion is a finding like a panic.
//!
//! Every target has a corpus in `fuzz/corpus/NAME`. The test `replay` runs all of it on every
//! change; `cargo xtask fuzz NAME` looks for new inputs with libFuzzer, on the stable toolchain.
//! What it finds goes into the corpus with the change that mends it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a target fails by panicking"
)]

mod corpus;
mod datagrams;
mod identity;
mod mux;
mod rows;
mod schedule;
mod sessions;
mod wire;

pub use corpus::{corpus_folder, golden};

/// One thing that is attacked.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line, and its folder in the corpus.
    pub name: &'static str,
    /// What is fed, in one line.
    pub about: &'static str,
    /// Golden files, below `vectors/compat/v1`, from which a search may start besides its corpus:
    /// the beginning of their path.
    pub seeds: &'static [&'static str],
    /// Feeds one input. Panics when something that must hold does not.
    pub run: fn(&[u8]),
}

/// All targets, in the order of their names.
pub const TARGETS: &[Target] = &[
    Target {
        name: "engine_rows",
        about: "the rows of a profile, as a damaged store would give them",
        seeds: &["profile/"],
        run: rows::engine,
    },
    Target {
        name: "envelope",
        about: "an envelope from a stranger: layout and prefix",
        seeds: &["ratchet/envelope"],
        run: sessions::envelope,
    },
    Target {
        name: "frames",
        about: "a stream of frames, cut anywhere",
        seeds: &["wire/Request", "wire/Delivery"],
        run: wire::frames,
    },
    Target {
        name: "handshake",
        about: "an envelope to a device whose prekeys the sender knows",
        seeds: &["ratchet/envelope"],
        run: sessions::handshake,
    },
    Target {
        name: "links",
        about: "what people paste: links, codes, names, addresses, fingerprints",
        seeds: &["layouts/links"],
        run: identity::links,
    },
    Target {
        name: "manifest",
        about: "a version of a device manifest",
        seeds: &[
            "layouts/manifests",
            "ratchet/alice-manifest",
            "ratchet/bob-manifest",
        ],
        run: identity::manifest,
    },
    Target {
        name: "prekey_bundle",
        about: "a prekey bundle as a server hands it out",
        seeds: &["wire/PrekeyBundle"],
        run: identity::prekey_bundle,
    },
    Target {
        name: "prekey_pair",
        about: "a prekey pair",
        seeds: &[
            "layouts/prekeys",
            "ratchet/bob-signed-pair",
            "ratchet/bob-one-time-pair",
        ],
        run: identity::prekey_pair,
    },
    Target {
        name: "quic_datagrams",
        about: "UDP datagrams from strangers, at a server's endpoint",
        seeds: &[],
        run: datagrams::server,
    },
    Target {
        name: "session_receive",
        about: "an envelope to a session in the middle of a conversation",
        seeds: &["ratchet/envelope"],
        run: sessions::receive,
    },
    Target {
        name: "session_rows",
        about: "rows of sessions, skipped keys and prekey secrets, damaged",
        seeds: &["ratchet/"],
        run: rows::ratchet,
    },
    Target {
        name: "tcp_frames",
        about: "frames of the multiplexer over TCP, at either end",
        seeds: &[],
        run: mux::end,
    },
    Target {
        name: "two_devices",
        about: "what a network does with the envelopes of two devices",
        seeds: &[],
        run: schedule::two_devices,
    },
    Target {
        name: "wire",
        about: "every protobuf message that comes from outside",
        seeds: &["wire/"],
        run: wire::messages,
    },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
