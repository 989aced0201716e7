// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `completions`, `man`, `version`, and pictures made of characters.

use clap::CommandFactory;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;

use crate::api;
use crate::cli::Cli;
use crate::console::Console;
use crate::fault::{Fault, Outcome};

pub(super) fn completions(shell: clap_complete::Shell, console: &Console) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waxwing", &mut script);
    print(script, console)
}

pub(super) fn man(console: &Console) -> Outcome {
    let mut page = Vec::new();
    let mut pages = vec![Cli::command()];
    while let Some(command) = pages.pop() {
        clap_mangen::Man::new(command.clone())
            .render(&mut page)
            .map_err(|_| Fault::bug("a manual page"))?;
        let name = command
            .get_display_name()
            .unwrap_or(command.get_name())
            .to_owned();
        let below = command
            .get_subcommands()
            .filter(|below| !below.is_hide_set());
        let mut below: Vec<_> = below
            .map(|it| {
                let name = format!("{name} {}", it.get_name());
                it.clone().display_name(name.clone()).bin_name(name)
            })
            .collect();
        below.reverse();
        pages.append(&mut below);
    }
    print(page, console)
}

fn print(text: Vec<u8>, console: &Console) -> Outcome {
    let text = String::from_utf8(text).map_err(|_| Fault::bug("text"))?;
    console.print(text.trim_end())
}

#[derive(Debug, Serialize)]
struct Version {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    api: u32,
}

pub(super) fn version(console: &Console) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let object = Version {
        v: 1,
        kind: "version",
        version,
        api: api::VERSION,
    };
    console.show(&object, |_| format!("waxwing {version}"))
}

/// A QR code of half-block characters. What is too long for one is left to the text beside it.
pub(super) fn qr(text: &str) -> String {
    // Light modules are drawn, so that the code reads on dark terminals; scanners take both.
    qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::L).map_or_else(
        |_| String::new(),
        |code| {
            code.render::<Dense1x2>()
                .dark_color(Dense1x2::Light)
                .light_color(Dense1x2::Dark)
                .build()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_square_of_half_blocks() {
        let picture = qr("waxwing:contact/abc");
        let lines: Vec<&str> = picture.lines().collect();
        assert!(lines.len() > 10);
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() == lines[0].chars().count())
        );
    }
}
