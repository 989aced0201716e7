// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A day's tickets: the key under which their sessions are named and sealed, and how keys are written.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use waxwing_proto::limits;
use zeroize::Zeroizing;

use super::{CLOCK_SLACK_S, TicketPlace};

pub(super) const KEY_SIZE: usize = 32;
pub(super) const NONCE_SIZE: usize = 12;
/// What begins the stored keys.
pub(super) const KEYS_FORMAT: u8 = 1;
/// The number of a generation, when it began, its key.
const STORED_KEY_SIZE: usize = 8 + 8 + KEY_SIZE;

/// A day's tickets.
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) began_s: u64,
    secret: Zeroizing<[u8; KEY_SIZE]>,
    naming: hmac::Key,
    sealing: LessSafeKey,
}

impl Generation {
    pub(super) fn new(
        number: u64,
        began_s: u64,
        secret: Zeroizing<[u8; KEY_SIZE]>,
    ) -> Option<Self> {
        let root = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret.as_slice());
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0; KEY_SIZE]);
            let info = [label];
            let expanded = root.expand(&info, hkdf::HKDF_SHA256).ok()?;
            expanded.fill(key.as_mut_slice()).ok()?;
            Some(key)
        };
        let naming = derive(b"waxwing ticket name")?;
        let sealing = derive(b"waxwing ticket seal")?;
        let sealing = UnboundKey::new(&aead::AES_256_GCM, sealing.as_slice()).ok()?;
        Some(Self {
            number,
            began_s,
            secret,
            naming: hmac::Key::new(hmac::HMAC_SHA256, naming.as_slice()),
            sealing: LessSafeKey::new(sealing),
        })
    }

    pub(super) fn place(&self, ticket: &[u8]) -> Option<TicketPlace> {
        let tag = hmac::sign(&self.naming, ticket);
        Some(TicketPlace {
            generation: self.number,
            id: *tag.as_ref().first_chunk()?,
        })
    }

    pub(super) fn is_over(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.began_s) >= limits::TICKET_LIFETIME_S
            || self.began_s > now_s.saturating_add(CLOCK_SLACK_S)
    }

    /// The time and the session, sealed under the generation's key and bound to the place.
    pub(super) fn seal(
        &self,
        place: TicketPlace,
        (now_s, session): (u64, &[u8]),
        nonce: [u8; NONCE_SIZE],
    ) -> Option<Vec<u8>> {
        let mut plain = Zeroizing::new(now_s.to_be_bytes().to_vec());
        plain.extend_from_slice(session);
        let aad = Aad::from(place.id);
        let tag = self.sealing.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            aad,
            plain.as_mut_slice(),
        );
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(&plain);
        sealed.extend_from_slice(tag.ok()?.as_ref());
        Some(sealed)
    }

    /// What was sealed, and when. The place where it is opened is wiped.
    pub(super) fn open(&self, place: TicketPlace, sealed: Vec<u8>) -> Option<(u64, Vec<u8>)> {
        let mut sealed = Zeroizing::new(sealed);
        let (nonce, sealed) = sealed.split_first_chunk_mut::<NONCE_SIZE>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .sealing
            .open_in_place(nonce, Aad::from(place.id), sealed);
        let (time, session) = plain.ok()?.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*time), session.to_vec()))
    }
}

pub(super) fn encode(generations: &[Option<&Generation>]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 2 * STORED_KEY_SIZE));
    bytes.push(KEYS_FORMAT);
    for generation in generations.iter().flatten() {
        bytes.extend_from_slice(&generation.number.to_be_bytes());
        bytes.extend_from_slice(&generation.began_s.to_be_bytes());
        bytes.extend_from_slice(generation.secret.as_slice());
    }
    bytes
}

/// The newest generation and the one before it.
pub(super) fn decode(bytes: &[u8]) -> (Option<Generation>, Option<Generation>) {
    let Some((&KEYS_FORMAT, keys)) = bytes.split_first() else {
        return (None, None);
    };
    let mut generations = keys.chunks_exact(STORED_KEY_SIZE).map(|stored| {
        let (number, stored) = stored.split_first_chunk::<8>()?;
        let (began_s, secret) = stored.split_first_chunk::<8>()?;
        let secret = Zeroizing::new(*secret.first_chunk::<KEY_SIZE>()?);
        Generation::new(
            u64::from_be_bytes(*number),
            u64::from_be_bytes(*began_s),
            secret,
        )
    });
    let newest = generations.next().flatten();
    (newest, generations.next().flatten())
}
