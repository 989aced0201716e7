// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is seen in a run: texts on screens, alarms, failures. It feeds the reference model and
//! the event log.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waxwing_engine::notice::{Alarm, AlarmKind};
use waxwing_transport::Clock;
use waxwing_transport::sim::SimClock;

use crate::event_log::EventLog;
use crate::model::{DeviceNumber, Model, Violation};

/// Shared by everybody in the world. Clones are the same witness.
#[derive(Clone)]
pub struct Witness {
    clock: SimClock,
    log: EventLog,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    model: Model,
    violations: Vec<Violation>,
    failures: Vec<String>,
    shuffled: bool,
    removed: BTreeSet<DeviceNumber>,
}

impl Witness {
    /// A witness that has seen nothing.
    #[must_use]
    pub fn new(clock: &SimClock, log: &EventLog) -> Self {
        Self {
            clock: clock.clone(),
            log: log.clone(),
            state: Arc::default(),
        }
    }

    /// Reads or changes the reference model.
    pub fn with_model<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        change(&mut self.state().model)
    }

    /// A text appeared on a screen.
    pub fn note_shown(&self, device: DeviceNumber, cursor: u64, text: &str) {
        self.log(
            &format!("shown on {} at {cursor}", device.0),
            text.as_bytes(),
        );
        let mut state = self.state();
        let cursor = if state.shuffled {
            u64::MAX.saturating_sub(cursor)
        } else {
            cursor
        };
        if let Some(violation) = state.model.show(device, cursor, text) {
            state.violations.push(violation);
        }
    }

    /// Shows everything in the opposite order from now on: a planted fault.
    pub fn shuffle_screens(&self) {
        self.state().shuffled = true;
    }

    /// From now on the device may find out that it was removed.
    pub fn expect_removal(&self, device: DeviceNumber) {
        self.state().removed.insert(device);
    }

    /// A device raised an alarm.
    pub fn note_alarm(&self, device: DeviceNumber, alarm: &Alarm) {
        let is_removal = alarm.kind == AlarmKind::RemovedFromAccount;
        let is_true = is_removal && self.state().removed.contains(&device);
        let alarm = format!("{:?}", alarm.kind);
        self.log(&format!("alarm on {}: {alarm}", device.0), &[]);
        if is_true {
            return;
        }
        self.note(Violation::FalseAlarm { device, alarm });
    }

    /// A host ended by itself.
    pub fn note_failure(&self, device: DeviceNumber, error: &str) {
        self.log(&format!("failure of {}", device.0), error.as_bytes());
        self.state()
            .failures
            .push(format!("device-{}: {error}", device.0));
    }

    /// A promise is broken.
    pub fn note(&self, violation: Violation) {
        self.state().violations.push(violation);
    }

    /// Something happened that belongs into the event log.
    pub fn log(&self, kind: &str, bytes: &[u8]) {
        self.log.add(self.clock.monotonic_ms(), kind, bytes);
    }

    /// Whether something has gone wrong that cannot become right again.
    #[must_use]
    pub fn has_seen_a_breach(&self) -> bool {
        let state = self.state();
        !state.violations.is_empty() || !state.failures.is_empty()
    }

    /// Everything that went wrong, the model's last judgement included.
    #[must_use]
    pub fn verdict(&self) -> (Vec<Violation>, Vec<String>) {
        let state = self.state();
        let mut violations = state.violations.clone();
        violations.extend(state.model.judge());
        (violations, state.failures.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
