// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A folder in memory that knows what is durable: crashes lose, cut or keep what was not synced.
//! Deterministic; for tests and for whoever builds images of a power cut.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::{LogFile, LogFolder};

/// What a disk keeps or loses as a whole.
const PAGE: usize = 4096;

/// What becomes of the writes that no sync has covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// None is kept: the device had written nothing by itself.
    All,
    /// Those before a point are kept, the one at the point is cut within itself. The number decides
    /// the point.
    Cut(u64),
    /// Each page of each write is kept or not, by itself. The number decides.
    Pages(u64),
    /// All are kept: the process died and the machine lives.
    Nothing,
}

/// What goes wrong from a call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Every call that changes something fails, as if power had been cut there.
    Dead,
    /// Every sync of a file fails.
    SyncFails,
    /// Every sync of a file fails, and what it was to make durable is still read and never becomes so, as
    /// operating systems do that take a page that they could not write for clean.
    SyncLoses,
    /// Syncs of files say that they succeeded and make nothing durable: a planted fault.
    SyncLies,
    /// No space is left: what would make a file, or make one longer, fails.
    DiskFull,
    /// No space is left, as disks say that promise room and look for it later: every sync of a file fails.
    SyncFull,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(to, *offset, bytes),
            Self::Truncate(length) => to.resize(*length, 0),
        }
    }
}

fn put(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset.saturating_add(bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    if let Some(place) = to.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

#[derive(Default)]
struct Contents {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Default)]
struct Folder {
    files: Vec<Contents>,
    durable_names: BTreeMap<String, usize>,
    names: BTreeMap<String, usize>,
    /// Calls that changed or synced something.
    calls: u64,
    /// From which call on, and what.
    trouble: Option<(u64, Trouble)>,
    syncs: u64,
    writes: u64,
    reads: u64,
    /// Bytes of a file that cannot be read.
    unreadable: Option<(usize, Range<usize>)>,
}

impl Folder {
    fn trouble(&self) -> Option<Trouble> {
        self.trouble
            .filter(|(from, _)| self.calls > *from)
            .map(|(_, trouble)| trouble)
    }

    /// Counts a call that changes something.
    fn step(&mut self) -> io::Result<()> {
        self.calls = self.calls.saturating_add(1);
        match self.trouble() {
            Some(Trouble::Dead) => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    }

    /// To be asked before anything takes room.
    fn take_room(&self) -> io::Result<()> {
        match self.trouble() {
            Some(Trouble::DiskFull) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, number: usize) -> io::Result<&mut Contents> {
        self.files
            .get_mut(number)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Default)]
pub struct MemoryFolder(Arc<Mutex<Folder>>);

impl MemoryFolder {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Folder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, number: usize) -> Arc<dyn LogFile> {
        Arc::new(MemoryFile {
            folder: self.clone(),
            number,
        })
    }

    /// How many calls have changed or synced something.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.lock().calls
    }

    /// How many syncs of files have made something durable.
    #[must_use]
    pub fn sync_count(&self) -> u64 {
        self.lock().syncs
    }

    /// How many vectored writes there were.
    #[must_use]
    pub fn write_count(&self) -> u64 {
        self.lock().writes
    }

    /// How many reads of files there were.
    #[must_use]
    pub fn read_count(&self) -> u64 {
        self.lock().reads
    }

    /// Lets `trouble` begin after `calls` more calls that change or sync something; `None` ends it.
    pub fn set_trouble(&self, trouble: Option<(u64, Trouble)>) {
        let mut folder = self.lock();
        let now = folder.calls;
        folder.trouble = trouble.map(|(calls, trouble)| (now.saturating_add(calls), trouble));
    }

    /// What a power cut leaves, as a folder of its own. Names follow the same rule as bytes.
    #[must_use]
    pub fn after_power_cut(&self, loss: Loss) -> Self {
        let folder = self.lock();
        let mut dice = Dice(match loss {
            Loss::Cut(seed) | Loss::Pages(seed) => seed,
            Loss::All | Loss::Nothing => 0,
        });
        let keeps_names = match loss {
            Loss::All => false,
            Loss::Nothing => true,
            Loss::Cut(_) | Loss::Pages(_) => dice.below(2) == 0,
        };
        let names = if keeps_names {
            folder.names.clone()
        } else {
            folder.durable_names.clone()
        };
        let files = folder
            .files
            .iter()
            .map(|file| {
                let bytes = survivor(file, loss, &mut dice);
                Contents {
                    durable: bytes.clone(),
                    current: bytes,
                    unsynced: Vec::new(),
                }
            })
            .collect();
        Self(Arc::new(Mutex::new(Folder {
            files,
            durable_names: names.clone(),
            names,
            ..Folder::default()
        })))
    }

    /// The bytes of a file, synced or not.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let folder = self.lock();
        let number = *folder.names.get(name)?;
        Some(folder.files.get(number)?.current.clone())
    }

    /// From now on the device does not read these bytes of a file.
    pub fn set_unreadable(&self, name: &str, bytes: Range<usize>) {
        let mut folder = self.lock();
        folder.unreadable = folder.find(name).ok().map(|file| (file, bytes));
    }

    /// Writes past every check, durably: to damage a file in a test.
    pub fn damage(&self, name: &str, offset: usize, bytes: &[u8]) {
        let mut folder = self.lock();
        if let Ok(number) = folder.find(name)
            && let Ok(file) = folder.file(number)
        {
            put(&mut file.durable, offset, bytes);
            put(&mut file.current, offset, bytes);
        }
    }
}

fn survivor(file: &Contents, loss: Loss, dice: &mut Dice) -> Vec<u8> {
    match loss {
        Loss::All => file.durable.clone(),
        Loss::Nothing => file.current.clone(),
        Loss::Cut(_) => {
            let mut bytes = file.durable.clone();
            let count = u64::try_from(file.unsynced.len()).unwrap_or(u64::MAX);
            let point = dice.below(count.saturating_add(1));
            let whole = usize::try_from(point).unwrap_or(usize::MAX);
            for change in file.unsynced.iter().take(whole) {
                change.apply(&mut bytes);
            }
            if let Some(Change::Write { offset, bytes: cut }) = file.unsynced.get(whole) {
                let length = u64::try_from(cut.len()).unwrap_or(u64::MAX);
                let kept = dice.below(length.saturating_add(1));
                let kept = usize::try_from(kept).unwrap_or(0);
                put(&mut bytes, *offset, cut.get(..kept).unwrap_or_default());
            }
            bytes
        }
        Loss::Pages(_) => {
            let mut bytes = file.durable.clone();
            for change in &file.unsynced {
                match change {
                    Change::Truncate(_) => change.apply(&mut bytes),
                    Change::Write { offset, bytes: all } => {
                        let mut at = *offset;
                        let end = at.saturating_add(all.len());
                        while at < end {
                            let page = at.checked_div(PAGE).unwrap_or(0);
                            let page_end = page.saturating_add(1).saturating_mul(PAGE).min(end);
                            let from = at.saturating_sub(*offset);
                            let to = page_end.saturating_sub(*offset);
                            if dice.below(2) == 0 {
                                put(&mut bytes, at, all.get(from..to).unwrap_or_default());
                            }
                            at = page_end;
                        }
                    }
                }
            }
            bytes
        }
    }
}

/// SplitMix64: enough to spread a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}

impl LogFolder for MemoryFolder {
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut folder = self.lock();
        folder.step()?;
        folder.take_room()?;
        if folder.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = folder.files.len();
        folder.files.push(Contents::default());
        folder.names.insert(name.to_owned(), number);
        Ok(self.handle(number))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let number = self.lock().find(name)?;
        Ok(self.handle(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut folder = self.lock();
        folder.step()?;
        let number = folder.find(from)?;
        folder.names.remove(from);
        folder.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut folder = self.lock();
        folder.step()?;
        folder.find(name)?;
        folder.names.remove(name);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        let mut folder = self.lock();
        folder.step()?;
        folder.durable_names = folder.names.clone();
        Ok(())
    }
}

struct MemoryFile {
    folder: MemoryFolder,
    number: usize,
}

impl LogFile for MemoryFile {
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut folder = self.folder.lock();
        folder.step()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let end = offset.saturating_add(bytes.len());
        if end > folder.file(self.number)?.current.len() {
            folder.take_room()?;
        }
        folder.writes = folder.writes.saturating_add(1);
        let file = folder.file(self.number)?;
        let change = Change::Write { offset, bytes };
        change.apply(&mut file.current);
        file.unsynced.push(change);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut folder = self.folder.lock();
        folder.reads = folder.reads.saturating_add(1);
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let end = offset.saturating_add(buffer.len());
        let bad = folder.unreadable.as_ref();
        if bad
            .is_some_and(|(file, bad)| *file == self.number && offset < bad.end && bad.start < end)
        {
            return Err(io::ErrorKind::Other.into());
        }
        let file = folder.file(self.number)?;
        let rest = file.current.get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut folder = self.folder.lock();
        folder.step()?;
        match folder.trouble() {
            Some(Trouble::SyncFails) => return Err(io::ErrorKind::Other.into()),
            Some(Trouble::SyncLoses) => {
                folder.file(self.number)?.unsynced.clear();
                return Err(io::ErrorKind::Other.into());
            }
            Some(Trouble::SyncFull) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Trouble::SyncLies) => return Ok(()),
            _ => folder.syncs = folder.syncs.saturating_add(1),
        }
        let file = folder.file(self.number)?;
        for change in std::mem::take(&mut file.unsynced) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut folder = self.folder.lock();
        folder.step()?;
        let change = Change::Truncate(usize::try_from(length).map_err(io::Error::other)?);
        let file = folder.file(self.number)?;
        change.apply(&mut file.current);
        file.unsynced.push(change);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let mut folder = self.folder.lock();
        let file = folder.file(self.number)?;
        u64::try_from(file.current.len()).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &MemoryFolder, name: &str) -> Vec<u8> {
        folder.bytes(name).unwrap()
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_what_the_loss_says() {
        let folder = MemoryFolder::new();
        let file = folder.create("a").unwrap();
        folder.sync().unwrap();
        file.write_vectored_at(&[IoSlice::new(&[1; 10])], 0)
            .unwrap();
        file.sync_data().unwrap();
        file.write_vectored_at(&[IoSlice::new(&[2; 3 * PAGE])], 5)
            .unwrap();
        folder.create("b").unwrap();
        assert_eq!(folder.sync_count(), 1);

        let lost = folder.after_power_cut(Loss::All);
        assert_eq!(read(&lost, "a"), [1; 10]);
        assert_eq!(lost.list().unwrap(), ["a"]);
        let kept = folder.after_power_cut(Loss::Nothing);
        assert_eq!(read(&kept, "a").len(), 3 * PAGE + 5);
        assert_eq!(kept.list().unwrap(), ["a", "b"]);
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let cut = folder.after_power_cut(Loss::Cut(seed));
            let bytes = read(&cut, "a");
            assert!(bytes.len() >= 10 && bytes[..5] == [1; 5]);
            lengths.insert(bytes.len());
            let pages = folder.after_power_cut(Loss::Pages(seed));
            assert_eq!(read(&pages, "a")[..5], [1; 5]);
        }
        assert!(lengths.len() > 5);
    }

    #[test]
    fn trouble_begins_at_its_call() {
        let folder = MemoryFolder::new();
        let file = folder.create("a").unwrap();
        folder.set_trouble(Some((1, Trouble::Dead)));
        file.write_vectored_at(&[IoSlice::new(b"x")], 0).unwrap();
        assert!(file.write_vectored_at(&[IoSlice::new(b"y")], 1).is_err());
        assert!(folder.rename("a", "b").is_err());
        folder.set_trouble(Some((0, Trouble::SyncLies)));
        file.sync_data().unwrap();
        assert_eq!(folder.after_power_cut(Loss::All).list().unwrap().len(), 0);
        folder.set_trouble(Some((0, Trouble::SyncFails)));
        assert!(file.sync_data().is_err());
        folder.set_trouble(Some((0, Trouble::DiskFull)));
        let full = file.write_vectored_at(&[IoSlice::new(b"y")], 1);
        assert_eq!(full.err().unwrap().kind(), io::ErrorKind::StorageFull);
        folder.set_trouble(None);
        file.sync_data().unwrap();
    }
}
