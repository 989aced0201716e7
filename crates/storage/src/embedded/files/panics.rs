// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An engine that panics has met a damage that it does not expect, or has a fault; either way its files
//! are not trusted any more.
//!
//! Every call of an engine is made between [`Site::enter`]s, so that three things hold. Where panics unwind
//! the call ends with an error. Where they end the process the program's hook of panics learns from
//! [`engine_under_way`] whose panic it is, and can end it in order. In both cases a mark in the engine's folder
//! makes the next opening of a server's store set the folder aside, and the mark with it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::engine::{Engine, Rows};
use crate::embedded::key_value::{Batch, KeyRange};
use crate::{StoreError, platform};

/// The mark in an engine's folder.
const MARK: &str = "panicked";

thread_local! {
    /// The engine whose code this thread runs.
    static UNDER_WAY: RefCell<Option<EngineUnderWay>> = const { RefCell::new(None) };
}

/// The engine in whose code the calling thread is, if it is in one's: to be asked by a hook of panics.
#[must_use]
pub fn engine_under_way() -> Option<EngineUnderWay> {
    UNDER_WAY
        .try_with(|under_way| under_way.try_borrow().ok()?.clone())
        .ok()
        .flatten()
}

/// An engine in whose code a thread is.
#[derive(Debug, Clone)]
pub struct EngineUnderWay(Arc<Site>);

impl EngineUnderWay {
    /// The engine's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.engine
    }

    /// Says durably that the engine has panicked: the next opening of a server's store makes its rows anew.
    ///
    /// # Errors
    /// The mark could not be written.
    pub fn mark(&self) -> io::Result<()> {
        mark(&self.0.folder)
    }
}

fn mark(folder: &Path) -> io::Result<()> {
    File::create(folder.join(MARK))?.sync_all()?;
    platform::sync_folder(folder)
}

/// Whether an engine panicked on the files in its folder.
pub(super) fn is_marked(folder: &Path) -> bool {
    folder.join(MARK).exists()
}

/// Takes the mark away. Answers whether there was one.
pub(super) fn unmark(folder: &Path) -> io::Result<bool> {
    match fs::remove_file(folder.join(MARK)) {
        Ok(()) => platform::sync_folder(folder).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where an engine works.
#[derive(Debug)]
pub(super) struct Site {
    engine: &'static str,
    folder: PathBuf,
}

impl Site {
    pub(super) fn new(engine: &'static str, folder: &Path) -> Arc<Self> {
        Arc::new(Self {
            engine,
            folder: folder.to_owned(),
        })
    }

    /// Runs the engine's code.
    pub(super) fn enter<T>(
        self: &Arc<Self>,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outer = UNDER_WAY.replace(Some(EngineUnderWay(Arc::clone(self))));
        // After a panic nothing of the engine is used again: every user stops at the error.
        let ended = catch_unwind(AssertUnwindSafe(call));
        UNDER_WAY.set(outer);
        ended.unwrap_or_else(|_| {
            let is_marked = mark(&self.folder).is_ok();
            tracing::error!(
                code = "store_engine_panicked",
                engine = self.engine,
                is_marked,
                "the engine of the store's rows panicked"
            );
            Err(StoreError::Corrupt { what: self.engine })
        })
    }
}

/// An engine whose panics are errors.
pub(super) struct Guarded {
    /// Absent only while it is dropped.
    engine: Option<Box<dyn Engine>>,
    site: Arc<Site>,
}

impl Guarded {
    pub(super) fn new(engine: Box<dyn Engine>, site: Arc<Site>) -> Self {
        Self {
            engine: Some(engine),
            site,
        }
    }

    fn enter<'a, T>(
        &'a self,
        call: impl FnOnce(&'a dyn Engine) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let engine = self.engine.as_deref().ok_or(StoreError::Stopped)?;
        self.site.enter(|| call(engine))
    }
}

impl Drop for Guarded {
    /// Engines write when they are closed.
    fn drop(&mut self) {
        let engine = self.engine.take();
        // What a closing leaves undone is done by the next opening.
        let _closed = self.site.enter(|| {
            drop(engine);
            Ok(())
        });
    }
}

impl Engine for Guarded {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.enter(|engine| engine.get(key))
    }

    fn range<'a>(&'a self, range: &KeyRange) -> Result<Rows<'a>, StoreError> {
        let rows = self.enter(|engine| engine.range(range))?;
        Ok(Box::new(GuardedRows {
            rows: Some(rows),
            site: &self.site,
        }))
    }

    fn commit(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        self.enter(|engine| engine.commit(batches))
    }
}

/// Rows that are read as they are asked for; after an error there are none.
struct GuardedRows<'a> {
    rows: Option<Rows<'a>>,
    site: &'a Arc<Site>,
}

impl<'a> GuardedRows<'a> {
    fn enter(
        &mut self,
        call: impl FnOnce(&mut Rows<'a>) -> Option<Result<(Bytes, Bytes), StoreError>>,
    ) -> Option<Result<(Bytes, Bytes), StoreError>> {
        let rows = self.rows.as_mut()?;
        let row = self.site.enter(|| call(rows).transpose());
        if row.is_err() {
            self.close();
        }
        row.transpose()
    }

    fn close(&mut self) {
        let rows = self.rows.take();
        let _closed = self.site.enter(|| {
            drop(rows);
            Ok(())
        });
    }
}

impl Iterator for GuardedRows<'_> {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.enter(Iterator::next)
    }
}

impl DoubleEndedIterator for GuardedRows<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.enter(DoubleEndedIterator::next_back)
    }
}

impl Drop for GuardedRows<'_> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
