// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Folders: which names are on the device, and which changes of names no sync has covered.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use crate::choice::Choice;
use crate::image::Kept;

/// A file or folder, whatever it is called.
pub(super) type NodeId = u64;
/// The folder that everything is in.
pub(super) const ROOT: NodeId = 0;
/// Names in folders.
pub(super) type Tree = BTreeMap<(NodeId, String), NodeId>;
type Place = (NodeId, String);

/// A change of names.
#[derive(Debug, Clone)]
enum Change {
    Link { at: Place, node: NodeId },
    Unlink { at: Place },
    Rename { from: Place, to: Place },
}

impl Change {
    fn folders(&self) -> [NodeId; 2] {
        match self {
            Self::Link { at, .. } | Self::Unlink { at } => [at.0, at.0],
            Self::Rename { from, to } => [from.0, to.0],
        }
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Link { at, node } => {
                tree.insert(at.clone(), *node);
            }
            Self::Unlink { at } => {
                tree.remove(at);
            }
            Self::Rename { from, to } => {
                if let Some(node) = tree.remove(from) {
                    tree.insert(to.clone(), node);
                }
            }
        }
    }
}

/// All names.
#[derive(Debug, Default)]
pub(super) struct Names {
    live: Tree,
    durable: Tree,
    pending: Vec<(u64, Change)>,
    last: NodeId,
}

impl Names {
    /// What the processes see.
    pub(super) const fn live(&self) -> &Tree {
        &self.live
    }

    /// The node at a path below the root, as the processes see it.
    pub(super) fn find(&self, path: &str) -> Option<NodeId> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |folder, name| {
                self.live.get(&(folder, name.to_owned())).copied()
            })
    }

    fn add(&mut self, now: u64, change: Change) {
        change.apply(&mut self.live);
        self.pending.push((now, change));
    }

    /// Makes a node and gives it a name.
    pub(super) fn link_new(&mut self, at: Place, now: u64) -> NodeId {
        self.last += 1;
        let node = self.last;
        self.add(now, Change::Link { at, node });
        node
    }

    pub(super) fn unlink(&mut self, at: Place, now: u64) -> Result<()> {
        self.live.get(&at).context("a name was removed twice")?;
        self.add(now, Change::Unlink { at });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: Place, to: Place, now: u64) -> Result<()> {
        self.live.get(&from).context("nothing was renamed")?;
        self.add(now, Change::Rename { from, to });
        Ok(())
    }

    /// A folder was synced: its changes up to this event are on the device. A rename between two
    /// folders is one change of both, so it brings along what came before it in the other one.
    pub(super) fn sync(&mut self, folder: NodeId, until: u64) {
        let mut folders = BTreeSet::from([folder]);
        let mut is_durable = vec![false; self.pending.len()];
        for (place, (number, change)) in self.pending.iter().enumerate().rev() {
            let touched = change.folders();
            if *number <= until && touched.iter().any(|one| folders.contains(one)) {
                folders.extend(touched);
                is_durable[place] = true;
            }
        }
        let mut place = 0;
        self.pending.retain(|(_, change)| {
            let durable = is_durable[place];
            place += 1;
            if durable {
                change.apply(&mut self.durable);
            }
            !durable
        });
    }

    /// The names that are left after a power cut: of each folder a prefix of its changes.
    pub(super) fn survivors(&self, kept: Kept, choice: &mut Choice) -> Tree {
        let mut tree = self.durable.clone();
        let mut ended: BTreeSet<NodeId> = BTreeSet::new();
        let odds = [1, 5, 9][choice.place(3)];
        for (_, change) in &self.pending {
            let touched = change.folders();
            let is_kept = match kept {
                Kept::Nothing => false,
                Kept::Everything => true,
                Kept::Prefix | Kept::Pages => {
                    !touched.iter().any(|folder| ended.contains(folder)) && choice.chance(odds, 10)
                }
            };
            if is_kept {
                change.apply(&mut tree);
            } else {
                ended.extend(touched);
            }
        }
        tree
    }
}
