// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dependency direction: which crate may use which, and which ones must never be reached.
//!
//! That the operator cannot decrypt is a fact of this graph, so the rules look at every path in it
//! and not at manifests alone. Edges for tests are left out: they are in no program that ships.

use super::Finding;
use super::graph::{Graph, Package, Walk};
use super::pure::PURE;

/// The crates of the workspace, without `waxwing-`, and the ones that each may name as a dependency.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("proto", &[]),
    ("identity", &["proto"]),
    ("crypto", &["proto", "identity"]),
    ("ratchet", &["proto", "identity", "crypto"]),
    ("groups", &["proto", "identity", "crypto"]),
    ("transparency", &["proto", "identity"]),
    (
        "engine",
        &[
            "proto",
            "identity",
            "crypto",
            "ratchet",
            "groups",
            "transparency",
        ],
    ),
    ("transport", &["proto", "identity"]),
    ("storage", &["proto", "identity"]),
    (
        "relay",
        &["proto", "identity", "transparency", "transport", "storage"],
    ),
    (
        "server",
        &[
            "proto",
            "identity",
            "transparency",
            "transport",
            "storage",
            "relay",
        ],
    ),
    (
        "client",
        &[
            "proto",
            "identity",
            "crypto",
            "ratchet",
            "groups",
            "transparency",
            "engine",
            "transport",
            "storage",
        ],
    ),
];

/// Programs and tools: they may use every crate, and nothing may use them.
const ROOTS: [&str; 6] = ["bench", "crash", "fuzz", "preload", "simulator", "xtask"];

/// Loaded into processes by tests and linked into nothing, not even into a tool: it is `unsafe`.
const UNLINKED: &str = "waxwing-preload";

/// Crates that must not be reached on any path, because they know how to open an envelope.
const BLIND: [&str; 2] = ["relay", "server"];
const OPENS_ENVELOPES: [&str; 4] = ["crypto", "ratchet", "groups", "engine"];

/// Packages that do I/O and so are linked into no pure crate.
const DOES_IO: [&str; 6] = ["tokio", "mio", "socket2", "quinn", "sled", "redb"];

/// Crates that see storage and transport through their traits alone, and the features that would
/// bring an implementation with real I/O.
const OVER_SEAMS: [(&str, &[&str]); 2] = [
    ("relay", &["sled", "quic", "tcp", "platform"]),
    // The real QUIC stack runs in a simulation, over simulated packets.
    ("simulator", &["sled", "tcp", "platform"]),
];

/// Checks the whole graph of one target.
pub(super) fn check(graph: &Graph) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, package) in graph.members() {
        let short = short(&package.name);
        found.extend(direct(graph, package, short));
        if package.declared.iter().any(|asked| asked.name == UNLINKED) {
            let message =
                format!("must not depend on {UNLINKED}, which is loaded and never linked");
            found.push(Finding::new(package.name.as_str(), message));
        }
        if BLIND.contains(&short) {
            for name in OPENS_ENVELOPES {
                let reason = "the server must not be able to open an envelope";
                found.extend(reached(
                    graph,
                    at,
                    &format!("waxwing-{name}"),
                    Walk::LinkedOrBuilding,
                    reason,
                ));
            }
        }
        if PURE.contains(&short) {
            for name in DOES_IO {
                let reason = "this crate does no I/O";
                found.extend(reached(graph, at, name, Walk::Linked, reason));
            }
        }
        if let Some((_, real)) = OVER_SEAMS.iter().find(|(name, _)| *name == short) {
            found.extend(seams(package, real));
        }
    }
    found
}

fn short(name: &str) -> &str {
    name.strip_prefix("waxwing-").unwrap_or(name)
}

/// The edges that leave one crate of the workspace for another.
fn direct(graph: &Graph, package: &Package, short_name: &str) -> Vec<Finding> {
    if ROOTS.contains(&short_name) {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == short_name) else {
        let message =
            "the crate has no row in the table of allowed edges (xtask/src/tidy/edges.rs)";
        return vec![Finding::new(package.name.as_str(), message)];
    };
    let mut found = Vec::new();
    for edge in package
        .edges
        .iter()
        .filter(|edge| edge.normal || edge.build)
    {
        let Some(to) = graph.packages.get(edge.to).filter(|to| to.member) else {
            continue;
        };
        if !allowed.contains(&short(&to.name)) {
            let message = format!(
                "must not depend on {}: the direction of dependencies is in docs/architecture.md",
                to.name
            );
            found.push(Finding::new(package.name.as_str(), message));
        }
    }
    found
}

fn reached(graph: &Graph, from: usize, name: &str, walk: Walk, reason: &str) -> Option<Finding> {
    let path = graph.path(from, name, walk)?;
    let start = path.first()?.clone();
    Some(Finding::new(
        start,
        format!("reaches {name} by {}: {reason}", path.join(" -> ")),
    ))
}

fn seams(package: &Package, real: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    for asked in package.declared.iter().filter(|asked| !asked.development) {
        if !["waxwing-storage", "waxwing-transport"].contains(&asked.name.as_str()) {
            continue;
        }
        if asked.default_features
            || asked
                .features
                .iter()
                .any(|feature| real.contains(&feature.as_str()))
        {
            let message = format!(
                "asks for the real implementation of {}: use `default-features = false`",
                asked.name
            );
            found.push(Finding::new(package.name.as_str(), message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::graph::Declared;
    use super::*;

    fn messages(graph: &Graph) -> Vec<String> {
        check(graph)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn the_intended_graph_is_accepted() {
        let edges = [
            ("waxwing-identity", "waxwing-proto", "normal"),
            ("waxwing-relay", "waxwing-proto", "normal"),
            ("waxwing-server", "waxwing-relay", "normal"),
            ("waxwing-server", "waxwing-engine", "dev"),
            ("waxwing-engine", "waxwing-proto", "normal"),
            ("xtask", "waxwing-engine", "normal"),
        ];
        let members = [
            "waxwing-proto",
            "waxwing-identity",
            "waxwing-relay",
            "waxwing-server",
            "waxwing-engine",
            "xtask",
        ];
        assert_eq!(
            messages(&Graph::of(&members, &[], &edges)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_edge_from_relay_to_ratchet_is_found_with_its_path() {
        let members = ["waxwing-server", "waxwing-relay", "waxwing-ratchet"];
        let edges = [
            ("waxwing-server", "waxwing-relay", "normal"),
            ("waxwing-relay", "waxwing-ratchet", "normal"),
        ];
        let found = messages(&Graph::of(&members, &[], &edges));
        assert_eq!(found.len(), 3);
        let whole = "waxwing-server: reaches waxwing-ratchet by waxwing-server -> waxwing-relay -> waxwing-ratchet";
        assert!(
            found.iter().any(|message| message.starts_with(whole)),
            "{found:?}"
        );
    }

    #[test]
    fn a_way_through_a_foreign_package_or_a_build_script_is_found() {
        let edges = [
            ("waxwing-server", "other", "build"),
            ("other", "waxwing-crypto", "normal"),
        ];
        let found = messages(&Graph::of(
            &["waxwing-server", "waxwing-crypto"],
            &["other"],
            &edges,
        ));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_runtime_in_a_pure_crate_is_found_and_in_its_build_script_is_not() {
        let members = ["waxwing-crypto", "waxwing-proto"];
        let edges = [
            ("waxwing-crypto", "x", "normal"),
            ("x", "tokio", "normal"),
            ("waxwing-proto", "x", "build"),
        ];
        let found = messages(&Graph::of(&members, &["x", "tokio"], &edges));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("waxwing-crypto -> x -> tokio"));
    }

    #[test]
    fn nothing_depends_on_tools_and_every_crate_is_in_the_table() {
        let members = ["waxwing-client", "waxwing-simulator", "waxwing-new"];
        let found = messages(&Graph::of(
            &members,
            &[],
            &[("waxwing-client", "waxwing-simulator", "normal")],
        ));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn nothing_depends_on_what_is_loaded_only() {
        let mut graph = Graph::of(&["xtask", "waxwing-preload"], &[], &[]);
        graph.packages[0].declared = vec![Declared {
            name: "waxwing-preload".to_owned(),
            development: true,
            ..Declared::default()
        }];
        assert_eq!(messages(&graph).len(), 1);
    }

    #[test]
    fn a_relay_that_asks_for_sled_is_found() {
        let mut graph = Graph::of(&["waxwing-relay"], &[], &[]);
        let asked = |default_features, feature: &str| Declared {
            name: "waxwing-storage".to_owned(),
            default_features,
            features: vec![feature.to_owned()],
            development: false,
        };
        graph.packages[0].declared = vec![
            asked(true, "memory"),
            asked(false, "sled"),
            asked(false, "memory"),
        ];
        assert_eq!(messages(&graph).len(), 2);
    }
}
