// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Proof that the stores survive what happens to disks, and that the proof can fail.
//!
//! A process works on a real store while everything that it does to files is recorded ([`trace`]).
//! A [`disk::Disk`] replays the record and knows at each event what a sync has made durable and
//! what it has not, and builds [`image::Image`]s of what a power cut at that event could have left.
//! Each image is opened by the real code and compared with what had been acknowledged
//! ([`subject`]). Nothing here depends on how a record was made: the library that is loaded before
//! the C library makes one, and so can a file system in memory.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a program that tests: an overflow must end it"
)]

pub mod bare;
pub mod checking;
pub mod choice;
pub mod disk;
pub mod examine;
pub mod faults;
pub mod image;
pub mod power_cut;
pub mod process;
pub mod recording;
pub mod subject;
pub mod trace;
pub mod work;
