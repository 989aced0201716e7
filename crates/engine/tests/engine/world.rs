// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The world: clients with stores that survive, a relay, a clock that is moved by hand.

pub(crate) mod client;
pub(crate) mod mailboxes;
pub(crate) mod relay;
pub(crate) mod witness;

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use waxwing_crypto::RecoveryWords;
use waxwing_engine::command::Held;
use waxwing_engine::event::LinkFailure;
use waxwing_engine::notice::{Body, Message};
use waxwing_engine::{Answer, Command, CommandError, CommandId, Event, Notice, Now};
use waxwing_identity::{ContactLink, InviteLink, ServerLink};
use waxwing_proto::{AccountKey, Host, InviteToken, KeyPin, ServerAddress};

pub(crate) use self::client::Client;
pub(crate) use self::relay::Relay;

/// Where the wall clock begins.
const EPOCH_MS: u64 = 1_800_000_000_000;

pub(crate) struct World {
    pub(crate) clients: BTreeMap<&'static str, Client>,
    pub(crate) relay: Relay,
    pub(crate) now: Now,
    next_command: u64,
    seed: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            clients: BTreeMap::new(),
            relay: Relay::default(),
            now: Now {
                monotonic_ms: 1000,
                wall_ms: EPOCH_MS,
            },
            next_command: 0,
            seed,
        }
    }

    pub(crate) fn server() -> ServerAddress {
        ServerAddress {
            host: "home.example".parse::<Host>().unwrap(),
            port: 443,
            key_pins: vec![KeyPin([7; 32])],
        }
    }

    pub(crate) fn server_link() -> ServerLink {
        ServerLink::new(Self::server()).unwrap()
    }

    pub(crate) fn client(&mut self, name: &'static str) -> &mut Client {
        self.clients.get_mut(name).unwrap()
    }

    /// An empty profile.
    pub(crate) fn add_client(&mut self, name: &'static str) {
        self.seed += 1;
        let rng = ChaCha20Rng::seed_from_u64(self.seed);
        self.clients.insert(name, Client::new(rng));
    }

    pub(crate) fn words(seed: u64) -> RecoveryWords {
        RecoveryWords::generate(&mut ChaCha20Rng::seed_from_u64(1_000_000 + seed))
    }

    pub(crate) fn register_command(&mut self, name: &'static str, words_seed: u64) -> Command {
        self.register_command_at(Self::server(), name, words_seed)
    }

    fn register_command_at(
        &mut self,
        server: ServerAddress,
        name: &'static str,
        words_seed: u64,
    ) -> Command {
        let token = InviteToken::new([words_seed as u8; 16]);
        self.relay.invites.insert(token);
        Command::Register {
            invite: InviteLink::new(server, token).unwrap(),
            name: name.parse().unwrap(),
            words: Self::words(words_seed),
        }
    }

    /// A registered profile.
    pub(crate) fn register(&mut self, name: &'static str, words_seed: u64) -> AccountKey {
        self.add_client(name);
        let command = self.register_command(name, words_seed);
        match self.ask(name, command) {
            Ok(Answer::Registered { account, .. }) => account,
            other => panic!("{other:?}"),
        }
    }

    /// A registered profile on another server, for which the one relay stands as well.
    pub(crate) fn register_at(
        &mut self,
        host: &str,
        name: &'static str,
        words_seed: u64,
    ) -> AccountKey {
        self.add_client(name);
        let server = ServerAddress {
            host: host.parse().unwrap(),
            ..Self::server()
        };
        let command = self.register_command_at(server, name, words_seed);
        match self.ask(name, command) {
            Ok(Answer::Registered { account, .. }) => account,
            other => panic!("{other:?}"),
        }
    }

    /// Gives a command without waiting for what comes of it.
    pub(crate) fn tell(&mut self, name: &'static str, command: Command) -> CommandId {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        let now = self.now;
        self.client(name)
            .handle(now, Event::Command { id, command });
        id
    }

    /// Gives a command, lets the world go on until it is quiet, and returns the answer.
    pub(crate) fn ask(
        &mut self,
        name: &'static str,
        command: Command,
    ) -> Result<Answer, CommandError> {
        let id = self.tell(name, command);
        for _ in 0..100 {
            self.settle();
            if let Some(answer) = self.client(name).answers.remove(&id) {
                return answer;
            }
            self.sleep(500);
        }
        panic!("no answer");
    }

    /// Lets everybody go on until nobody has anything to do at this moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = false;
            let names: Vec<&'static str> = self.clients.keys().copied().collect();
            for name in names {
                busy |= self.step(name);
            }
            if !busy {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// One step of one client: everything that it has to do now.
    fn step(&mut self, name: &'static str) -> bool {
        let now = self.now;
        let client = self.clients.get_mut(name).unwrap();
        client.step(now, &mut self.relay)
    }

    /// Moves the clocks, with everything that becomes due on the way.
    pub(crate) fn sleep(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        self.settle();
        loop {
            let due = self
                .clients
                .values()
                .filter_map(Client::due)
                .min()
                .filter(|due| *due <= end);
            let next = due.unwrap_or(end).max(self.now.monotonic_ms);
            let moved = next - self.now.monotonic_ms;
            self.now.monotonic_ms = next;
            self.now.wall_ms += moved;
            self.settle();
            if due.is_none() {
                return;
            }
        }
    }

    pub(crate) fn link_of(&mut self, name: &'static str) -> ContactLink {
        match self.ask(name, Command::OwnContactLink) {
            Ok(Answer::ContactLink(link)) => link,
            other => panic!("{other:?}"),
        }
    }

    /// One adds the other by its link.
    pub(crate) fn befriend(&mut self, who: &'static str, whom: &'static str) -> AccountKey {
        let link = self.link_of(whom);
        let account = *link.account();
        let answer = self.ask(who, Command::AddContact { link, label: None });
        assert!(answer.is_ok(), "{answer:?}");
        account
    }

    pub(crate) fn account(&self, name: &'static str) -> AccountKey {
        self.clients[name].account.unwrap()
    }

    pub(crate) fn send(
        &mut self,
        from: &'static str,
        to: AccountKey,
        body: &str,
    ) -> Result<Answer, CommandError> {
        self.ask(
            from,
            Command::Send {
                contact: to,
                body: body.to_owned(),
            },
        )
    }

    pub(crate) fn history(&mut self, name: &'static str, contact: AccountKey) -> Vec<Message> {
        match self.ask(
            name,
            Command::History {
                contact,
                before: None,
                limit: 500,
            },
        ) {
            Ok(Answer::Messages(messages)) => messages,
            other => panic!("{other:?}"),
        }
    }

    /// The texts of a conversation, and in their order what stands there of contents that lack.
    pub(crate) fn texts(&mut self, name: &'static str, contact: AccountKey) -> Vec<String> {
        self.history(name, contact)
            .into_iter()
            .filter(|message| !matches!(message.body, Body::DevicesChanged { .. }))
            .map(|message| match message.body {
                Body::Text(text) => text,
                other => format!("{other:?}"),
            })
            .collect()
    }

    /// What is in a client's outbox: for whom, how many contents, and what keeps them.
    pub(crate) fn waiting(
        &mut self,
        name: &'static str,
    ) -> Vec<(Option<String>, usize, Option<Held>)> {
        let Ok(Answer::Status(status)) = self.ask(name, Command::Status) else {
            panic!("a status");
        };
        let waiting = status.waiting.into_iter();
        waiting
            .map(|waiting| (waiting.label, waiting.contents, waiting.held))
            .collect()
    }

    pub(crate) fn go_offline(&mut self, name: &'static str) {
        let now = self.now;
        let client = self.clients.get_mut(name).unwrap();
        client.network = false;
        client.lose_link(now, LinkFailure::Unreachable, &mut self.relay);
    }

    pub(crate) fn go_online(&mut self, name: &'static str) {
        self.client(name).network = true;
        self.sleep(60_000);
    }

    /// The process of a client dies and begins again with what was durable.
    pub(crate) fn crash(&mut self, name: &'static str) {
        let client = self.clients.get_mut(name).unwrap();
        client.crash(&mut self.relay);
    }

    pub(crate) fn notices(&mut self, name: &'static str) -> Vec<Notice> {
        core::mem::take(&mut self.client(name).notices)
    }
}
