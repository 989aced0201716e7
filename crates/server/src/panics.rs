// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens when the engine of the tables panics: no abort without a word.
//!
//! Releases are built so that a panic ends the process; nothing can be caught. What runs before that is the hook
//! of panics, in every build. It leaves a mark in the engine's folder, so that the next start makes the tables
//! anew, says what to do, and ends the process with the exit code of a failed store.

use std::panic::{self, Location};
use std::path::{Path, PathBuf};
use std::process;

use waxwing_storage::embedded::files::engine_under_way;

use crate::output::Output;
use crate::text;

/// Installs the hook. All other panics are told as before.
pub(crate) fn watch(output: Output, data: PathBuf) {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let Some(engine) = engine_under_way() else {
            return usual(panic);
        };
        let is_marked = engine.mark().is_ok();
        let place = panic.location().map(place).unwrap_or_default();
        let failure = text::engine_panicked(&data, engine.name(), &place, is_marked);
        output.failure(&failure);
        // Nothing that was acknowledged hangs on what a drop would do.
        process::exit(i32::from(failure.exit_code()));
    }));
}

/// File and line, without the folders of the machine that built the program.
fn place(location: &Location<'_>) -> String {
    let file = Path::new(location.file()).file_name().unwrap_or_default();
    format!("{}:{}", file.display(), location.line())
}
