// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two parties of vodozemac's Olm.

use anyhow::{Context, Result, bail};
use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig};

/// Two accounts; the second has one-time keys.
pub(super) struct Meeting {
    alice: Account,
    bob: Account,
    keys: Vec<vodozemac::Curve25519PublicKey>,
}

impl Meeting {
    pub(super) fn new(sessions: u32) -> Result<Self> {
        let mut bob = Account::new();
        bob.generate_one_time_keys(usize::try_from(sessions)?);
        let keys = bob.one_time_keys().into_values().collect();
        Ok(Self {
            alice: Account::new(),
            bob,
            keys,
        })
    }

    /// Opens a session with a first message, and accepts it.
    pub(super) fn establish(&mut self) -> Result<()> {
        self.meet().map(drop)
    }

    fn meet(&mut self) -> Result<(Session, Session)> {
        let key = self.keys.pop().context("no one-time key is left")?;
        let config = SessionConfig::version_1();
        let mut session =
            self.alice
                .create_outbound_session(config, self.bob.curve25519_key(), key)?;
        let OlmMessage::PreKey(first) = session.encrypt("hello")? else {
            bail!("the first message has no prekey");
        };
        let alice = self.alice.curve25519_key();
        let created = self.bob.create_inbound_session(config, alice, &first)?;
        Ok((session, created.session))
    }
}

/// Two parties whose handshake is behind them.
pub(super) struct Pair {
    alice: Session,
    bob: Session,
    alice_is_next: bool,
}

impl Pair {
    pub(super) fn talking() -> Result<Self> {
        let (alice, bob) = Meeting::new(1)?.meet()?;
        let mut pair = Self {
            alice,
            bob,
            alice_is_next: false,
        };
        for _ in 0..4 {
            pair.turn(1)?;
        }
        Ok(pair)
    }

    pub(super) fn alice_seals(&mut self, size: usize) -> Result<OlmMessage> {
        Ok(self.alice.encrypt(vec![0x61; size])?)
    }

    /// The bytes of a message as it travels.
    pub(super) fn message_length(&mut self, size: usize) -> Result<usize> {
        let (_, bytes) = self.alice_seals(size)?.to_parts();
        Ok(bytes.len())
    }

    pub(super) fn bob_opens(&mut self, message: &OlmMessage) -> Result<()> {
        std::hint::black_box(self.bob.decrypt(message)?);
        Ok(())
    }

    /// One message, with a step: the direction changes each time.
    pub(super) fn turn(&mut self, size: usize) -> Result<()> {
        let (from, to) = if self.alice_is_next {
            (&mut self.alice, &mut self.bob)
        } else {
            (&mut self.bob, &mut self.alice)
        };
        self.alice_is_next = !self.alice_is_next;
        let message = from.encrypt(vec![0x61; size])?;
        std::hint::black_box(to.decrypt(&message)?);
        Ok(())
    }
}
