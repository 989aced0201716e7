// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The delivery log: append-only segments that an acknowledgement waits for.

pub mod disk;
pub mod file;
pub mod memory;
