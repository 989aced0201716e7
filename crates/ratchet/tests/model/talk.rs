// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where an exploration begins: at each moment of a talk, also of one of which a device was read out.

use crate::explore::{Event, Explorer, Found, Violation, trace};
use crate::party::Prekeys;

impl Explorer {
    /// The states of a talk without any loss, and those of the same talk after each device was read out
    /// at each moment of it.
    pub(crate) fn talk(&mut self, found: &mut Vec<Found>) -> Result<(), Violation> {
        self.goes_on(found, 0)?;
        if self.bound.thefts > 0 {
            for moment in 1..found.len() {
                for side in [0, 1] {
                    if self.parties[found[moment].0.parties[usize::from(side)] as usize]
                        .session_count()
                        > 0
                    {
                        self.adds(found, moment, Event::ReadOut(side))?;
                        self.goes_on(found, moment)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The rest of the talk, of which so many events have happened, behind the state that was found last.
    fn goes_on(&mut self, found: &mut Vec<Found>, events: usize) -> Result<(), Violation> {
        for event in events..2 * usize::from(self.bound.talk) {
            let at = found.len() - 1;
            let side = u8::from(event / 2 % 2 == 1);
            let event = match (event, found[at].0.under_way().first()) {
                (_, Some(envelope)) => Event::Arrive(*envelope),
                (0, None) => Event::Open(side, Prekeys::Live),
                (_, None) => Event::Send(side),
            };
            self.adds(found, at, event)?;
            if event == Event::Send(side) {
                let talked = &mut found[at + 1].0.talked;
                talked[usize::from(side)] += 1;
            }
        }
        Ok(())
    }

    fn adds(&mut self, found: &mut Vec<Found>, at: usize, event: Event) -> Result<(), Violation> {
        let state = found[at].0.clone();
        match self.step(&state, event) {
            Ok(next) => found.push((next, at, Some(event))),
            Err(what) => {
                let mut events = trace(found, at);
                events.push(event);
                return Err((what, events));
            }
        }
        Ok(())
    }
}
