// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The functions of the C library that this library stands in for.
//!
//! What can change a watched file in a way that is not written down is refused or recorded as
//! unsupported, so that a record is never silently incomplete.
#![allow(
    missing_docs,
    clippy::missing_safety_doc,
    reason = "these are the functions of the C library, under their contracts"
)]

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ffi::CString;

use libc::{iovec, off_t, size_t, ssize_t};

use crate::fault::{Change, Outcome};
use crate::recorder::{self, CREATED, FOLDER, Recorder, Seen, TRUNCATED, Tag};
use crate::system::{self, fail};

/// A path as the process means it, absolute where that can be found out.
pub(crate) fn absolute(folder: c_int, path: *const c_char) -> CString {
    // SAFETY: a path that is handed to the C library ends in 0.
    let given = unsafe { CStr::from_ptr(path) };
    if folder == libc::AT_FDCWD || given.to_bytes().starts_with(b"/") {
        return given.to_owned();
    }
    let mut whole = system::folder_path(folder).unwrap_or_default();
    whole.push(b'/');
    whole.extend_from_slice(given.to_bytes());
    CString::new(whole).unwrap_or_default()
}

fn open_watched(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let Some(mut recorder) = recorder::lock() else {
        return system::open_at(folder, path, flags, mode);
    };
    let whole = absolute(folder, path);
    if recorder.is_marks(whole.to_bytes()) {
        let file = system::open_at(folder, path, flags, mode);
        if let Some(status) = system::file_status(file) {
            recorder.set_marks(&status);
        }
        return file;
    }
    if !recorder.covers(whole.to_bytes()) {
        drop(recorder);
        return system::open_at(folder, path, flags, mode);
    }
    let before = system::path_status(&whole);
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    if writes || flags & libc::O_CREAT != 0 {
        let change = if before.is_none() {
            Change::Grow
        } else {
            Change::Other
        };
        if let Outcome::Failed(error) = recorder.judge(change, "open") {
            return fail(error);
        }
    }
    let file = system::open_at(folder, path, flags, mode);
    let error = system::errno();
    if let Some(status) = system::file_status(file).filter(|_| file >= 0) {
        if !status.is_regular && !status.is_folder || writes && flags & libc::O_DSYNC != 0 {
            recorder.record(Tag::Unsupported, &[b"a special file, or O_DSYNC"]);
        }
        recorder.watch(&status);
        recorder.opened(file);
        let mut kind = 0;
        if before.is_none() {
            kind |= CREATED;
        }
        if status.is_folder {
            kind |= FOLDER;
        }
        if flags & libc::O_TRUNC != 0 && before.is_some_and(|before| before.length > 0) {
            kind |= TRUNCATED;
        }
        let inode = status.inode.to_le_bytes();
        recorder.record(Tag::Open, &[&[kind], &inode, whole.to_bytes()]);
    } else {
        return fail(error);
    }
    file
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_watched(libc::AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_watched(libc::AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
) -> c_int {
    open_watched(folder, path, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
) -> c_int {
    open_watched(folder, path, flags, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn creat(path: *const c_char, mode: c_uint) -> c_int {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    open_watched(libc::AT_FDCWD, path, flags, mode)
}

/// Writes at a place, or where the file stands, and records what was written.
fn write_watched(
    recorder: &mut Recorder,
    file: c_int,
    bytes: *const c_void,
    count: size_t,
    at: Option<off_t>,
) -> ssize_t {
    let put = |count| match at {
        Some(at) => system::write_at(file, bytes, count, at),
        None => system::write(file, bytes, count),
    };
    let Some((seen, _)) = recorder.seen(file) else {
        return put(count);
    };
    let mut count = count;
    if seen != Seen::Marks {
        match recorder.judge(Change::Grow, "write") {
            Outcome::Done => {}
            Outcome::Half if count > 1 => count /= 2,
            Outcome::Half => return fail(libc::ENOSPC) as ssize_t,
            Outcome::Failed(error) => return fail(error) as ssize_t,
        }
    }
    let written = put(count);
    let Some(length) = usize::try_from(written).ok().filter(|length| *length > 0) else {
        return written;
    };
    // SAFETY: the kernel has just read these bytes.
    let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    match seen {
        Seen::Marks => recorder.record(Tag::Mark, &[bytes]),
        Seen::Watched(inode) => {
            let offset = match at {
                Some(at) => u64::try_from(at).unwrap_or(0),
                None => {
                    system::position(file).saturating_sub(u64::try_from(length).unwrap_or(u64::MAX))
                }
            };
            let fields = [&inode.to_le_bytes()[..], &offset.to_le_bytes()[..], bytes];
            recorder.soil(inode);
            recorder.record(Tag::Write, &fields);
        }
    }
    written
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    match recorder::lock() {
        Some(mut recorder) => write_watched(&mut recorder, file, bytes, count, None),
        None => system::write(file, bytes, count),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    file: c_int,
    bytes: *const c_void,
    count: size_t,
    at: off_t,
) -> ssize_t {
    match recorder::lock() {
        Some(mut recorder) => write_watched(&mut recorder, file, bytes, count, Some(at)),
        None => system::write_at(file, bytes, count, at),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    file: c_int,
    bytes: *const c_void,
    count: size_t,
    at: off_t,
) -> ssize_t {
    // SAFETY: the contract is the same.
    unsafe { pwrite(file, bytes, count, at) }
}

/// Writes vectors one after the other; a short one ends the call, as it may.
fn vectors_watched(
    file: c_int,
    vectors: *const iovec,
    count: c_int,
    at: Option<off_t>,
) -> Option<ssize_t> {
    let mut recorder = recorder::lock()?;
    recorder.seen(file)?;
    let count = usize::try_from(count).ok()?;
    // SAFETY: the caller says that there are so many vectors.
    let vectors = unsafe { core::slice::from_raw_parts(vectors, count) };
    let mut total: ssize_t = 0;
    for vector in vectors.iter().filter(|vector| vector.iov_len > 0) {
        let place = at.map(|at| at.saturating_add(total as off_t));
        let base: *const c_void = vector.iov_base;
        let written = write_watched(&mut recorder, file, base, vector.iov_len, place);
        if written < 0 {
            return Some(if total > 0 { total } else { written });
        }
        total = total.saturating_add(written);
        if usize::try_from(written).ok() != Some(vector.iov_len) {
            break;
        }
    }
    Some(total)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(file: c_int, vectors: *const iovec, count: c_int) -> ssize_t {
    vectors_watched(file, vectors, count, None)
        .unwrap_or_else(|| system::write_vectors(file, vectors, count))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev(
    file: c_int,
    vectors: *const iovec,
    count: c_int,
    at: off_t,
) -> ssize_t {
    vectors_watched(file, vectors, count, Some(at))
        .unwrap_or_else(|| system::write_vectors_at(file, vectors, count, at))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev64(
    file: c_int,
    vectors: *const iovec,
    count: c_int,
    at: off_t,
) -> ssize_t {
    // SAFETY: the contract is the same.
    unsafe { pwritev(file, vectors, count, at) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(file: c_int, length: off_t) -> c_int {
    let Some(mut recorder) = recorder::lock() else {
        return system::truncate(file, length);
    };
    let Some((Seen::Watched(inode), status)) = recorder.seen(file) else {
        return system::truncate(file, length);
    };
    let wanted = u64::try_from(length).unwrap_or(0);
    let change = if wanted > status.length {
        Change::Grow
    } else {
        Change::Other
    };
    match recorder.judge(change, "truncate") {
        Outcome::Done => {}
        Outcome::Half => return fail(libc::ENOSPC),
        Outcome::Failed(error) => return fail(error),
    }
    let answer = system::truncate(file, length);
    if answer == 0 {
        let fields = [&inode.to_le_bytes()[..], &wanted.to_le_bytes()[..]];
        recorder.record(Tag::Length, &fields);
    }
    answer
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(file: c_int, length: off_t) -> c_int {
    // SAFETY: the contract is the same.
    unsafe { ftruncate(file, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate(file: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
    let Some(mut recorder) = recorder::lock() else {
        return system::allocate(file, mode, at, length);
    };
    let Some((Seen::Watched(inode), status)) = recorder.seen(file) else {
        return system::allocate(file, mode, at, length);
    };
    match recorder.judge(Change::Grow, "allocate") {
        Outcome::Done => {}
        Outcome::Half => return fail(libc::ENOSPC),
        Outcome::Failed(error) => return fail(error),
    }
    let answer = system::allocate(file, mode, at, length);
    if answer == 0 {
        let end = u64::try_from(at.saturating_add(length)).unwrap_or(0);
        if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
            recorder.record(Tag::Unsupported, &[b"fallocate with a mode"]);
        } else if mode == 0 && end > status.length {
            let fields = [&inode.to_le_bytes()[..], &end.to_le_bytes()[..]];
            recorder.record(Tag::Length, &fields);
        }
    }
    answer
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(file: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
    // SAFETY: the contract is the same.
    unsafe { fallocate(file, mode, at, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate(file: c_int, at: off_t, length: off_t) -> c_int {
    // SAFETY: the contract differs in how it fails.
    if unsafe { fallocate(file, 0, at, length) } == 0 {
        0
    } else {
        system::errno()
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate64(file: c_int, at: off_t, length: off_t) -> c_int {
    // SAFETY: the contract is the same.
    unsafe { posix_fallocate(file, at, length) }
}

/// The kinds of [`Tag::SyncBegin`].
const DATA: u8 = 0;
const WHOLE: u8 = 1;
const RANGE: u8 = 2;

fn sync_watched(file: c_int, kind: u8, sync: impl Fn() -> c_int) -> c_int {
    let begun = recorder::lock().and_then(|mut recorder| {
        let (Seen::Watched(inode), _) = recorder.seen(file)? else {
            return None;
        };
        if let Outcome::Failed(error) = recorder.judge_sync(inode, file) {
            return Some(Err(error));
        }
        let number = recorder.next_sync();
        let fields = [&[kind][..], &number.to_le_bytes(), &inode.to_le_bytes()];
        recorder.record(Tag::SyncBegin, &fields);
        Some(Ok((number, inode)))
    });
    match begun {
        None => sync(),
        Some(Err(error)) => fail(error),
        Some(Ok((number, inode))) => {
            let answer = sync();
            let error = system::errno();
            if let Some(mut recorder) = recorder::lock().filter(|_| answer == 0) {
                if kind != RANGE {
                    recorder.clean(inode);
                }
                recorder.record(Tag::SyncEnd, &[&number.to_le_bytes()]);
            }
            if answer == 0 { 0 } else { fail(error) }
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    sync_watched(file, WHOLE, || system::sync(file, true))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    sync_watched(file, DATA, || system::sync(file, false))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(
    file: c_int,
    at: off_t,
    length: off_t,
    flags: c_uint,
) -> c_int {
    sync_watched(file, RANGE, || system::sync_range(file, at, length, flags))
}

/// Refused while something is recorded: who calls it then copies by reading and writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_at: *mut off_t,
    to: c_int,
    to_at: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    if recorder::lock().is_some() {
        return fail(libc::ENOSYS) as ssize_t;
    }
    // SAFETY: the arguments are the caller's.
    unsafe {
        libc::syscall(
            libc::SYS_copy_file_range,
            from,
            from_at,
            to,
            to_at,
            length,
            flags,
        ) as ssize_t
    }
}

/// Refused into a watched file, as above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    at: *mut off_t,
    count: size_t,
) -> ssize_t {
    if recorder::lock().is_some_and(|recorder| recorder.seen(to).is_some()) {
        return fail(libc::ENOSYS) as ssize_t;
    }
    // SAFETY: the arguments are the caller's.
    unsafe { libc::syscall(libc::SYS_sendfile, to, from, at, count) as ssize_t }
}

/// A shared, writable mapping of a watched file changes it unseen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    place: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    file: c_int,
    at: off_t,
) -> *mut c_void {
    // Anonymous mappings come from allocators, which must not meet a lock.
    let is_writable = protection & libc::PROT_WRITE != 0 && flags & libc::MAP_SHARED != 0;
    if file >= 0
        && is_writable
        && let Some(mut recorder) = recorder::lock()
        && recorder.seen(file).is_some()
    {
        recorder.record(Tag::Unsupported, &[b"a shared mapping"]);
    }
    // SAFETY: the arguments are the caller's.
    unsafe {
        libc::syscall(libc::SYS_mmap, place, length, protection, flags, file, at) as *mut c_void
    }
}
