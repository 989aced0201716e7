// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The functions of the C library that change names: renames, removals, new folders.
#![allow(
    missing_docs,
    clippy::missing_safety_doc,
    reason = "these are the functions of the C library, under their contracts"
)]

use core::ffi::{c_char, c_int, c_uint};

use libc::mode_t;

use crate::fault::{Change, Outcome};
use crate::hooks::absolute;
use crate::recorder::{self, Tag};
use crate::system::{self, fail};

fn rename_watched(
    from: (c_int, *const c_char),
    to: (c_int, *const c_char),
    flags: c_uint,
) -> c_int {
    let Some(mut recorder) = recorder::lock() else {
        return system::rename(from, to, flags);
    };
    let (old, new) = (absolute(from.0, from.1), absolute(to.0, to.1));
    if !recorder.covers(old.to_bytes()) && !recorder.covers(new.to_bytes()) {
        return system::rename(from, to, flags);
    }
    if let Outcome::Failed(error) = recorder.judge(Change::Other, "rename") {
        return fail(error);
    }
    let answer = system::rename(from, to, flags);
    if answer == 0 {
        if flags != 0 {
            recorder.record(Tag::Unsupported, &[b"renameat2 with flags"]);
        }
        recorder.record(Tag::Rename, &[old.to_bytes(), &[0], new.to_bytes()]);
    }
    answer
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    rename_watched((libc::AT_FDCWD, from), (libc::AT_FDCWD, to), 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
) -> c_int {
    rename_watched((from_folder, from), (to_folder, to), 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat2(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    rename_watched((from_folder, from), (to_folder, to), flags)
}

fn remove_watched(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    let Some(mut recorder) = recorder::lock() else {
        return system::unlink(folder, path, flags);
    };
    let whole = absolute(folder, path);
    if !recorder.covers(whole.to_bytes()) {
        return system::unlink(folder, path, flags);
    }
    if let Outcome::Failed(error) = recorder.judge(Change::Other, "unlink") {
        return fail(error);
    }
    let before = system::path_status(&whole);
    let answer = system::unlink(folder, path, flags);
    let error = system::errno();
    if answer != 0 {
        return fail(error);
    }
    let tag = if flags & libc::AT_REMOVEDIR == 0 {
        Tag::Unlink
    } else {
        Tag::RemoveFolder
    };
    if let Some(before) = before {
        recorder.forget(&before);
    }
    recorder.record(tag, &[whole.to_bytes()]);
    answer
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    remove_watched(libc::AT_FDCWD, path, 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    remove_watched(folder, path, flags)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    remove_watched(libc::AT_FDCWD, path, libc::AT_REMOVEDIR)
}

fn make_folder_watched(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    let Some(mut recorder) = recorder::lock() else {
        return system::make_folder(folder, path, mode);
    };
    let whole = absolute(folder, path);
    if !recorder.covers(whole.to_bytes()) {
        return system::make_folder(folder, path, mode);
    }
    if let Outcome::Failed(error) = recorder.judge(Change::Other, "mkdir") {
        return fail(error);
    }
    let answer = system::make_folder(folder, path, mode);
    if answer == 0 {
        recorder.record(Tag::MakeFolder, &[whole.to_bytes()]);
    }
    answer
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    make_folder_watched(libc::AT_FDCWD, path, mode)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdirat(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    make_folder_watched(folder, path, mode)
}
