// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens in the demonstration, scene by scene. Each step is verified as it is told.
//!
//! `wiretap` plays the same scenes, with its own server, people and texts.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::stage::{Person, Server, ServerOptions, Stage, text};

/// Alice's second device.
pub(crate) const PHONE: &str = "phone";

/// What is said, in order: a question and its answer, something said to somebody who is offline,
/// and the answer to that.
pub(crate) type Texts = [String; 4];

/// A line of the conversation: who, and what.
type Line = (String, String);

/// Everybody who is on the stage, and what they said so far.
pub(crate) struct Cast {
    pub(crate) servers: Vec<Server>,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    texts: Texts,
    said: Vec<Line>,
    /// Whether nobody watches.
    is_silent: bool,
}

/// Plays the demonstration and stops at the first difference.
pub(crate) fn tell(stage: &Stage, two_servers: bool) -> Result<Cast> {
    #[allow(
        clippy::disallowed_methods,
        reason = "it is shown to the user, nothing depends on it"
    )]
    let began = Instant::now();
    let mut servers = vec![stage.server("server", ServerOptions::default())?];
    if two_servers {
        servers.push(stage.server("server-2", ServerOptions::default())?);
    }
    let texts = [
        "lunch at 1?",
        "yes, the usual place",
        "bring the blue folder, and nobody else",
        "on my way",
    ];
    let (alice, bob) = (stage.person("alice")?, stage.person("bob")?);
    let mut cast = Cast::new(servers, alice, bob, texts.map(str::to_owned), false);
    cast.gather()?;
    cast.talk()?;
    cast.leave_a_message()?;
    cast.restart_servers()?;
    cast.come_back()?;
    cast.compare()?;
    cast.look_at_the_operator()?;
    cast.step(&format!("done in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(cast)
}

impl Cast {
    /// Everybody is there, nothing has happened. The first server is alice's, the last one bob's.
    pub(crate) fn new(
        servers: Vec<Server>,
        alice: Person,
        bob: Person,
        texts: Texts,
        is_silent: bool,
    ) -> Self {
        let cast = Self {
            servers,
            alice,
            bob,
            texts,
            said: Vec::new(),
            is_silent,
        };
        for server in &cast.servers {
            cast.step(&format!("a server on {}", server.address()));
        }
        cast
    }

    /// Everybody registers, alice takes a second device in, and both compare keys. Gives the code
    /// by which the device was linked.
    pub(crate) fn gather(&self) -> Result<String> {
        let Self {
            servers,
            alice,
            bob,
            ..
        } = self;
        let alices = servers.first().context("no server")?;
        let bobs = servers.last().context("no server")?;
        for (person, server) in [(alice, alices), (bob, bobs)] {
            let registered = register(person, server)?;
            self.step(&format!("{} has an account", text(&registered, "address")?));
        }
        let mut link = vec!["devices", "link", &alices.link, "--yes"];
        link.extend_from_slice(alice.protection());
        let (running, offer) = alice.start(PHONE, &link)?;
        let code = text(&offer, "code")?;
        alice.run(&alice.name, &["devices", "approve", code, "--yes"])?;
        running.finish()?;
        let devices = alice.run(&alice.name, &["devices", "list"])?;
        ensure!(
            devices.len() == 2,
            "alice has {} devices instead of 2",
            devices.len()
        );
        self.step("alice linked her phone");
        introduce(alice, bob)?;
        introduce(bob, alice)?;
        compare_keys(alice, bob)?;
        compare_keys(bob, alice)?;
        self.step("alice and bob compared their keys by QR code");
        Ok(code.to_owned())
    }

    /// Messages both ways; both of alice's devices have them.
    pub(crate) fn talk(&mut self) -> Result<()> {
        let [question, answer, ..] = self.texts.clone();
        self.say(Role::Alice, question)?;
        self.hear(Role::Bob, 1)?;
        self.say(Role::Bob, answer)?;
        self.hear(Role::Alice, 1)?;
        self.hear(Role::Phone, 2)?;
        self.step("messages went both ways, and alice's phone has them too");
        Ok(())
    }

    /// Alice's phone writes to bob, who is offline.
    pub(crate) fn leave_a_message(&mut self) -> Result<()> {
        let [_, _, left, _] = self.texts.clone();
        self.say(Role::Phone, left)
    }

    /// The servers die without a warning, and are started again.
    pub(crate) fn restart_servers(&mut self) -> Result<()> {
        for server in &mut self.servers {
            server.kill()?;
            server.restart()?;
        }
        self.step("bob was offline; the server was killed and started again");
        Ok(())
    }

    /// Bob reads what was left for him, and answers.
    pub(crate) fn come_back(&mut self) -> Result<()> {
        let [_, _, _, last] = self.texts.clone();
        self.hear(Role::Bob, 1)?;
        self.say(Role::Bob, last)?;
        self.hear(Role::Alice, 2)?;
        self.hear(Role::Phone, 1)?;
        self.step("nothing was lost");
        Ok(())
    }

    fn say(&mut self, role: Role, body: String) -> Result<()> {
        let (who, profile, whom) = self.part(role);
        let sent = who.run_for_one(profile, &["send", &whom.label, &body, "--wait"])?;
        let state = text(&sent, "state")?;
        ensure!(state != "queued", "`{body}` is only {state}");
        let name = who.name.clone();
        self.said.push((name, body));
        Ok(())
    }

    /// `receive` on this device prints exactly the last `count` lines. It prints in order of arrival,
    /// which two senders do not agree upon; the order of the conversation is for `compare`.
    fn hear(&self, role: Role, count: usize) -> Result<()> {
        let (who, profile, _) = self.part(role);
        let messages = who.run(profile, &["receive"])?;
        let mut heard: Vec<&str> = messages
            .iter()
            .map(|message| text(message, "body"))
            .collect::<Result<_>>()?;
        let expected = self
            .said
            .get(self.said.len().saturating_sub(count)..)
            .unwrap_or_default();
        let mut expected: Vec<&str> = expected.iter().map(|(_, body)| body.as_str()).collect();
        heard.sort_unstable();
        expected.sort_unstable();
        ensure!(
            heard == expected,
            "{} ({profile}) received {heard:?} instead of {expected:?}",
            who.name
        );
        Ok(())
    }

    /// The person, the profile and the other person.
    fn part(&self, role: Role) -> (&Person, &str, &Person) {
        match role {
            Role::Alice => (&self.alice, &self.alice.name, &self.bob),
            Role::Phone => (&self.alice, PHONE, &self.bob),
            Role::Bob => (&self.bob, &self.bob.name, &self.alice),
        }
    }

    /// All three devices show the same conversation.
    pub(crate) fn compare(&self) -> Result<()> {
        for (title, role) in [
            ("alice's laptop", Role::Alice),
            ("alice's phone", Role::Phone),
            ("bob", Role::Bob),
        ] {
            let (person, profile, peer) = self.part(role);
            let history = person.run(profile, &["history", &peer.label])?;
            let mut seen: Vec<Line> = Vec::new();
            self.show(&format!("\n  {title} sees:"));
            for message in &history {
                let own = message.pointer("/from/own") == Some(&Value::Bool(true));
                let body = text(message, "body")?;
                let name = if own { "you" } else { &peer.label };
                self.show(&format!("    {name:<6} {body}"));
                seen.push((
                    (if own { person } else { peer }).name.clone(),
                    body.to_owned(),
                ));
            }
            ensure!(
                seen == self.said,
                "{title} sees {seen:?} instead of {:?}",
                self.said
            );
        }
        self.show("");
        Ok(())
    }

    /// What the operator of bob's server could hand over, and a search for what was said.
    fn look_at_the_operator(&self) -> Result<()> {
        let server = self.servers.last().context("no server")?;
        self.step("the operator runs `waxwingd disclose bob`:");
        let disclosed = server.tool(&["disclose", &self.bob.name])?;
        self.show(&indented(&disclosed));
        for (_, body) in &self.said {
            ensure!(
                !disclosed.contains(body.as_str()),
                "`disclose` shows a message"
            );
            for server in &self.servers {
                let found = server.tool(&["--json", "disclose", "--grep", body])?;
                let found: Value = serde_json::from_str(found.trim())?;
                let matches = found.get("matches").and_then(Value::as_u64);
                ensure!(
                    matches == Some(0),
                    "the server's data holds a message: {found}"
                );
            }
        }
        if let Some((_, body)) = self.said.last() {
            self.step(&format!("and `waxwingd disclose --grep \"{body}\"`:"));
            self.show(&indented(&server.tool(&["disclose", "--grep", body])?));
        }
        Ok(())
    }

    fn step(&self, what: &str) {
        self.show(&format!("• {what}"));
    }

    fn show(&self, line: &str) {
        if !self.is_silent {
            println!("{line}");
        }
    }
}

/// A device on the stage.
#[derive(Debug, Clone, Copy)]
enum Role {
    Alice,
    Phone,
    Bob,
}

/// `person` makes an account on `server`.
pub(crate) fn register(person: &Person, server: &Server) -> Result<Value> {
    let (invite, words) = (server.invite()?, person.words_file().display().to_string());
    let mut arguments = vec![
        "register",
        &invite,
        "--name",
        &person.name,
        "--words-file",
        &words,
    ];
    arguments.extend_from_slice(person.protection());
    person.run_for_one(&person.name, &arguments)
}

/// `who` adds `whom` by the link that `whom` shows.
pub(crate) fn introduce(who: &Person, whom: &Person) -> Result<()> {
    let link = whom.run_for_one(&whom.name, &["contacts", "qr"])?;
    who.run(
        &who.name,
        &["contacts", "add", text(&link, "link")?, "--as", &whom.label],
    )?;
    Ok(())
}

/// `who` scans the code that `whom` shows.
fn compare_keys(who: &Person, whom: &Person) -> Result<()> {
    let shown = whom.run_for_one(&whom.name, &["verify", &who.label])?;
    let payload = text(&shown, "qr_payload")?;
    let contact = who.run_for_one(&who.name, &["verify", &whom.label, "--qr", payload])?;
    let verified = contact.get("verified") == Some(&Value::Bool(true));
    ensure!(verified, "{} did not verify {}", who.name, whom.name);
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
