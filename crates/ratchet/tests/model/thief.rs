// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device is read out at some moment, with everything that it stores, and everything that is sent to
//! it afterwards is recorded. Two thieves have that: one with nothing besides, and one who computes
//! the ratchet keys of the device from what is seen, as a quantum computer would, but no ML-KEM key. What opens
//! for each is exactly what the specification says.

use std::collections::BTreeMap;

use waxwing_ratchet::SessionId;

use crate::explore::{Act, Event, Explorer, State};
use crate::party::Plant;

/// Bytes of randomness that a step draws for its ratchet key.
const DH_SECRET: usize = 32;

/// What was read out of a device, and what became of it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Thief {
    side: u8,
    /// The device as it was.
    origin: u32,
    /// With everything opened since that opens.
    reader: u32,
    /// In step with the device, but for its KEM keys.
    shadow: u32,
}

impl Thief {
    pub(crate) const fn new(side: u8, device: u32) -> Self {
        Self {
            side,
            origin: device,
            reader: device,
            shadow: device,
        }
    }
}

impl Explorer {
    /// What an event is to the thief, if there is one.
    pub(crate) fn thief_follows(
        &mut self,
        before: &State,
        after: &mut State,
        event: Event,
    ) -> Result<(), String> {
        let Some(mut thief) = before.thief else {
            return Ok(());
        };
        match event {
            Event::Send(side) | Event::Open(side, _) if side != thief.side => {
                let known = |envelope: &&u32| !before.under_way().contains(envelope);
                if let Some(envelope) = after.under_way().iter().find(known).copied() {
                    self.tries(&mut thief, envelope)?;
                }
            }
            Event::Send(side) => {
                let [old, new] = [before, after].map(|state| state.parties[usize::from(side)]);
                let seen = if self.plant == Some(Plant::KemForeseen) {
                    usize::MAX
                } else {
                    DH_SECRET
                };
                thief.shadow = self.shadowed(thief.shadow, [old, new], seen);
                if self.plant == Some(Plant::Foreseen) {
                    thief.reader = self.shadowed(thief.reader, [old, new], usize::MAX);
                }
            }
            Event::Arrive(envelope) | Event::ArriveTwice(envelope) => {
                if self.envelopes[envelope as usize].to == thief.side
                    && let Ok((shadow, _)) = self.act(thief.shadow, Act::Receive(envelope))
                {
                    thief.shadow = shadow;
                }
            }
            // A session that the device opens itself rests on the peer's prekeys, which were not read.
            Event::Open(..) | Event::Drain(_) | Event::ReadOut(_) => {}
        }
        after.thief = Some(thief);
        Ok(())
    }

    /// The shadow of a device after it has sent. A step draws its ratchet key first.
    fn shadowed(&mut self, shadow: u32, [old, new]: [u32; 2], seen: usize) -> u32 {
        let (session, step) = self.parties[new as usize].sent_at.unwrap();
        let is_step = self.parties[old as usize].steps.get(&session) != Some(&step);
        let read = self.read.get(&shadow).cloned().unwrap_or_default();
        let mut party = self.parties[shadow as usize].clone();
        party.follow(session, if is_step || seen > DH_SECRET { seen } else { 0 });
        let number = self.intern(party);
        self.read.insert(number, read);
        number
    }

    /// Both try an envelope of the peer as soon as it is sent.
    fn tries(&mut self, thief: &mut Thief, envelope: u32) -> Result<(), String> {
        let sent = &self.envelopes[envelope as usize];
        let ((session, step), mixed) = (sent.place, sent.mixed);
        let origin = &self.parties[thief.origin as usize];
        let known = origin.steps.get(&session).copied();
        let epoch =
            (known.is_some() && origin.keeps(session)).then(|| origin.first_unknown_epoch(session));

        let may_open = self.may_open(thief.origin, session, step);
        let keeps = self.parties[thief.reader as usize].keeps(session);
        let read = self.act(thief.reader, Act::Receive(envelope));
        let opens = read.is_ok();
        if opens && !may_open || known.is_some() && keeps && opens != may_open {
            return Err(format!(
                "step {step} opens for who read the device out: {opens}, and {may_open} is right"
            ));
        }
        if let Ok((reader, _)) = read {
            thief.reader = reader;
        }
        self.stolen[0] += 1;
        self.stolen[1] += usize::from(opens);

        if let Some(epoch) = epoch
            && self.parties[thief.shadow as usize].keeps(session)
        {
            let opens = self.act(thief.shadow, Act::Receive(envelope)).is_ok();
            let may_open = mixed < epoch;
            if opens != may_open {
                return Err(format!(
                    "step {step} after {mixed} epochs opens for who has every ratchet key: {opens}, and {may_open} is right"
                ));
            }
            self.stolen[0] += 1;
            self.stolen[1] += usize::from(opens);
        }
        Ok(())
    }

    fn may_open(&self, origin: u32, session: SessionId, step: u32) -> bool {
        let salt = self.openings.get(&session).copied().flatten();
        may_open(&self.parties[origin as usize].steps, session, step, salt)
    }
}

/// Whether an envelope opens with what a device stored, and nothing else. `known` are the newest steps of
/// its sessions; `salt` is the session, and the step of the device in it, that a session of the peer
/// continues.
pub(crate) fn may_open(
    known: &BTreeMap<SessionId, u32>,
    session: SessionId,
    step: u32,
    salt: Option<(SessionId, u32)>,
) -> bool {
    match known.get(&session) {
        // The peer's next step was made against a key that was stored.
        Some(newest) => step <= newest + 1,
        // A session that had not arrived opens as the device would open it, where it is salted with a
        // step of the device that is known, or with none.
        None => {
            let is_known = salt.is_none_or(|(named, heard)| {
                known.get(&named).is_some_and(|newest| heard <= *newest)
            });
            step == 1 && is_known
        }
    }
}
