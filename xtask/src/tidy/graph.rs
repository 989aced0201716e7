// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dependency graph that cargo resolves for one target.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use super::features::is_on;

/// One package of the graph.
#[derive(Debug, Clone, Default)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// The licence expression of its manifest.
    pub(super) licence: Option<String>,
    /// Whether it belongs to this workspace.
    pub(super) member: bool,
    /// Whether it comes from the public registry.
    pub(super) from_registry: bool,
    /// The features that are on, after unification over the workspace.
    pub(super) features: Vec<String>,
    pub(super) edges: Vec<Edge>,
    pub(super) declared: Vec<Declared>,
}

/// A dependency on the package with an index. It may have several kinds at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edge {
    pub(super) to: usize,
    pub(super) normal: bool,
    pub(super) build: bool,
}

/// A dependency as the manifest asks for it, before features are unified.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) default_features: bool,
    pub(super) features: Vec<String>,
    /// Only for tests.
    pub(super) development: bool,
}

/// Which edges a walk follows. Edges for tests alone are never followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// What is linked into the program.
    Linked,
    /// What is linked, and what runs while it is built.
    LinkedOrBuilding,
}

/// The packages of one target.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) target: String,
    pub(super) packages: Vec<Package>,
}

impl Graph {
    /// Asks cargo for the graph of the workspace.
    pub(super) fn resolve(root: &Path, target: &str) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .other_options(vec!["--filter-platform".to_owned(), target.to_owned()])
            .exec()
            .with_context(|| format!("cargo metadata for {target}"))?;
        Self::read(&metadata, target)
    }

    fn read(metadata: &Metadata, target: &str) -> Result<Self> {
        let resolve = metadata
            .resolve
            .as_ref()
            .context("cargo metadata resolved nothing")?;
        let index: BTreeMap<_, usize> = resolve
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (&node.id, at))
            .collect();
        let described: BTreeMap<_, _> = metadata
            .packages
            .iter()
            .map(|package| (&package.id, package))
            .collect();
        let mut packages = Vec::with_capacity(resolve.nodes.len());
        for node in &resolve.nodes {
            let package = described
                .get(&node.id)
                .context("a resolved package has no description")?;
            let mut edges = Vec::with_capacity(node.deps.len());
            for dependency in &node.deps {
                let to = described
                    .get(&dependency.pkg)
                    .context("an edge leads out of the graph")?;
                let has = |kind| dependency.dep_kinds.iter().any(|found| found.kind == kind);
                if is_on(package, &node.features, to) {
                    edges.push(Edge {
                        to: *index
                            .get(&dependency.pkg)
                            .context("an edge leads out of the graph")?,
                        normal: has(DependencyKind::Normal),
                        build: has(DependencyKind::Build),
                    });
                }
            }
            let declared = package.dependencies.iter().map(|asked| Declared {
                name: asked.name.clone(),
                default_features: asked.uses_default_features,
                features: asked.features.clone(),
                development: asked.kind == DependencyKind::Development,
            });
            packages.push(Package {
                name: package.name.to_string(),
                version: package.version.to_string(),
                licence: package.license.clone(),
                member: metadata.workspace_members.contains(&node.id),
                from_registry: package
                    .source
                    .as_ref()
                    .is_some_and(cargo_metadata::Source::is_crates_io),
                features: node.features.iter().map(ToString::to_string).collect(),
                edges,
                declared: declared.collect(),
            });
        }
        let target = target.to_owned();
        Ok(Self { target, packages }.reached())
    }

    /// Without the packages to which no edge leads from the workspace.
    fn reached(self) -> Self {
        let mut queue: Vec<usize> = self.members().map(|(at, _)| at).collect();
        let mut kept: BTreeSet<usize> = queue.iter().copied().collect();
        while let Some(package) = queue.pop().and_then(|at| self.packages.get(at)) {
            queue.extend(
                package
                    .edges
                    .iter()
                    .map(|edge| edge.to)
                    .filter(|to| kept.insert(*to)),
            );
        }
        let place: BTreeMap<usize, usize> = kept.iter().copied().zip(0..).collect();
        let mut packages = Vec::with_capacity(kept.len());
        for (at, mut package) in self.packages.into_iter().enumerate() {
            if !kept.contains(&at) {
                continue;
            }
            for edge in &mut package.edges {
                edge.to = place.get(&edge.to).copied().unwrap_or(edge.to);
            }
            packages.push(package);
        }
        Self {
            target: self.target,
            packages,
        }
    }

    /// The packages with a name; there can be several versions.
    #[cfg(test)]
    pub(super) fn named(&self, name: &str) -> Vec<usize> {
        let named = |(at, package): (usize, &Package)| (package.name == name).then_some(at);
        self.packages.iter().enumerate().filter_map(named).collect()
    }

    /// The packages of the workspace.
    pub(super) fn members(&self) -> impl Iterator<Item = (usize, &Package)> {
        self.packages
            .iter()
            .enumerate()
            .filter(|(_, package)| package.member)
    }

    /// The shortest way from one package to any package with the name, as the names on it.
    pub(super) fn path(&self, from: usize, name: &str, walk: Walk) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            let package = self.packages.get(at)?;
            if package.name == name && at != from {
                return Some(self.way(at, from, &came_from));
            }
            for edge in &package.edges {
                let followed = edge.normal || (walk == Walk::LinkedOrBuilding && edge.build);
                if followed && edge.to != from && !came_from.contains_key(&edge.to) {
                    came_from.insert(edge.to, at);
                    queue.push_back(edge.to);
                }
            }
        }
        None
    }

    fn way(&self, to: usize, from: usize, came_from: &BTreeMap<usize, usize>) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = to;
        loop {
            names.extend(self.packages.get(at).map(|package| package.name.clone()));
            match came_from.get(&at) {
                Some(before) if at != from => at = *before,
                _ => break,
            }
        }
        names.reverse();
        names
    }

    /// A graph of workspace members made of literals: `(from, to, kind)`, for the tests of the rules.
    #[cfg(test)]
    pub(super) fn of(members: &[&str], others: &[&str], edges: &[(&str, &str, &str)]) -> Self {
        let package = |name: &&str, member: bool| Package {
            name: (*name).to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some("MIT".to_owned()),
            member,
            from_registry: !member,
            ..Package::default()
        };
        let mut graph = Self {
            target: "test".to_owned(),
            packages: Vec::new(),
        };
        graph
            .packages
            .extend(members.iter().map(|name| package(name, true)));
        graph
            .packages
            .extend(others.iter().map(|name| package(name, false)));
        for (from, to, kind) in edges {
            let to = graph.named(to)[0];
            let from = graph.named(from)[0];
            graph.packages[from].edges.push(Edge {
                to,
                normal: *kind == "normal",
                build: *kind == "build",
            });
        }
        graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_path_is_named_and_test_edges_are_not_followed() {
        let edges = [
            ("a", "b", "normal"),
            ("b", "c", "build"),
            ("c", "d", "normal"),
            ("a", "d", "dev"),
        ];
        let graph = Graph::of(&["a", "b", "c", "d"], &[], &edges);
        let found = graph.path(0, "d", Walk::LinkedOrBuilding);
        assert_eq!(
            found,
            Some(["a", "b", "c", "d"].map(str::to_owned).to_vec())
        );
        assert_eq!(graph.path(0, "d", Walk::Linked), None);
        assert_eq!(graph.path(3, "a", Walk::LinkedOrBuilding), None);
    }

    #[test]
    fn packages_that_nothing_uses_are_left_out() {
        let graph = Graph::of(&["a", "b"], &["unused", "used"], &[("b", "used", "dev")]).reached();
        let names: Vec<_> = graph
            .packages
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b", "used"]);
        assert_eq!(graph.packages[1].edges[0].to, 2);
    }

    #[test]
    fn this_workspace_is_resolved() {
        let graph = Graph::resolve(&crate::workspace::root(), super::super::TARGETS[0]).unwrap();
        let proto = graph.named("waxwing-proto");
        assert_eq!(proto.len(), 1);
        assert!(graph.path(proto[0], "prost", Walk::Linked).is_some());
        assert!(
            graph
                .path(proto[0], "proptest", Walk::LinkedOrBuilding)
                .is_none()
        );
    }
}
