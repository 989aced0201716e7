// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles `proto/waxwing/v1/*.proto` without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    let files = [
        "account.proto",
        "connection.proto",
        "content.proto",
        "linking.proto",
        "mailbox.proto",
        "prekeys.proto",
        "profile.proto",
    ]
    .map(|file| format!("{root}/waxwing/v1/{file}"));
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(&files, [root])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
