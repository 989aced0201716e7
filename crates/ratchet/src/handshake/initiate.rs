// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The initiator's side.

use std::sync::Arc;

use rand_core::CryptoRng;
use waxwing_crypto::backend::ParameterSet;
use waxwing_crypto::{DhSecret, aead, kem};
use waxwing_identity::PrekeyBundle;
use waxwing_identity::prekey::SUITE;

use super::hidden_identity::{BLOCK_LENGTH, HiddenIdentity};
use super::schedule::{Hidden, Transcript};
use super::{LocalDevice, prefix};
use crate::session::kem::Epochs;
use crate::session::kem_row::KemChanges;
use crate::session::state::{Continuity, State};
use crate::{Continuation, RatchetError, Role, Session, day};

/// Opens a session that continues no other; see [`initiate_next`].
///
/// # Errors
/// Those of [`initiate_next`].
pub fn initiate<R: CryptoRng + ?Sized>(
    own: &LocalDevice<'_>,
    peer: &PrekeyBundle,
    attempt: u32,
    now: u64,
    rng: &mut R,
) -> Result<Session, RatchetError> {
    initiate_next(own, peer, &Continuation::first(attempt), now, rng)
}

/// Opens a session with the device that a bundle belongs to, after the one that the continuation
/// names. The bundle was checked against a manifest that the trust decision accepts; the
/// continuation comes from [`SessionSet::continuation`](crate::SessionSet::continuation); `now` is
/// in seconds since the Unix epoch.
///
/// Nothing has to be sent by this: the handshake travels with every envelope until the first
/// answer. The one-time pair, where there is one, is used up. All ephemeral secrets but the first
/// ratchet key are wiped.
///
/// # Errors
/// [`RatchetError::PrekeyStale`], [`RatchetError::BadKemKey`], [`RatchetError::NonContributory`],
/// [`RatchetError::DeviceNotListed`] where the own manifest does not list the own keys.
pub fn initiate_next<R: CryptoRng + ?Sized>(
    own: &LocalDevice<'_>,
    peer: &PrekeyBundle,
    continuation: &Continuation,
    now: u64,
    rng: &mut R,
) -> Result<Session, RatchetError> {
    // SES-7, PRE-14.
    let offer = offer(own, peer, continuation, now, rng)?;
    let mut state = offer.state;
    // Nothing is mixed before the first epoch, so no row changes.
    state.make_step(offer.ratchet, &mut KemChanges::default())?;
    Ok(Session::new(state, Some(Arc::from(offer.prefix))))
}

/// A handshake before the first step, which is made with the ratchet key that it announces.
pub(crate) struct Offer {
    pub(crate) state: State,
    pub(crate) ratchet: DhSecret,
    pub(crate) prefix: Vec<u8>,
}

pub(crate) fn offer<R: CryptoRng + ?Sized>(
    own: &LocalDevice<'_>,
    peer: &PrekeyBundle,
    continuation: &Continuation,
    now: u64,
    rng: &mut R,
) -> Result<Offer, RatchetError> {
    own.check()?;
    if !peer.is_active(day(now)) {
        return Err(RatchetError::PrekeyStale);
    }
    let (signed, one_time) = (peer.signed(), peer.one_time());
    let kem_key = one_time.unwrap_or(signed).kem_key();
    let (ciphertext, kem) = kem::encapsulate(ParameterSet::MlKem1024, kem_key, rng)?;
    let ephemeral = DhSecret::generate(rng);
    let ratchet = DhSecret::generate(rng);

    let entry = peer.entry();
    let transcript = Transcript {
        account: signed.account(),
        device: &entry.id(),
        head: peer.head(),
        signing_key: &entry.signing_key(),
        dh_key: &entry.dh_key(),
        signed_prekey: signed.dh_key(),
        one_time_prekey: one_time.map(waxwing_identity::PrekeyPair::dh_key),
        kem_key,
        ephemeral: ephemeral.public(),
        ciphertext: &ciphertext,
    };
    let with_one_time = one_time
        .map(|pair| ephemeral.agree(pair.dh_key()))
        .transpose()?;
    let hidden = Hidden::derive(
        &transcript,
        &ephemeral.agree(signed.dh_key())?,
        with_one_time.as_ref(),
        &kem,
    );

    let identity = HiddenIdentity {
        account: own.account,
        device: own.device,
        manifest: own.manifest.as_bytes(),
        ratchet_key: *ratchet.public(),
        predecessor: continuation.predecessor_bytes(),
        attempt: continuation.attempt,
        continuity: continuation.id_bytes(),
    }
    .encode()?;
    let blocks = identity.len().checked_div(BLOCK_LENGTH).unwrap_or(0);
    let mut bytes = vec![prefix::VERSION];
    bytes.extend_from_slice(&SUITE.to_be_bytes());
    bytes.extend_from_slice(&signed.id().to_be_bytes());
    let one_time_id = one_time.map_or(0, waxwing_identity::PrekeyPair::id);
    bytes.extend_from_slice(&one_time_id.to_be_bytes());
    bytes.extend_from_slice(ephemeral.public());
    bytes.extend_from_slice(&ciphertext);
    bytes.push(u8::try_from(blocks).map_err(|_| RatchetError::TooLarge)?);
    // The key is used once, for this plaintext, so the nonce may be zero.
    let sealed = aead::seal(&hidden.identity_key, &[0; 12], &bytes, &identity)?;
    bytes.extend_from_slice(&sealed);

    let dh = &own.secrets.dh;
    let authenticated = hidden.authenticate(
        &identity,
        &own.secrets.signing.device_key(),
        &dh.device_key(),
        &dh.agree(signed.dh_key())?,
        &ephemeral.agree(entry.dh_key().as_bytes())?,
    );
    bytes.extend_from_slice(authenticated.confirmation.expose());

    let id = authenticated.session;
    let root = authenticated.root(continuation.secret());
    let state = State {
        id,
        handshake: prefix::handshake_id(ephemeral.public(), &ciphertext),
        role: Role::Initiator,
        predecessor: continuation.predecessor_bytes(),
        attempt: continuation.attempt,
        created_at: now,
        step: 0,
        root: root.root,
        sending: None,
        sending_next: root.initiator_header,
        previous_length: 0,
        remote: *signed.dh_key(),
        receiving: None,
        receiving_next: root.responder_header,
        continuity: Continuity::default(),
        epochs: Epochs::first(),
    };
    Ok(Offer {
        state,
        ratchet,
        prefix: bytes,
    })
}
