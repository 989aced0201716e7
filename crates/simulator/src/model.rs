// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The reference model: what a perfect messenger would have shown.
//!
//! It knows which texts were accepted into an outbox and who must see them in the end, and it is
//! told what each device shows. It knows nothing of sessions, envelopes or mailboxes.

use std::collections::{BTreeMap, BTreeSet};

/// A device of the run, in the order of its making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber(pub usize);

/// An account of the run, in the order of its making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(pub usize);

/// A text that some device was asked to send.
#[derive(Debug, Clone)]
struct Sent {
    device: DeviceNumber,
    /// The sending device said that it is in the outbox.
    accepted: bool,
    /// The devices that must show it in the end.
    due: BTreeSet<DeviceNumber>,
}

/// One breach of a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An accepted text never appeared on a device that must show it.
    Lost {
        /// The text.
        text: String,
        /// Where it is missing.
        device: DeviceNumber,
    },
    /// A text appeared twice on one device.
    ShownTwice {
        /// The text.
        text: String,
        /// Where.
        device: DeviceNumber,
    },
    /// Two texts of one device to one account appeared in the wrong order.
    OutOfOrder {
        /// The text that was sent first and shown later.
        text: String,
        /// Where.
        device: DeviceNumber,
    },
    /// A device showed a text that nobody sent, or that was not for it.
    NeverSent {
        /// The text.
        text: String,
        /// Where.
        device: DeviceNumber,
    },
    /// A plaintext was found where there must be none.
    Leak {
        /// Where it was found.
        place: String,
        /// In which encoding.
        form: &'static str,
    },
    /// An alarm although nobody did anything wrong.
    FalseAlarm {
        /// Which device raised it.
        device: DeviceNumber,
        /// What it said.
        alarm: String,
    },
}

/// What was asked for and what was seen.
#[derive(Debug, Default)]
pub struct Model {
    sent: BTreeMap<String, Sent>,
    /// The order in which each device was asked to send to each account.
    orders: BTreeMap<(DeviceNumber, AccountNumber), Vec<String>>,
    shown: BTreeMap<DeviceNumber, BTreeMap<String, u64>>,
}

impl Model {
    /// A device is asked to send; `due` are the devices that must show it if it is accepted.
    pub fn ask(
        &mut self,
        device: DeviceNumber,
        to: AccountNumber,
        text: &str,
        due: BTreeSet<DeviceNumber>,
    ) {
        let sent = Sent {
            device,
            accepted: false,
            due,
        };
        self.sent.insert(text.to_owned(), sent);
        self.orders
            .entry((device, to))
            .or_default()
            .push(text.to_owned());
    }

    /// The device said that the text is in its outbox: from now on it must arrive.
    pub fn accept(&mut self, text: &str) {
        if let Some(sent) = self.sent.get_mut(text) {
            sent.accepted = true;
        }
    }

    /// A device shows a text at a place of its order of arrival. The same text at the same place
    /// may be shown again by a screen that was interrupted.
    pub fn show(&mut self, device: DeviceNumber, cursor: u64, text: &str) -> Option<Violation> {
        let Some(sent) = self.sent.get(text) else {
            return Some(Violation::NeverSent {
                text: text.to_owned(),
                device,
            });
        };
        if sent.device != device && !sent.due.contains(&device) {
            return Some(Violation::NeverSent {
                text: text.to_owned(),
                device,
            });
        }
        let place = *self
            .shown
            .entry(device)
            .or_default()
            .entry(text.to_owned())
            .or_insert(cursor);
        (place != cursor).then(|| Violation::ShownTwice {
            text: text.to_owned(),
            device,
        })
    }

    /// The texts that must still appear, and where.
    #[must_use]
    pub fn outstanding(&self) -> Vec<(String, DeviceNumber)> {
        self.sent
            .iter()
            .filter(|(_, sent)| sent.accepted)
            .flat_map(|(text, sent)| sent.due.iter().map(move |device| (text, *device)))
            .filter(|(text, device)| !self.has_shown(*device, text))
            .map(|(text, device)| (text.clone(), device))
            .collect()
    }

    fn has_shown(&self, device: DeviceNumber, text: &str) -> bool {
        self.shown
            .get(&device)
            .is_some_and(|shown| shown.contains_key(text))
    }

    /// Every promise that is broken once the world has come to rest.
    #[must_use]
    pub fn judge(&self) -> Vec<Violation> {
        let lost = self
            .outstanding()
            .into_iter()
            .map(|(text, device)| Violation::Lost { text, device });
        lost.chain(self.disorder()).collect()
    }

    fn disorder(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (device, shown) in &self.shown {
            for ((from, _), texts) in &self.orders {
                if from == device {
                    continue;
                }
                let mut highest = 0;
                for text in texts {
                    let Some(cursor) = shown.get(text) else {
                        continue;
                    };
                    if *cursor < highest {
                        found.push(Violation::OutOfOrder {
                            text: text.clone(),
                            device: *device,
                        });
                    }
                    highest = highest.max(*cursor);
                }
            }
        }
        found
    }

    /// How many texts were accepted, and how often one was shown.
    #[must_use]
    pub fn totals(&self) -> (usize, usize) {
        (
            self.sent.values().filter(|sent| sent.accepted).count(),
            self.shown.values().map(BTreeMap::len).sum(),
        )
    }

    /// Something that is on a screen: where, at which place, and what.
    #[must_use]
    pub fn any_shown(&self) -> Option<(DeviceNumber, u64, String)> {
        self.shown.iter().find_map(|(device, shown)| {
            let (text, cursor) = shown.first_key_value()?;
            Some((*device, *cursor, text.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DeviceNumber = DeviceNumber(0);
    const B: DeviceNumber = DeviceNumber(1);
    const BOB: AccountNumber = AccountNumber(1);

    fn model() -> Model {
        let mut model = Model::default();
        for text in ["one", "two"] {
            model.ask(A, BOB, text, BTreeSet::from([B]));
            model.accept(text);
        }
        model
    }

    #[test]
    fn a_good_run_is_clean() {
        let mut model = model();
        assert_eq!(model.show(B, 1, "one"), None);
        assert_eq!(model.show(B, 1, "one"), None);
        assert_eq!(model.show(B, 2, "two"), None);
        assert_eq!(model.judge(), []);
    }

    #[test]
    fn a_lost_text_is_found() {
        let mut model = model();
        let _ = model.show(B, 1, "one");
        let lost = Violation::Lost {
            text: "two".to_owned(),
            device: B,
        };
        assert_eq!(model.judge(), [lost]);
    }

    #[test]
    fn a_doubled_text_is_found() {
        let mut model = model();
        let _ = model.show(B, 1, "one");
        let twice = Violation::ShownTwice {
            text: "one".to_owned(),
            device: B,
        };
        assert_eq!(model.show(B, 2, "one"), Some(twice));
    }

    #[test]
    fn a_wrong_order_is_found() {
        let mut model = model();
        let _ = model.show(B, 2, "one");
        let _ = model.show(B, 1, "two");
        let late = Violation::OutOfOrder {
            text: "two".to_owned(),
            device: B,
        };
        assert_eq!(model.judge(), [late]);
    }

    #[test]
    fn an_invented_text_is_found() {
        let mut model = model();
        let invented = Violation::NeverSent {
            text: "three".to_owned(),
            device: B,
        };
        assert_eq!(model.show(B, 1, "three"), Some(invented));
    }

    #[test]
    fn what_was_never_accepted_may_be_lost() {
        let mut model = Model::default();
        model.ask(A, BOB, "one", BTreeSet::from([B]));
        assert_eq!(model.judge(), []);
    }
}
