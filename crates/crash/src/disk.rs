// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A model of a disk: what is on the device for certain, and what only the page cache knows.
//!
//! The rules are those that POSIX promises and no more. A sync of a file covers its bytes and its
//! length, not its name. Names are durable when their folder was synced, and the changes of one
//! folder reach the device in their order. `sync_file_range` covers nothing.

mod file;
mod names;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::choice::Choice;
use crate::image::{Image, Kept};
use crate::trace::{Event, SyncKind};
use file::{Change, Contents};
use names::{Names, NodeId, ROOT, Tree};

/// The state of a watched folder after some events.
pub struct Disk {
    /// The folder, absolute.
    folder: String,
    names: Names,
    files: BTreeMap<NodeId, Contents>,
    inodes: BTreeMap<u64, NodeId>,
    /// Syncs that have begun, and the number of the last event that each covers.
    begun: BTreeMap<u64, (NodeId, u64)>,
    /// The number of the event.
    now: u64,
}

impl Disk {
    /// An empty folder that is itself durable.
    #[must_use]
    pub fn new(folder: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            names: Names::default(),
            files: BTreeMap::new(),
            inodes: BTreeMap::new(),
            begun: BTreeMap::new(),
            now: 0,
        }
    }

    /// Lets an event happen.
    ///
    /// # Errors
    /// The record says something that cannot be, or that the model does not know. Nothing that is
    /// built from such a record would mean anything.
    pub fn apply(&mut self, event: &Event) -> Result<()> {
        self.now += 1;
        match event {
            Event::Start => self.begun.clear(),
            Event::Open {
                created,
                is_folder,
                truncated,
                inode,
                path,
            } => self.open(*created, *is_folder, *truncated, *inode, path)?,
            Event::Write {
                inode,
                offset,
                bytes,
            } => {
                let change = Change::Write {
                    offset: usize::try_from(*offset)?,
                    bytes: bytes.clone(),
                };
                self.change(*inode, change)?;
            }
            Event::Length { inode, length } => {
                self.change(*inode, Change::Length(usize::try_from(*length)?))?;
            }
            Event::SyncBegin {
                inode,
                kind,
                number,
            } => {
                if *kind != SyncKind::Range {
                    let node = self.node(*inode)?;
                    self.begun.insert(*number, (node, self.now));
                }
            }
            Event::SyncEnd { number } => self.synced(*number),
            Event::Rename { from, to } => {
                let (from, to) = (self.place(from)?, self.place(to)?);
                self.names.rename(from, to, self.now)?;
            }
            Event::Unlink(path) | Event::RemoveFolder(path) => {
                let place = self.place(path)?;
                self.names.unlink(place, self.now)?;
            }
            Event::MakeFolder(path) => {
                let place = self.place(path)?;
                self.names.link_new(place, self.now);
            }
            Event::Mark(_) | Event::Fault(_) => {}
            Event::Unsupported(what) => bail!("the record is not whole: {what}"),
        }
        Ok(())
    }

    /// The folder of a path and the name in it.
    fn place(&self, path: &str) -> Result<(NodeId, String)> {
        let below = self.below(path)?;
        let (folder, name) = below.rsplit_once('/').unwrap_or(("", below));
        let folder = self.names.find(folder);
        let folder = folder.with_context(|| format!("{path} is in a folder that nobody made"))?;
        Ok((folder, name.to_owned()))
    }

    fn below<'a>(&self, path: &'a str) -> Result<&'a str> {
        let rest = path.strip_prefix(self.folder.as_str());
        let rest = rest.with_context(|| format!("{path} is outside of the folder"))?;
        Ok(rest.trim_matches('/'))
    }

    fn open(
        &mut self,
        created: bool,
        is_folder: bool,
        truncated: bool,
        inode: u64,
        path: &str,
    ) -> Result<()> {
        let node = if created {
            let place = self.place(path)?;
            let node = self.names.link_new(place, self.now);
            self.files.insert(node, Contents::default());
            node
        } else if is_folder && self.below(path)?.is_empty() {
            ROOT
        } else {
            let found = self.names.find(self.below(path)?);
            found.with_context(|| format!("{path} was opened and never made"))?
        };
        self.inodes.insert(inode, node);
        if truncated {
            self.change(inode, Change::Length(0))?;
        }
        Ok(())
    }

    fn node(&self, inode: u64) -> Result<NodeId> {
        let node = self.inodes.get(&inode).copied();
        node.context("a file is used that was never opened")
    }

    fn change(&mut self, inode: u64, change: Change) -> Result<()> {
        let node = self.node(inode)?;
        let contents = self.files.get_mut(&node);
        contents
            .context("a folder was written to")?
            .add(self.now, change);
        Ok(())
    }

    fn synced(&mut self, number: u64) {
        // A sync of `sync_file_range` was never noted.
        if let Some((node, until)) = self.begun.remove(&number) {
            match self.files.get_mut(&node) {
                Some(contents) => contents.sync(until),
                None => self.names.sync(node, until),
            }
        }
    }

    /// What a power cut at this moment can leave.
    pub fn image(&self, kept: Kept, choice: &mut Choice) -> Image {
        let tree = self.names.survivors(kept, choice);
        let mut image = Image::default();
        self.fill(&tree, ROOT, "", &mut image, &mut |contents| {
            contents.survivor(kept, choice)
        });
        image
    }

    /// What the processes see.
    #[must_use]
    pub fn live(&self) -> Image {
        let mut image = Image::default();
        self.fill(self.names.live(), ROOT, "", &mut image, &mut |contents| {
            contents.live()
        });
        image
    }

    fn fill(
        &self,
        tree: &Tree,
        folder: NodeId,
        path: &str,
        image: &mut Image,
        bytes: &mut dyn FnMut(&Contents) -> Vec<u8>,
    ) {
        for ((_, name), node) in tree.range((folder, String::new())..(folder + 1, String::new())) {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            match self.files.get(node) {
                Some(contents) => {
                    image.files.insert(path, bytes(contents));
                }
                None => {
                    image.folders.insert(path.clone());
                    self.fill(tree, *node, &path, image, bytes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
