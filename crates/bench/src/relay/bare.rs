// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bare relay: the least that a server does which keeps messages for people who are away and
//! says "accepted" only of what is durable. One thread, and one for its log.
//!
//! It does not know names, devices, manifests, quotas, rates, times to live or retries.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use tokio::sync::Notify;

use super::frames::{Address, put_deleted, put_delivery};
use super::log::{Found, Log, Position};

/// What one connection is going to be told.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: RefCell<Vec<u8>>,
    /// Messages of it that were accepted, and of which it was not told.
    accepted: Cell<u32>,
    filled: Notify,
    is_over: Cell<bool>,
}

impl Outgoing {
    fn put(&self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.bytes.borrow_mut());
        self.filled.notify_one();
    }

    fn accept(&self) {
        self.accepted.set(self.accepted.get() + 1);
        self.filled.notify_one();
    }

    /// Ends the task that writes.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.filled.notify_one();
    }

    /// Everything that has gathered; `None` when the connection is over.
    pub(super) async fn gathered(&self) -> Option<Vec<u8>> {
        loop {
            self.filled.notified().await;
            if self.is_over.get() {
                return None;
            }
            let mut bytes = std::mem::take(&mut *self.bytes.borrow_mut());
            let accepted = self.accepted.take();
            if accepted > 0 {
                bytes.extend_from_slice(&accepted.to_le_bytes());
            }
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
    }
}

#[derive(Default)]
struct Mailbox {
    messages: VecDeque<(Position, Rc<[u8]>)>,
    owner: Option<Rc<Outgoing>>,
}

/// What happens when the log is durable up to somewhere.
enum Then {
    Deliver {
        to: Address,
        envelope: Rc<[u8]>,
        from: Rc<Outgoing>,
    },
    Delete {
        mailbox: Address,
        up_to: Position,
        owner: Rc<Outgoing>,
    },
}

/// The relay.
pub(super) struct Relay {
    log: Log,
    mailboxes: HashMap<Address, Mailbox>,
    waiting: VecDeque<(Position, Then)>,
}

/// The relay as its connections have it.
pub(super) type SharedRelay = Rc<RefCell<Relay>>;

impl Relay {
    /// Starts with what a folder holds. Needs a local set.
    pub(super) fn start(folder: &Path) -> Result<SharedRelay> {
        let mut mailboxes: HashMap<Address, Mailbox> = HashMap::new();
        let (log, mut durable) = Log::open(folder, |found| match found {
            Found::Message(position, to, envelope) => {
                let mailbox = mailboxes.entry(to).or_default();
                mailbox.messages.push_back((position, envelope.into()));
            }
            Found::Acknowledgement(by, up_to) => {
                if let Some(mailbox) = mailboxes.get_mut(&by) {
                    mailbox.messages.retain(|message| message.0 > up_to);
                }
            }
        })?;
        let relay = Rc::new(RefCell::new(Self {
            log,
            mailboxes,
            waiting: VecDeque::new(),
        }));
        let told = Rc::clone(&relay);
        tokio::task::spawn_local(async move {
            while let Some(position) = durable.recv().await {
                told.borrow_mut().is_durable(position);
            }
        });
        Ok(relay)
    }

    /// A message came.
    pub(super) fn accept(&mut self, from: &Rc<Outgoing>, to: Address, envelope: &[u8]) {
        let position = self.log.message(&to, envelope);
        let then = Then::Deliver {
            to,
            envelope: envelope.into(),
            from: Rc::clone(from),
        };
        self.waiting.push_back((position, then));
    }

    /// The owner of a mailbox has everything up to there.
    pub(super) fn acknowledge(&mut self, owner: &Rc<Outgoing>, mailbox: Address, up_to: Position) {
        let position = self.log.acknowledgement(&mailbox, up_to);
        let owner = Rc::clone(owner);
        let then = Then::Delete {
            mailbox,
            up_to,
            owner,
        };
        self.waiting.push_back((position, then));
    }

    /// Lets the log be made durable.
    pub(super) fn commit(&self) {
        self.log.commit();
    }

    /// The owner of a mailbox is there: hands over what waits, and from then on what comes.
    pub(super) fn open(&mut self, address: Address, owner: &Rc<Outgoing>) {
        let mailbox = self.mailboxes.entry(address).or_default();
        mailbox.owner = Some(Rc::clone(owner));
        owner.put(|out| {
            for (position, envelope) in &mailbox.messages {
                put_delivery(out, *position, envelope);
            }
        });
    }

    /// The owner of a mailbox is gone.
    pub(super) fn close(&mut self, address: Address, owner: &Rc<Outgoing>) {
        if let Some(mailbox) = self.mailboxes.get_mut(&address) {
            mailbox.owner.take_if(|it| Rc::ptr_eq(it, owner));
        }
    }

    fn is_durable(&mut self, up_to: Position) {
        while let Some((position, then)) = self.waiting.pop_front_if(|it| it.0 <= up_to) {
            match then {
                Then::Deliver { to, envelope, from } => {
                    let mailbox = self.mailboxes.entry(to).or_default();
                    if let Some(owner) = &mailbox.owner {
                        owner.put(|out| put_delivery(out, position, &envelope));
                    }
                    mailbox.messages.push_back((position, envelope));
                    from.accept();
                }
                Then::Delete {
                    mailbox,
                    up_to,
                    owner,
                } => {
                    if let Some(mailbox) = self.mailboxes.get_mut(&mailbox) {
                        let messages = &mut mailbox.messages;
                        while let Some(message) = messages.pop_front_if(|it| it.0 <= up_to) {
                            self.log.forget(message.0);
                        }
                    }
                    owner.put(|out| put_deleted(out, up_to));
                }
            }
        }
    }
}
