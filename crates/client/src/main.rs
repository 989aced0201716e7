// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The binary `waxwing`.

use std::process::ExitCode;

fn main() -> ExitCode {
    waxwing_client::app::run()
}
