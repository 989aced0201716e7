// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The system calls themselves. Each sets `errno` as its function of the C library does.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::mem::MaybeUninit;

use libc::{iovec, mode_t, off_t, size_t, ssize_t};

/// What a file is, by device and inode, and how it lies there.
#[derive(Clone, Copy)]
pub(crate) struct Status {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) links: u64,
    pub(crate) length: u64,
    pub(crate) is_regular: bool,
    pub(crate) is_folder: bool,
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the widths of these fields differ between processors"
)]
fn status(found: &libc::stat) -> Status {
    let kind = found.st_mode & libc::S_IFMT;
    Status {
        device: found.st_dev as u64,
        inode: found.st_ino as u64,
        links: found.st_nlink as u64,
        length: u64::try_from(found.st_size).unwrap_or(0),
        is_regular: kind == libc::S_IFREG,
        is_folder: kind == libc::S_IFDIR,
    }
}

/// The status of an open file.
pub(crate) fn file_status(file: c_int) -> Option<Status> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the structure when it answers 0.
    unsafe { (libc::fstat(file, found.as_mut_ptr()) == 0).then(|| status(&found.assume_init())) }
}

/// The status of what a path names, links not followed.
pub(crate) fn path_status(path: &CStr) -> Option<Status> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: as above; the path ends in 0.
    unsafe {
        (libc::lstat(path.as_ptr(), found.as_mut_ptr()) == 0).then(|| status(&found.assume_init()))
    }
}

pub(crate) fn fail(error: c_int) -> c_int {
    // SAFETY: the location is the calling thread's own.
    unsafe { *libc::__errno_location() = error };
    -1
}

/// The calling thread's `errno`, kept over what a hook does after its call.
pub(crate) fn errno() -> c_int {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() }
}

pub(crate) fn open_at(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the arguments are the caller's of `openat`.
    c_int::try_from(unsafe { libc::syscall(libc::SYS_openat, folder, path, flags, mode) })
        .unwrap_or(-1)
}

pub(crate) fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the arguments are the caller's of `write`.
    ssize(unsafe { libc::syscall(libc::SYS_write, file, bytes, count) })
}

pub(crate) fn write_at(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    // SAFETY: the arguments are the caller's of `pwrite`.
    ssize(unsafe { libc::syscall(libc::SYS_pwrite64, file, bytes, count, at) })
}

pub(crate) fn write_vectors(file: c_int, vectors: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the arguments are the caller's of `writev`.
    ssize(unsafe { libc::syscall(libc::SYS_writev, file, vectors, count) })
}

pub(crate) fn write_vectors_at(
    file: c_int,
    vectors: *const iovec,
    count: c_int,
    at: off_t,
) -> ssize_t {
    // The kernel takes the offset in two halves; on 64 bits the lower one is the whole.
    // SAFETY: the arguments are the caller's of `pwritev`.
    ssize(unsafe { libc::syscall(libc::SYS_pwritev, file, vectors, count, at, 0) })
}

pub(crate) fn truncate(file: c_int, length: off_t) -> c_int {
    // SAFETY: no memory is passed.
    int(unsafe { libc::syscall(libc::SYS_ftruncate, file, length) })
}

pub(crate) fn allocate(file: c_int, mode: c_int, at: off_t, length: off_t) -> c_int {
    // SAFETY: no memory is passed.
    int(unsafe { libc::syscall(libc::SYS_fallocate, file, mode, at, length) })
}

pub(crate) fn sync(file: c_int, whole: bool) -> c_int {
    let call = if whole {
        libc::SYS_fsync
    } else {
        libc::SYS_fdatasync
    };
    // SAFETY: no memory is passed.
    int(unsafe { libc::syscall(call, file) })
}

pub(crate) fn sync_range(file: c_int, at: off_t, length: off_t, flags: c_uint) -> c_int {
    // SAFETY: no memory is passed.
    int(unsafe { libc::syscall(libc::SYS_sync_file_range, file, at, length, flags) })
}

pub(crate) fn rename(
    (from_folder, from): (c_int, *const c_char),
    (to_folder, to): (c_int, *const c_char),
    flags: c_uint,
) -> c_int {
    // SAFETY: the arguments are the caller's of `renameat2`.
    int(unsafe { libc::syscall(libc::SYS_renameat2, from_folder, from, to_folder, to, flags) })
}

pub(crate) fn unlink(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the arguments are the caller's of `unlinkat`.
    int(unsafe { libc::syscall(libc::SYS_unlinkat, folder, path, flags) })
}

pub(crate) fn make_folder(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's of `mkdirat`.
    int(unsafe { libc::syscall(libc::SYS_mkdirat, folder, path, mode) })
}

/// Where the next `write` goes, which is also where the last one ended.
pub(crate) fn position(file: c_int) -> u64 {
    // SAFETY: no memory is passed.
    let found = unsafe { libc::syscall(libc::SYS_lseek, file, 0, libc::SEEK_CUR) };
    u64::try_from(found).unwrap_or(0)
}

/// Ends the process as a power cut would: nothing of it runs any more.
pub(crate) fn die() {
    // SAFETY: no memory is passed.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// The path that an open folder was opened by.
pub(crate) fn folder_path(folder: c_int) -> Option<Vec<u8>> {
    let mut link = format!("/proc/self/fd/{folder}").into_bytes();
    link.push(0);
    let mut path = vec![0_u8; 4096];
    // SAFETY: the link ends in 0 and the buffer is as long as is said.
    let length = unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), 4096) };
    path.truncate(usize::try_from(length).ok()?);
    Some(path)
}

fn int(answer: libc::c_long) -> c_int {
    c_int::try_from(answer).unwrap_or(-1)
}

fn ssize(answer: libc::c_long) -> ssize_t {
    ssize_t::try_from(answer).unwrap_or(-1)
}
