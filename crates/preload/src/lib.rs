// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loaded before the C library (`LD_PRELOAD`), this writes down everything that a process does to
//! the files of one folder: writes with their bytes, syncs, renames, truncations. From the record
//! the crash suite builds what a power cut would have left on the disk. It can also let calls fail
//! as a full, broken or read-only disk does, and end the process at one exact event.
//!
//! It stands in for functions of the C library and makes the system calls itself, so that nothing
//! of the C library that a hook might call leads back into a hook.
//!
//! Environment: `WAXWING_TRACE` is the file to write, `WAXWING_TRACE_FOLDER` the folder that is
//! watched (absolute), `WAXWING_TRACE_MARKS` a file whose writes are recorded as marks,
//! `WAXWING_TRACE_DIE_AFTER` the number of the event after which the process kills itself,
//! `WAXWING_FAULT` a fault (see [`fault`]) and `WAXWING_FAULT_AFTER` the number of the changing
//! call at which it begins. Without the first two, calls pass through unseen.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod fault;
mod hooks;
mod names;
mod recorder;
mod system;
