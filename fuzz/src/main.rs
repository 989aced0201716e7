// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `cargo xtask fuzz` asks of this package: the names of the targets, and their seeds.
#![allow(
    clippy::print_stdout,
    reason = "this program exists to print to the program that runs it"
)]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => {
            for target in waxwing_fuzz::TARGETS {
                println!("{}\t{}", target.name, target.about);
            }
            ExitCode::SUCCESS
        }
        ["seeds", name, folder] => write_seeds(name, Path::new(folder)),
        _ => {
            println!("use: list | seeds TARGET FOLDER; people use `cargo xtask fuzz`");
            ExitCode::from(2)
        }
    }
}

/// Writes the golden files that a search for this target starts from.
fn write_seeds(name: &str, folder: &Path) -> ExitCode {
    let Some(target) = waxwing_fuzz::target(name) else {
        println!("there is no target {name}");
        return ExitCode::from(2);
    };
    let seeds = target.seeds.iter();
    let seeds = seeds.flat_map(|beginning| waxwing_fuzz::golden(beginning));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        seeds.enumerate().try_for_each(|(number, seed)| {
            std::fs::write(folder.join(format!("seed-{number}")), seed)
        })
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cannot write the seeds: {error}");
            ExitCode::FAILURE
        }
    }
}
