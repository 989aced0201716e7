// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `completions`, `man`, `version`: commands that print what the program knows about itself.

use clap::CommandFactory as _;
use serde_json::json;
use waxwing_transport::rpc::Greeting;

use super::Scene;
use crate::cli::Cli;
use crate::failure::Failure;
use crate::text;

pub(super) fn completions(scene: &Scene, shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waxwingd", &mut script);
    scene.output.text(&String::from_utf8_lossy(&script))
}

pub(super) fn man(scene: &Scene, name: Option<&str>) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    let command = match name {
        None => root,
        Some(name) => match root.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(text::no_such_page(name)),
        },
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| text::output_failed(&error))?;
    scene.output.text(&String::from_utf8_lossy(&page))
}

pub(super) fn version(scene: &Scene) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let Greeting {
        protocol_min,
        protocol_max,
        ..
    } = Greeting::CURRENT;
    let protocol = if protocol_min == protocol_max {
        protocol_max.to_string()
    } else {
        format!("{protocol_min} to {protocol_max}")
    };
    let value = json!({
        "v": 1,
        "type": "version",
        "version": version,
        "protocol_min": protocol_min,
        "protocol_max": protocol_max,
    });
    scene
        .output
        .result(&text::answers::version(version, &protocol), &value)
}
