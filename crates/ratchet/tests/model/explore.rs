// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The explorer: every order of events of two devices and of the network between them, up to a
//! bound, breadth first.
//!
//! A state is two devices and the envelopes under way. Whether an envelope is lost or only late cannot
//! be told before the end, so loss is no event: at every state everything under way is taken for
//! lost, and the two must find each other with what they send from then on. What a device does
//! depends on its own rows alone, so each event of each device is computed once and looked up
//! afterwards; nothing else is abstracted.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use waxwing_crypto::kdf::sha256;
use waxwing_ratchet::{Envelope, SessionId};

use crate::party::{Keys, Party, Plant, Prekeys, Refusal};
use crate::report::Report;
use crate::thief::Thief;

/// How far the explorer goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Handshakes that each device makes.
    pub(crate) handshakes: u8,
    /// Of them, those that meet prekeys which the peer does not have any more.
    pub(crate) dead: u8,
    /// Contents that each sends beside the first ones of its handshakes.
    pub(crate) contents: u8,
    /// Times that each drains its mailbox after two days.
    pub(crate) drains: u8,
    /// Envelopes that arrive a second time in the whole run.
    pub(crate) duplicates: u8,
    /// Turns of a talk that goes before: everything is explored from each moment of it, and from each
    /// moment after a device was read out at each earlier one.
    pub(crate) talk: u8,
    /// Devices that are read out in the whole run.
    pub(crate) thefts: u8,
    /// Distinct states.
    pub(crate) states: usize,
    /// Time.
    pub(crate) time: Duration,
}

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// A device makes a handshake and sends its first content.
    Open(u8, Prekeys),
    /// A device sends a content in its active session.
    Send(u8),
    /// An envelope arrives.
    Arrive(u32),
    /// An envelope arrives and will arrive again.
    ArriveTwice(u32),
    /// Two days pass for a device, and its mailbox is drained.
    Drain(u8),
    /// A device is read out, with everything that it stores.
    ReadOut(u8),
}

/// Two devices, by their numbers, what is under way, and how often something came twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) parties: [u32; 2],
    under_way: Vec<u32>,
    duplicates: u8,
    /// Contents of the talk before, which are in no bound.
    pub(crate) talked: [u8; 2],
    pub(crate) thief: Option<Thief>,
}

/// A state, where it came from, and by what.
pub(crate) type Found = (State, usize, Option<Event>);

/// What went wrong, and the events that led there.
pub(crate) type Violation = (String, Vec<Event>);

/// What a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Open(Prekeys),
    Send,
    Receive(u32),
    Drain,
}

/// The device after an act, and the envelope that it sent.
pub(crate) type Outcome = Result<(u32, Option<u32>), Refusal>;

pub(crate) struct Sent {
    pub(crate) to: u8,
    /// Its session and step, and how many epochs were mixed by then.
    pub(crate) place: (SessionId, u32),
    pub(crate) mixed: u32,
    /// What stands before the prefix, and the prefix, which many envelopes share.
    prefix: Option<Rc<[u8]>>,
    rest: Box<[u8]>,
    content: Vec<u8>,
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        [self.prefix.as_deref().unwrap_or_default(), &*self.rest].concat()
    }
}

/// See the module.
pub(crate) struct Explorer {
    keys: [Keys; 2],
    pub(crate) bound: Bound,
    pub(crate) plant: Option<Plant>,
    pub(crate) parties: Vec<Party>,
    by_rows: HashMap<[u8; 32], u32>,
    pub(crate) envelopes: Vec<Sent>,
    /// What the handshake of each session continues, and the newest step that its maker had heard there.
    pub(crate) openings: HashMap<SessionId, Option<(SessionId, u32)>>,
    prefixes: HashMap<[u8; 32], Rc<[u8]>>,
    acts: HashMap<(u32, Act), Outcome>,
    mended: HashMap<[u32; 2], Result<bool, String>>,
    /// What a device has opened, for the check that nothing of it opens again.
    pub(crate) read: HashMap<u32, Vec<u32>>,
    pub(crate) stolen: [usize; 2],
    steps: usize,
    not_needed: usize,
}

impl State {
    pub(crate) fn under_way(&self) -> &[u32] {
        &self.under_way
    }
}

impl Explorer {
    pub(crate) fn new(bound: Bound, plant: Option<Plant>) -> Self {
        Self {
            keys: [Keys::new(0), Keys::new(1)],
            bound,
            plant,
            parties: Vec::new(),
            by_rows: HashMap::new(),
            envelopes: Vec::new(),
            openings: HashMap::new(),
            prefixes: HashMap::new(),
            acts: HashMap::new(),
            mended: HashMap::new(),
            read: HashMap::new(),
            stolen: [0; 2],
            steps: 0,
            not_needed: 0,
        }
    }

    pub(crate) fn run(mut self) -> Report {
        let began = Instant::now();
        let parties = [0, 1].map(|side| self.intern(Party::new(side)));
        let first = State {
            parties,
            under_way: Vec::new(),
            duplicates: 0,
            talked: [0; 2],
            thief: None,
        };
        // The states in the order in which they were found, each with where it came from.
        let mut found = vec![(first, 0, None)];
        let mut violation = self.talk(&mut found).err();
        let mut seen: HashSet<State> = found.iter().map(|(state, ..)| state.clone()).collect();
        let (mut at, mut exhausted) = (0, true);
        'all: while at < found.len() && violation.is_none() {
            if found.len() >= self.bound.states || began.elapsed() > self.bound.time {
                exhausted = false;
                break;
            }
            let state = found[at].0.clone();
            if let Err(what) = self.judge(&state) {
                violation = Some((what, trace(&found, at)));
                break;
            }
            for event in self.events(&state) {
                match self.step(&state, event) {
                    Ok(next) => {
                        self.steps += 1;
                        if seen.insert(next.clone()) {
                            found.push((next, at, Some(event)));
                        }
                    }
                    Err(what) => {
                        let mut events = trace(&found, at);
                        events.push(event);
                        violation = Some((what, events));
                        break 'all;
                    }
                }
            }
            at += 1;
        }
        let most = self.parties.iter().map(Party::session_count).max();
        let retried = self.mended.values().filter(|mended| **mended == Ok(true));
        Report {
            states: found.len(),
            steps: self.steps,
            devices: self.parties.len(),
            acts: self.acts.len(),
            mended: self.mended.len(),
            retried: retried.count(),
            sessions_most: most.unwrap_or_default(),
            not_needed: self.not_needed,
            stolen: self.stolen,
            epochs_most: self
                .envelopes
                .iter()
                .map(|sent| sent.mixed)
                .max()
                .unwrap_or(0),
            exhausted: exhausted && violation.is_none(),
            took: began.elapsed(),
            violation,
        }
    }

    /// The number of a device with these rows.
    pub(crate) fn intern(&mut self, party: Party) -> u32 {
        let next = u32::try_from(self.parties.len()).unwrap();
        let number = *self
            .by_rows
            .entry(sha256(&[&party.canonical()]))
            .or_insert(next);
        if number == next {
            self.parties.push(party);
        }
        number
    }

    /// What can happen next.
    fn events(&self, state: &State) -> Vec<Event> {
        let mut events = Vec::new();
        for side in [0_u8, 1] {
            let party = &self.parties[state.parties[usize::from(side)] as usize];
            if party.handshakes_made < self.bound.handshakes {
                events.push(Event::Open(side, Prekeys::Live));
                if party.dead_made < self.bound.dead {
                    events.push(Event::Open(side, Prekeys::Dead));
                }
            }
            let others = party.handshakes_made + state.talked[usize::from(side)];
            let beside = party.contents_sent.saturating_sub(others);
            if beside < self.bound.contents && party.active(self.plant).is_some() {
                events.push(Event::Send(side));
            }
            if party.drains < self.bound.drains && party.session_count() > 0 {
                events.push(Event::Drain(side));
            }
            let may_read = self.bound.thefts > 0 && state.thief.is_none();
            if may_read && party.session_count() > 0 {
                events.push(Event::ReadOut(side));
            }
        }
        for envelope in &state.under_way {
            events.push(Event::Arrive(*envelope));
            if state.duplicates < self.bound.duplicates {
                events.push(Event::ArriveTwice(*envelope));
            }
        }
        events
    }

    pub(crate) fn step(&mut self, state: &State, event: Event) -> Result<State, String> {
        let mut next = state.clone();
        match event {
            Event::Open(side, prekeys) => self.send(&mut next, side, Act::Open(prekeys))?,
            Event::Send(side) => self.send(&mut next, side, Act::Send)?,
            Event::Drain(side) => self.send(&mut next, side, Act::Drain)?,
            Event::Arrive(envelope) => {
                next.under_way.retain(|other| *other != envelope);
                self.arrive(&mut next.parties, envelope)?;
            }
            Event::ArriveTwice(envelope) => {
                next.duplicates = next.duplicates.saturating_add(1);
                self.arrive(&mut next.parties, envelope)?;
            }
            Event::ReadOut(side) => {
                next.thief = Some(Thief::new(side, next.parties[usize::from(side)]));
            }
        }
        self.thief_follows(state, &mut next, event)?;
        Ok(next)
    }

    fn send(&mut self, state: &mut State, side: u8, act: Act) -> Result<(), String> {
        let at = usize::from(side);
        let (party, sent) = self
            .act(state.parties[at], act)
            .map_err(|refusal| format!("device {side} cannot {act:?}: {refusal:?}"))?;
        state.parties[at] = party;
        if let Some(sent) = sent {
            let place = state.under_way.partition_point(|other| *other < sent);
            state.under_way.insert(place, sent);
        }
        Ok(())
    }

    /// An envelope arrives; what need not be opened changes nothing.
    fn arrive(&mut self, parties: &mut [u32; 2], envelope: u32) -> Result<(), String> {
        let to = usize::from(self.envelopes[envelope as usize].to);
        match self.act(parties[to], Act::Receive(envelope)) {
            Ok((party, _)) => {
                parties[to] = party;
                Ok(())
            }
            Err(Refusal::NotNeeded(_)) => {
                self.not_needed += 1;
                Ok(())
            }
            Err(Refusal::Alarm(error)) => Err(format!("false alarm at device {to}: {error}")),
            Err(Refusal::Broken(error)) => Err(format!("refused at device {to}: {error}")),
        }
    }

    /// What a device does, by the real state machine or from memory.
    pub(crate) fn act(&mut self, number: u32, act: Act) -> Outcome {
        if let Some(outcome) = self.acts.get(&(number, act)) {
            return *outcome;
        }
        let outcome = self.compute(number, act);
        self.acts.insert((number, act), outcome);
        outcome
    }

    fn compute(&mut self, number: u32, act: Act) -> Outcome {
        let mut party = self.parties[number as usize].clone();
        let side = party.side;
        let (own, peer) = (usize::from(side), usize::from(1 - side));
        let mut read = self.read.get(&number).cloned().unwrap_or_default();
        let content = vec![side, party.contents_sent];
        let bytes = match act {
            Act::Open(prekeys) => {
                Some(party.open(&self.keys[own], &self.keys[peer], prekeys, self.plant))
            }
            Act::Send => Some(party.send(self.plant)),
            Act::Drain => {
                party.drain();
                None
            }
            Act::Receive(envelope) => {
                let sent = &self.envelopes[envelope as usize];
                let opened = party.receive(&self.keys[own], &sent.bytes())?;
                assert_eq!(opened, sent.content);
                read.push(envelope);
                read.sort_unstable();
                None
            }
        };
        // Forward secrecy: of what was opened nothing opens with what is stored now.
        for envelope in &read {
            let opens = party.still_opens(&self.envelopes[*envelope as usize].bytes());
            assert!(!opens, "envelope {envelope} opens a second time");
        }
        let sent = bytes.map(|bytes| {
            let length = Envelope::parse(&bytes)
                .unwrap()
                .prefix()
                .map_or(0, |prefix| 2 + prefix.as_bytes().len());
            let (prefix, rest) = bytes.split_at(length);
            let prefix = (length > 0).then(|| self.prefix(prefix));
            let place = party.sent_at.unwrap();
            if matches!(act, Act::Open(_)) {
                let continued = party.continues();
                let heard = |named| (named, party.heard.get(&named).copied().unwrap_or_default());
                self.openings.insert(place.0, continued.map(heard));
            }
            self.envelopes.push(Sent {
                to: 1 - side,
                place,
                mixed: party.mixed(place.0),
                prefix,
                rest: rest.into(),
                content,
            });
            u32::try_from(self.envelopes.len() - 1).unwrap()
        });
        let number = self.intern(party);
        self.read.insert(number, read);
        Ok((number, sent))
    }

    /// One copy of each prefix.
    fn prefix(&mut self, bytes: &[u8]) -> Rc<[u8]> {
        let known = self.prefixes.entry(sha256(&[bytes]));
        known.or_insert_with(|| Rc::from(bytes)).clone()
    }

    /// Takes everything that is under way for lost, and lets both talk: they must find one session.
    /// What was under way then arrives after all, and must neither alarm nor part them.
    fn judge(&mut self, state: &State) -> Result<(), String> {
        let pair = state.parties;
        let mended = match self.mended.get(&pair) {
            Some(known) => known.clone(),
            None => {
                let mended = self.mend(pair).map(|(_, retried)| retried);
                self.mended.insert(pair, mended.clone());
                mended
            }
        };
        mended?;
        // The late arrivals differ with every state: each eighth is tried.
        let sampled = state.under_way.iter().sum::<u32>().is_multiple_of(8);
        if sampled && !state.under_way.is_empty() {
            let (mut pair, _) = self.mend(pair)?;
            for envelope in &state.under_way {
                self.arrive(&mut pair, *envelope)?;
            }
            self.mend(pair)?;
        }
        Ok(())
    }

    /// Returns the two devices as they are then, and whether a new attempt was needed.
    fn mend(&mut self, mut pair: [u32; 2]) -> Result<([u32; 2], bool), String> {
        const ROUNDS: usize = 3;
        const RETRIES: usize = 2;
        for retry in 0..=RETRIES {
            for _ in 0..ROUNDS {
                let opened = [self.exchange(&mut pair, 0)?, self.exchange(&mut pair, 1)?];
                let active = pair.map(|number| self.parties[number as usize].active(self.plant));
                if opened == [true, true] && active[0] == active[1] {
                    return Ok((pair, retry > 0));
                }
            }
            for side in [0, 1] {
                if self.parties[pair[side] as usize].is_unanswered(self.plant)
                    && let Ok((party, Some(sent))) = self.act(pair[side], Act::Open(Prekeys::Live))
                {
                    pair[side] = party;
                    self.arrive(&mut pair, sent)?;
                }
            }
        }
        Err("the two devices do not find one session".to_owned())
    }

    /// One content from one to the other; whether it was opened.
    fn exchange(&mut self, pair: &mut [u32; 2], from: usize) -> Result<bool, String> {
        let none = self.parties[pair[from] as usize]
            .active(self.plant)
            .is_none();
        let act = if none {
            Act::Open(Prekeys::Live)
        } else {
            Act::Send
        };
        let (party, sent) = self
            .act(pair[from], act)
            .map_err(|refusal| format!("device {from} cannot send: {refusal:?}"))?;
        pair[from] = party;
        let to = 1 - from;
        let before = pair[to];
        if let Some(sent) = sent {
            self.arrive(pair, sent)?;
        }
        Ok(pair[to] != before)
    }
}

pub(crate) fn trace(found: &[Found], mut at: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while let (_, from, Some(event)) = &found[at] {
        events.push(*event);
        at = *from;
    }
    events.reverse();
    events
}
