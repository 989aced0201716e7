// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Licences, sources and banned packages, by the same `deny.toml` that cargo-deny reads.

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::Finding;
use super::graph::{Graph, Package, Walk};
use super::spdx;

/// What `deny.toml` says.
#[derive(Debug, Default)]
pub(super) struct Policy {
    allowed: Vec<String>,
    /// A package, and the licences that are accepted for it alone.
    exceptions: Vec<(String, Vec<String>)>,
    banned: Vec<String>,
}

impl Policy {
    /// Reads the parts of the file that these rules need.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse().context("deny.toml")?;
        let licences = table
            .get("licenses")
            .context("deny.toml has no [licenses]")?;
        let bans = table.get("bans").context("deny.toml has no [bans]")?;
        let entries = |section: &Value, key: &str| {
            section
                .get(key)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let name = |entry: &Value| -> Result<String> {
            let text = entry
                .get("crate")
                .or_else(|| entry.get("name"))
                .or(Some(entry))
                .and_then(Value::as_str);
            Ok(text
                .context("deny.toml names a package without `crate`")?
                .to_owned())
        };
        let mut policy = Self {
            allowed: strings(&entries(licences, "allow")),
            ..Self::default()
        };
        for entry in entries(licences, "exceptions") {
            policy
                .exceptions
                .push((name(&entry)?, strings(&entries(&entry, "allow"))));
        }
        for entry in entries(bans, "deny") {
            policy.banned.push(name(&entry)?);
        }
        Ok(policy)
    }

    fn accepts(&self, package: &Package, licence: &str) -> bool {
        let excepted = |(name, licences): &(String, Vec<String>)| {
            *name == package.name && licences.iter().any(|l| l == licence)
        };
        self.allowed.iter().any(|allowed| allowed == licence)
            || self.exceptions.iter().any(excepted)
    }
}

fn strings(values: &[Value]) -> Vec<String> {
    values
        .iter()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

/// Checks every package of one target.
pub(super) fn check(graph: &Graph, policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in &graph.packages {
        let place = format!("{} {}", package.name, package.version);
        found.extend(licence(package, policy).map(|message| Finding::new(place.as_str(), message)));
        if !package.member && !package.from_registry {
            found.push(Finding::new(
                place.as_str(),
                "comes neither from this workspace nor from the public registry",
            ));
        }
        if policy.banned.contains(&package.name) {
            found.push(Finding::new(place, banned(graph, package)));
        }
    }
    found
}

fn licence(package: &Package, policy: &Policy) -> Option<String> {
    let Some(expression) = package.licence.as_deref() else {
        return Some("its manifest names no licence".to_owned());
    };
    match spdx::satisfied(expression, &|licence| policy.accepts(package, licence)) {
        Some(true) => None,
        Some(false) => Some(format!(
            "`{expression}` is not covered by the list in deny.toml"
        )),
        None => Some(format!("`{expression}` is not a licence expression")),
    }
}

/// Says by which way, and through which features of its direct user, a banned package is resolved.
fn banned(graph: &Graph, package: &Package) -> String {
    let way = graph
        .members()
        .filter_map(|(at, _)| graph.path(at, &package.name, Walk::LinkedOrBuilding))
        .min_by_key(Vec::len)
        .unwrap_or_else(|| vec!["a dependency for tests".to_owned(), package.name.clone()]);
    let user = way
        .iter()
        .rev()
        .nth(1)
        .and_then(|name| graph.packages.iter().find(|found| found.name == *name));
    let features = user.map_or_else(String::new, |user| {
        format!(
            " ({} has the features {})",
            user.name,
            user.features.join(", ")
        )
    });
    format!(
        "is banned by deny.toml and resolved for {} by {}{features}",
        graph.target,
        way.join(" -> ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
        [licenses]
        allow = [\"MIT\", \"Apache-2.0\"]
        exceptions = [{ crate = \"words\", allow = [\"CC0-1.0\"] }]
        [bans]
        deny = [{ crate = \"ring\", reason = \"one provider\" }, \"openssl\"]
    ";

    fn found(graph: &Graph) -> Vec<String> {
        let policy = Policy::parse(POLICY).unwrap();
        check(graph, &policy)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn a_licence_outside_the_list_is_found() {
        let mut graph = Graph::of(&["a"], &["b", "words"], &[]);
        assert_eq!(found(&graph), Vec::<String>::new());
        graph.packages[1].licence = Some("AGPL-3.0-only".to_owned());
        graph.packages[2].licence = Some("CC0-1.0".to_owned());
        assert_eq!(found(&graph).len(), 1);
        graph.packages[0].licence = None;
        graph.packages[1].licence = Some("CC0-1.0".to_owned());
        assert_eq!(found(&graph).len(), 2);
    }

    #[test]
    fn a_package_from_elsewhere_is_found() {
        let mut graph = Graph::of(&["a"], &["b"], &[]);
        graph.packages[1].from_registry = false;
        assert_eq!(
            found(&graph),
            ["b 1.0.0: comes neither from this workspace nor from the public registry"]
        );
    }

    #[test]
    fn a_banned_package_is_found_with_its_path_and_features() {
        let edges = [("a", "tls", "normal"), ("tls", "ring", "normal")];
        let mut graph = Graph::of(&["a"], &["tls", "ring"], &edges);
        graph.packages[1].features = vec!["default".to_owned(), "ring".to_owned()];
        let messages = found(&graph);
        assert_eq!(messages.len(), 1);
        assert!(
            messages[0].contains("a -> tls -> ring (tls has the features default, ring)"),
            "{messages:?}"
        );
        let graph = Graph::of(&["a"], &["openssl"], &[("a", "openssl", "dev")]);
        assert_eq!(found(&graph).len(), 1);
    }

    #[test]
    fn the_policy_of_this_repository_bans_ring() {
        let text = std::fs::read_to_string(crate::workspace::root().join("deny.toml")).unwrap();
        let policy = Policy::parse(&text).unwrap();
        assert!(policy.banned.iter().any(|name| name == "ring"));
        assert!(
            policy
                .allowed
                .iter()
                .all(|licence| !licence.starts_with("GPL") && !licence.starts_with("AGPL"))
        );
    }
}
