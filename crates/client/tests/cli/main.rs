// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real `waxwing` against the real `waxwingd`, over loopback, in temporary folders.

mod bad_input;
mod conversation;
mod crashes;
mod devices;
mod hosting;
mod messages;
mod output;
mod support;
mod trust;
