// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask constant-time`: the same instructions and the same addresses, whatever the secret is.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace;

/// Record every instruction and every address that operations on secrets use, and compare.
///
/// Each operation runs under valgrind with several secrets of one length. Which instructions run, and
/// which addresses they read and write, must be the same: then neither time, cache nor branch
/// predictor tells the secrets apart. That is a property of what the compiler made, so it is looked at
/// in what developers build, in what is released, and in the latter with the fast backend. Two faults
/// are planted and must be found in each. Exits with an error where a trace differs, where a planted
/// fault was not found, or without valgrind.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask constant-time                     every operation in every build, some minutes
  cargo xtask constant-time x25519              one of them
  cargo xtask constant-time --build release     all of them as they are released")]
pub(crate) struct ConstantTime {
    /// Only this operation
    operation: Option<String>,
    /// Only this build
    #[arg(long, value_enum, value_name = "BUILD")]
    build: Option<Build>,
}

/// What the compiler is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Build {
    /// As developers and tests build it
    Dev,
    /// As it is released
    Release,
    /// As it is released, with X25519 and ML-KEM by the fast backend
    Fast,
}

impl Build {
    const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Fast => "fast",
        }
    }

    /// What `cargo build` is told besides, and the folder of the program.
    const fn arguments(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Dev => (&[], "debug"),
            Self::Release => (&["--release"], "release"),
            Self::Fast => (
                &["--release", "--features", "waxwing-crypto/fast"],
                "release",
            ),
        }
    }
}

const OPERATIONS: [&str; 10] = [
    "x25519",
    "compare",
    "hmac",
    "hkdf",
    "tags",
    "seal",
    "open-forged",
    "sign",
    "decapsulate-768",
    "decapsulate-1024",
];
/// What has to be found.
const PLANTED: [&str; 2] = ["planted-branch", "planted-table"];

/// Secrets that would be told apart: none set, the first and the last byte of a half, all, and mixed.
fn secrets() -> [[u8; 64]; 5] {
    let (mut first, mut last, mut mixed) = ([0; 64], [0; 64], [0; 64]);
    first[0] = 7;
    last[31] = 0x80;
    for (number, byte) in (0_u8..).zip(&mut mixed) {
        *byte = number.wrapping_mul(151).wrapping_add(13);
    }
    [[0; 64], first, last, [0xff; 64], mixed]
}

impl ConstantTime {
    pub(crate) fn run(&self) -> Result<bool> {
        let found = Command::new("valgrind").arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            bail!(
                "valgrind is not there, and it is what records the traces; install the package `valgrind`"
            );
        }
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        let all = OPERATIONS.into_iter().chain(PLANTED);
        let some: Vec<&str> = match &self.operation {
            None => all.collect(),
            Some(name) => {
                let one: Vec<&str> = all.filter(|known| known == name).collect();
                if one.is_empty() {
                    bail!(
                        "no operation is called {name}; there are {}",
                        OPERATIONS.join(", ")
                    );
                }
                one
            }
        };
        let mut holds = true;
        for build in <Build as clap::ValueEnum>::value_variants() {
            if self.build.is_none_or(|only| only == *build) {
                holds &= compare_all(*build, &some, scratch.path())?;
            }
        }
        Ok(holds)
    }
}

/// Compares the traces of `operations` in one build.
fn compare_all(build: Build, operations: &[&str], scratch: &Path) -> Result<bool> {
    let program = Program::build(build)?;
    let mut holds = true;
    for operation in operations {
        let is_planted = PLANTED.contains(operation);
        let compared = compare(&program, operation, scratch)?;
        let differs = compared.difference.is_some();
        let word = match (is_planted, differs) {
            (false, false) => "same",
            (false, true) => "DIFFERS",
            (true, true) => "found",
            (true, false) => "NOT FOUND",
        };
        holds &= is_planted == differs;
        let why = compared.difference.unwrap_or_default();
        println!(
            "{word:<10} {:<8} {operation:<17} {} steps{why}",
            build.name(),
            compared.steps
        );
    }
    Ok(holds)
}

/// The program, and where what is compared begins and ends in it.
struct Program {
    path: PathBuf,
    entry: u64,
    begin: u64,
    end: u64,
}

impl Program {
    fn build(build: Build) -> Result<Self> {
        let (arguments, folder) = build.arguments();
        let mut command = workspace::cargo();
        command
            .args(["build", "--quiet", "--package", "waxwing-ratchet"])
            .args(["--example", "secret_paths"])
            .args(arguments)
            // The two marks are found by their names.
            .env("CARGO_PROFILE_RELEASE_STRIP", "none");
        let built = workspace::succeeds(&mut command)?;
        if !built {
            bail!("the program does not build");
        }
        let path = workspace::target_folder()?
            .join(folder)
            .join("examples/secret_paths");
        let output = Command::new("nm")
            .arg(&path)
            .output()
            .context("cannot start nm, which comes with the compiler")?;
        let symbols = String::from_utf8_lossy(&output.stdout).into_owned();
        let find = |parts: &[&str]| {
            let line = symbols
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)))
                .with_context(|| format!("the program has no symbol of {}", parts.join("::")))?;
            let address = line.split_once(' ').map_or("", |(address, _)| address);
            u64::from_str_radix(address, 16).context("nm wrote no address")
        };
        Ok(Self {
            entry: find(&[" T _start"])?,
            begin: find(&["secret_paths", "operate"])?,
            end: find(&["secret_paths", "finished"])?,
            path,
        })
    }
}

struct Compared {
    /// Instructions, reads and writes of one run.
    steps: u64,
    /// Where two traces part, in words.
    difference: Option<String>,
}

fn compare(program: &Program, operation: &str, scratch: &Path) -> Result<Compared> {
    let first = scratch.join("first");
    let other = scratch.join("other");
    let mut steps = 0;
    for (number, secret) in secrets().iter().enumerate() {
        let file = if number == 0 { &first } else { &other };
        record(program, operation, secret, file)?;
        if number == 0 {
            let count = steps_of(program, &first)?.count();
            steps = count.try_into().unwrap_or(u64::MAX);
            continue;
        }
        let (a, b) = (steps_of(program, &first)?, steps_of(program, &other)?);
        if let Some(at) = first_difference(a, b) {
            let difference = Some(format!("; with secret {number} {at}"));
            return Ok(Compared { steps, difference });
        }
    }
    if steps == 0 {
        bail!("the trace of {operation} is empty");
    }
    Ok(Compared {
        steps,
        difference: None,
    })
}

/// Writes the trace of one run.
fn record(program: &Program, operation: &str, secret: &[u8], file: &Path) -> Result<()> {
    let mut child = Command::new("valgrind")
        .args(["--tool=lackey", "--trace-mem=yes", "--log-fd=2"])
        .arg(&program.path)
        .arg(operation)
        // What the environment holds moves the stack.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(File::create(file)?)
        .spawn()
        .context("cannot start valgrind")?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(secret)?;
    drop(input);
    let status = child.wait()?;
    if !status.success() {
        let said = lines_of(file)?.filter(|line| !line.starts_with(['I', ' ']));
        bail!(
            "{operation} ended with {status}: {}",
            said.last().unwrap_or_default()
        );
    }
    Ok(())
}

fn lines_of(file: &Path) -> Result<impl Iterator<Item = String> + use<>> {
    let reader = BufReader::new(File::open(file)?);
    Ok(reader.lines().map_while(Result::ok))
}

/// Valgrind puts a program below this, and the loader and its libraries above.
const LOADER: u64 = 0x400_0000;

/// The steps of a trace between the two marks: instructions, loads, stores and modifications with
/// address and size.
fn steps_of(program: &Program, file: &Path) -> Result<impl Iterator<Item = String> + use<>> {
    let lines = lines_of(file)?.filter(|line| {
        let kind = line.trim_start().split_once(' ').map(|(kind, _)| kind);
        matches!(kind, Some("I" | "L" | "S" | "M"))
    });
    // What runs first down here is the program's own beginning.
    let mut lines = lines.skip_while(|line| address(line).is_none_or(|at| at >= LOADER));
    let start = lines.next().context("the program did not run")?;
    let base = address(&start)
        .and_then(|start| start.checked_sub(program.entry))
        .context("the program did not begin at its beginning")?;
    let (begin, end) = (program.begin, program.end);
    let is_at = move |line: &str, place: u64| {
        address(line).is_some_and(|at| Some(at) == base.checked_add(place))
    };
    Ok(lines
        .skip_while(move |line| !is_at(line, begin))
        .take_while(move |line| !is_at(line, end)))
}

/// The address of an instruction.
fn address(line: &str) -> Option<u64> {
    let (address, _) = line.strip_prefix("I")?.trim_start().split_once(',')?;
    u64::from_str_radix(address, 16).ok()
}

/// Where two traces part, in words.
fn first_difference(
    mut first: impl Iterator<Item = String>,
    mut other: impl Iterator<Item = String>,
) -> Option<String> {
    let mut at = String::new();
    let mut number = 0_u64;
    loop {
        let (a, b) = (first.next(), other.next());
        if a == b {
            let line = a?;
            if let Some(instruction) = line.strip_prefix("I") {
                at = instruction.trim().to_owned();
            }
            number = number.saturating_add(1);
            continue;
        }
        let shown =
            |line: Option<String>| line.map_or("its end".to_owned(), |line| line.trim().to_owned());
        return Some(format!(
            "step {number} is `{}` instead of `{}`, after the instruction at {at}",
            shown(b),
            shown(a),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_compared_between_the_marks() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program {
            path: PathBuf::new(),
            entry: 0x100,
            begin: 0x200,
            end: 0x300,
        };
        let steps = |text: &str| {
            let path = folder.path().join("trace");
            std::fs::write(&path, text).unwrap();
            let steps: Vec<String> = steps_of(&program, &path).unwrap().collect();
            steps.into_iter()
        };
        let trace = |first: &str, inner: &str, last: &str| {
            steps(&format!(
                "==1== Lackey\nI  04001000,3\n L 1{first},8\nI  00108100,3\nI  00108200,4\n \
                 {inner}\nI  00108203,2\nI  00108300,1\n L {last},8\n"
            ))
        };
        let one = || trace("a", "L 1ffe,8", "1");
        assert_eq!(one().count(), 3);
        assert_eq!(first_difference(one(), trace("b", "L 1ffe,8", "2")), None);
        let found = first_difference(one(), trace("a", "L 1fff,8", "1")).unwrap();
        assert!(
            found.contains("step 1 is `L 1fff,8` instead of `L 1ffe,8`"),
            "{found}"
        );
        assert!(found.ends_with("00108200,4"), "{found}");
        let short = first_difference(one(), one().take(2)).unwrap();
        assert!(short.contains("its end"), "{short}");
    }
}
