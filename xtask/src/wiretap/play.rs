// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The run: the scenes of the demonstration with a recorder beside them, secrets collected after
//! each scene, leaks planted on the way, and the places searched while they are as they were.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use data_encoding::{BASE64URL, HEXLOWER};

use super::canary::{Canaries, nonce};
use super::record::{Recorder, Way};
use super::report::{Place, Report};
use super::search::{Needles, Searched};
use super::{dumpable, memory, secrets};
use crate::demo::story::{self, Cast, PHONE};
use crate::stage::{Server, ServerOptions, Stage};

const MEMORY_BEFORE: &str = "the server's memory, before it is killed";
const MEMORY_AT_END: &str = "the server's memory, at the end";
const DATA_BEFORE: &str = "the server's data folder, before it is killed";
const DATA_AT_END: &str = "the server's data folder, at the end";
const LOGS: &str = "all logs, as verbose as they get";
const PROFILES: &str = "the clients' profiles, sealed";

/// Plays and searches.
pub(crate) fn play(stage: &Stage, wish: Option<Way>, is_silent: bool) -> Result<Report> {
    let memory_proof = dumpable::prove(stage)?;
    let mut run = Run::begin(stage, wish, is_silent)?;
    run.plant_in_traffic()?;
    let code = run.cast.gather()?;
    secrets::link_code(&code, &mut run.canaries)?;
    secrets::recovery(&run.cast.alice, &mut run.canaries)?;
    secrets::recovery(&run.cast.bob, &mut run.canaries)?;
    run.collect()?;
    run.cast.talk()?;
    run.collect()?;
    run.cast.leave_a_message()?;
    run.collect()?;
    run.search_server(MEMORY_BEFORE, DATA_BEFORE)?;
    run.plant_in_traffic()?;
    run.cast.restart_servers()?;
    run.cast.come_back()?;
    run.cast.compare()?;
    run.collect()?;
    run.search_server(MEMORY_AT_END, DATA_AT_END)?;
    run.plant_in_traffic()?;
    run.end(memory_proof)
}

/// A run under way.
struct Run<'a> {
    stage: &'a Stage,
    cast: Cast,
    recorder: Recorder,
    traffic: &'static str,
    canaries: Canaries,
    passphrase: String,
    server_log: PathBuf,
    logs: PathBuf,
    places: Vec<Place>,
}

impl<'a> Run<'a> {
    fn begin(stage: &'a Stage, wish: Option<Way>, is_silent: bool) -> Result<Self> {
        let logs = stage.folder().join("logs");
        std::fs::create_dir(&logs)?;
        let recorder = Recorder::begin(&stage.folder().join("traffic.pcap"), wish)?;
        let server_log = logs.join("server.log");
        let mut arguments = vec!["--verbose".to_owned(), dumpable::SWITCH.to_owned()];
        if let Some(address) = recorder.public_address() {
            arguments.extend(["--name".to_owned(), address.to_string()]);
        }
        let options = ServerOptions {
            arguments,
            log: Some(server_log.clone()),
            ..ServerOptions::default()
        };
        let server = stage.server("server", options)?;
        recorder.lead_to(server.address());

        let mut canaries = Canaries::default();
        let passphrase = format!("a passphrase that nobody guesses {}", nonce()?);
        canaries.text("bob's passphrase", &passphrase);
        let mut texts = story::Texts::default();
        for (number, text) in (1_u8..).zip(&mut texts) {
            *text = format!("message {number}: nobody else may read {}", nonce()?);
            canaries.text(format!("message {number}"), text);
        }
        let labels = [
            format!("The quiet one {}", nonce()?),
            format!("My accountant {}", nonce()?),
        ];
        for label in &labels {
            canaries.text("a private label", label);
        }
        let [alice, bob] = labels;
        let alice = stage
            .person("alice")?
            .called(&alice)
            .logging_to(&logs.join("alice.log"));
        let bob = stage
            .person("bob")?
            .called(&bob)
            .logging_to(&logs.join("bob.log"))
            .protected_by(&passphrase)?;
        let traffic = recorder.title();
        if !is_silent {
            println!("• recording {traffic}");
        }
        let cast = Cast::new(vec![server], alice, bob, texts, is_silent);
        let places = Vec::new();
        Ok(Self {
            stage,
            cast,
            recorder,
            traffic,
            canaries,
            passphrase,
            server_log,
            logs,
            places,
        })
    }

    fn server(&self) -> Result<&Server> {
        self.cast.servers.first().context("no server")
    }

    /// The secrets that the clients hold at this moment.
    fn collect(&mut self) -> Result<()> {
        let Cast { alice, bob, .. } = &self.cast;
        let passphrase = Some(self.passphrase.as_str());
        let profiles = [
            (alice, alice.name.as_str(), None),
            (alice, PHONE, None),
            (bob, bob.name.as_str(), passphrase),
        ];
        for (person, profile, passphrase) in profiles {
            let count = secrets::profile(person, profile, passphrase, &mut self.canaries)?;
            // A device has its own two keys and prekeys at the very least.
            anyhow::ensure!(count > 4, "the store of {profile} has only {count} secrets");
        }
        Ok(())
    }

    fn plant_in_traffic(&mut self) -> Result<()> {
        let text = format!("sent in the clear {}", nonce()?);
        self.canaries.planted(self.traffic, &text);
        self.recorder.leak(&text)
    }

    /// Searches what the server holds now, in memory and on disk.
    fn search_server(&mut self, memory: &'static str, data: &'static str) -> Result<()> {
        // The server has to hold the name of an account in memory.
        let name = format!("canary-{}", nonce()?);
        let canary = self.stage.person(&name)?;
        story::register(&canary, self.server()?)?;
        self.canaries.planted(memory, &name);
        let planted = format!("planted in the data folder {}", nonce()?);
        self.canaries.planted(data, &planted);
        let server = self.server()?;
        let needles = Needles::new(&self.canaries)?;
        let in_memory = memory::search(server.process_id(), &needles)?;
        let copy = BASE64URL.encode(format!("--{planted}").as_bytes());
        let on_disk = folder_and_planted_copy(server.data(), &|_| false, &copy, &needles)?;
        drop(needles);
        self.place(memory, in_memory);
        self.place(data, on_disk);
        Ok(())
    }

    /// Searches the rest.
    fn end(mut self, memory_proof: String) -> Result<Report> {
        let in_log = format!("planted in a log {}", nonce()?);
        self.canaries.planted(LOGS, &in_log);
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .open(&self.server_log)?;
        writeln!(
            log,
            "DEBUG something: {}",
            HEXLOWER.encode(in_log.as_bytes())
        )?;
        let in_profile = format!("planted in a profile {}", nonce()?);
        self.canaries.planted(PROFILES, &in_profile);
        let utf_16: Vec<u8> = in_profile
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();

        let Self {
            cast,
            recorder,
            traffic,
            canaries,
            logs,
            mut places,
            ..
        } = self;
        let (path, _) = recorder.end()?;
        let needles = Needles::new(&canaries)?;
        let mut profiles = Searched::default();
        for person in [&cast.alice, &cast.bob] {
            let home = person.home();
            // The user's own files; and the key of a profile that the user left unprotected.
            let is_open = !person.protection().is_empty();
            let own = |path: &Path| {
                path == person.words_file()
                    || path == home.join("passphrase")
                    || (is_open && path.ends_with("key"))
            };
            profiles.absorb(folder_and_planted_copy(home, &own, &utf_16, &needles)?);
        }
        let searched = [
            (traffic, needles.file("traffic.pcap", &path)?),
            (LOGS, needles.folder(&logs, &|_| false)?),
            (PROFILES, profiles),
        ];
        for (title, searched) in searched {
            places.push(Place {
                title,
                searched,
                canaries: canaries.secrets(),
                planted: canaries.planted_in(title),
            });
        }
        places.sort_by_key(|place| place.title);
        Ok(Report {
            places,
            memory_proof,
        })
    }

    fn place(&mut self, title: &'static str, searched: Searched) {
        let canaries = self.canaries.secrets();
        let planted = self.canaries.planted_in(title);
        self.places.push(Place {
            title,
            searched,
            canaries,
            planted,
        });
    }
}

/// Searches a folder as it is, and a copy of it with one more file: of the copy only what was
/// planted counts.
fn folder_and_planted_copy(
    folder: &Path,
    skip: &dyn Fn(&Path) -> bool,
    planted: impl AsRef<[u8]>,
    needles: &Needles<'_>,
) -> Result<Searched> {
    let mut searched = needles.folder(folder, skip)?;
    let place = tempfile::tempdir()?;
    let copy = place.path().join("copy");
    secrets::copy_folder(folder, &copy)?;
    std::fs::write(copy.join("planted"), planted)?;
    let mut found = needles.folder(&copy, &|_| false)?;
    found
        .findings
        .retain(|finding, _| finding.part == "planted");
    (found.bytes, found.parts) = (0, 0);
    searched.absorb(found);
    Ok(searched)
}
