// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The proof that nobody but root reads the server's memory, unless the documented switch is given.
//!
//! A process that is not dumpable has its files in /proc owned by root, and the kernel refuses them
//! to other processes of the same user (proc(5), prctl(2)). Root may read everything, so where this
//! runs as root, both the server and the reader run as another user. The same check with the switch
//! shows that it is the switch which makes the difference.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::stage::{Server, ServerOptions, Stage, as_user};

/// The switch of `waxwingd up` and `waxwingd serve`.
pub(crate) const SWITCH: &str = "--allow-memory-inspection";

/// The user that everybody knows as `nobody`.
const NOBODY: u32 = 65_534;

/// What another process of the server's own user sees.
#[derive(Debug, PartialEq, Eq)]
struct View {
    /// Who owns the process's files in /proc.
    owner: u32,
    /// Whether the kernel let the reader see what is mapped.
    is_open: bool,
}

/// Shows that the server is closed without the switch and open with it.
pub(crate) fn prove(stage: &Stage) -> Result<String> {
    let own = std::fs::metadata("/proc/self")
        .context("this system has no /proc")?
        .uid();
    let user = (own == 0).then_some(NOBODY);
    let stand = Stand::new(stage, user)?;
    let closed = stand.view("closed", &[])?;
    ensure!(
        closed
            == View {
                owner: 0,
                is_open: false
            },
        "another process can read the server's memory without {SWITCH}: {closed:?}"
    );
    let open = stand.view("open", &[SWITCH])?;
    let reader = user.unwrap_or(own);
    ensure!(
        open == View {
            owner: reader,
            is_open: true
        },
        "{SWITCH} makes no difference, so the check shows nothing: {open:?}"
    );
    Ok(format!(
        "a process of the same user ({reader}) is refused; with {SWITCH} it is not"
    ))
}

/// A place that the other user can reach, with a copy of the program.
struct Stand {
    folder: tempfile::TempDir,
    program: PathBuf,
    user: Option<u32>,
}

impl Stand {
    fn new(stage: &Stage, user: Option<u32>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("waxwing-").tempdir()?;
        let mut program = stage.waxwingd().to_owned();
        if user.is_some() {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
            let copy = folder.path().join("waxwingd");
            std::fs::copy(&program, &copy).context("cannot copy the program")?;
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
            program = copy;
        }
        Ok(Self {
            folder,
            program,
            user,
        })
    }

    fn view(&self, name: &str, arguments: &[&str]) -> Result<View> {
        let data = self.folder.path().join(name);
        std::fs::create_dir(&data)?;
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700))?;
        if let Some(user) = self.user {
            chown(&data, Some(user), Some(user))?;
        }
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let options = ServerOptions {
            arguments,
            user: self.user,
            ..ServerOptions::default()
        };
        let server = Server::start(&self.program, data, options)?;
        let files = format!("/proc/{}", server.process_id());
        let maps = Path::new(&files).join("maps");
        let mut reader = Command::new("head");
        reader.args(["-c", "1"]).arg(&maps).current_dir("/");
        if let Some(user) = self.user {
            as_user(&mut reader, user);
        }
        let read = reader.stdin(Stdio::null()).stderr(Stdio::null()).output();
        let read = read.context("cannot start `head`")?;
        Ok(View {
            owner: std::fs::metadata(&maps)?.uid(),
            is_open: read.status.success() && !read.stdout.is_empty(),
        })
    }
}
