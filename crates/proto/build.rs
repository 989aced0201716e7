// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles `proto/waxwing/v1/*.proto` without a system `protoc`, and lists the calls that are marked
//! there as such that may come early.

use std::fmt::Write as _;
use std::path::PathBuf;

use protox::prost_reflect::DescriptorPool;

const ROOT: &str = "../../proto";
const FILES: [&str; 9] = [
    "account.proto",
    "connection.proto",
    "content.proto",
    "linking.proto",
    "mailbox.proto",
    "options.proto",
    "prekeys.proto",
    "profile.proto",
    "sending.proto",
];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    println!("cargo:rerun-if-changed={ROOT}");
    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true);
    for file in FILES {
        compiler.open_file(format!("{ROOT}/waxwing/v1/{file}"))?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("early.rs"), early(&compiler.descriptor_pool())?)?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The function that tells which calls are marked.
fn early(pool: &DescriptorPool) -> Outcome<String> {
    let mark = pool
        .get_extension_by_name("waxwing.v1.may_come_early")
        .ok_or("the option `may_come_early` is not declared")?;
    let request = pool
        .get_message_by_name("waxwing.v1.Request")
        .ok_or("there is no message `Request`")?;
    let calls = request
        .oneofs()
        .find(|oneof| oneof.name() == "call")
        .ok_or("`Request` has no `call`")?;
    let mut arms = String::new();
    for call in calls.fields() {
        let is_marked = call.options().get_extension(&mark).as_bool() == Some(true);
        let variant: String = call.name().split('_').map(capitalised).collect();
        writeln!(arms, "            Self::{variant}(_) => {is_marked},")?;
    }
    Ok(format!(
        "impl v1::request::Call {{
    /// Whether the `.proto` file says that this call may be served before the handshake has ended:
    /// whoever has recorded it can send it again, and it changes nothing.
    #[must_use]
    pub const fn may_come_early(&self) -> bool {{
        match self {{
{arms}        }}
    }}
}}
"
    ))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + letters.as_str()
    })
}
