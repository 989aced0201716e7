// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The protocol between whole parties: see `world` for what a party keeps.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "the tests count a few hundred envelopes"
)]

mod acknowledgements;
mod attacks;
mod clones;
mod continuity;
mod conversation;
mod crossing;
mod deniability;
mod epoch_counts;
mod epoch_rules;
mod epoch_sides;
mod full_contents;
mod golden;
mod loss;
mod malice;
mod padded_contents;
mod rows;
mod secrets;
mod set_judging;
mod set_life;
mod set_rows;
mod specification;
mod tag_table;
mod world;
