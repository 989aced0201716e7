// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The responder's side, in two steps: [`Claim::check`] finds out who wants to open a session and
//! which one it continues; [`Claim::accept`] opens the session and the content. Between them the set
//! of sessions says whether the claim may be followed.

use waxwing_crypto::{Secret, aead};
use waxwing_identity::{DeviceEntry, DeviceManifest};
use waxwing_proto::AccountKey;

use super::hidden_identity::HiddenIdentity;
use super::schedule::{Authenticated, Hidden, Transcript};
use super::{LocalDevice, Prefix};
use crate::envelope::Envelope;
use crate::session::kem::Epochs;
use crate::session::state::{Continuity, State};
use crate::session_set::Judged;
use crate::{ContinuityId, HandshakeId, Opened, PrekeySecret, RatchetError, Role, SessionId, day};

/// The secrets that a prefix names, from the own store.
pub struct ResponderKeys<'a> {
    /// The signed pair with the id of [`Prefix::signed_prekey`].
    pub signed: &'a PrekeySecret,
    /// The one-time pair with the id of [`Prefix::one_time_prekey`], where the prefix names one.
    pub one_time: Option<&'a PrekeySecret>,
}

/// Who opened the session. The device key is proved; the manifest is valid in itself and lists the
/// device. Whether it extends what is pinned for the account is the caller's trust decision.
#[derive(Debug, Clone)]
pub struct Initiator {
    /// The account.
    pub account: AccountKey,
    /// The device as the manifest lists it.
    pub device: DeviceEntry,
    /// The initiator's newest manifest.
    pub manifest: DeviceManifest,
}

/// A session that somebody opened, and its first content to arrive.
#[derive(Debug)]
pub struct Accepted {
    /// The content, the session, and the rows to commit. The tag changes are not needed: insert
    /// session and skipped rows into the table.
    pub opened: Opened,
    /// Who opened it.
    pub initiator: Initiator,
    /// The one-time pair to destroy in the same batch.
    pub one_time_used: Option<u32>,
}

/// A handshake whose initiator has proved its device key. Nothing of the session is derived yet:
/// what it continues is a claim that [`SessionSet::judge`](crate::SessionSet::judge) looks at.
pub struct Claim<'a> {
    envelope: Envelope<'a>,
    signed: &'a PrekeySecret,
    handshake: HandshakeId,
    initiator: Initiator,
    authenticated: Authenticated,
    ratchet_key: [u8; 32],
    predecessor: Option<(SessionId, ContinuityId)>,
    attempt: u32,
    one_time_used: Option<u32>,
}

impl<'a> Claim<'a> {
    /// Opens the handshake of an envelope, up to the proof of the initiator's device key.
    ///
    /// The caller has looked the tag and the [`Prefix::handshake_id`] up before: neither is known.
    /// Everything that names this device is taken from its own records, never from the envelope.
    ///
    /// The attacker controls every byte of the envelope; one forgery costs up to four key
    /// agreements, one decapsulation and 17 signature verifications, so the caller needs a budget.
    ///
    /// # Errors
    /// [`RatchetError::PrekeyUnknown`] where `keys` are not those that the prefix names;
    /// [`RatchetError::AuthFailed`], [`RatchetError::NonContributory`], [`RatchetError::Malformed`],
    /// [`RatchetError::ManifestInvalid`], [`RatchetError::DeviceNotListed`].
    pub fn check(
        own: &LocalDevice<'_>,
        envelope: &Envelope<'a>,
        keys: &ResponderKeys<'a>,
    ) -> Result<Self, RatchetError> {
        // SES-15, SES-16.
        let prefix = envelope.prefix().ok_or(RatchetError::UnknownTag)?;
        check_keys(prefix, keys)?;
        let hidden = open_prekey_part(own, prefix, keys)?;
        let identity = aead::open(
            &hidden.identity_key,
            &[0; 12],
            prefix.clear,
            prefix.identity,
        )?;
        let claims = HiddenIdentity::decode(&identity)?;
        if (claims.account, claims.device) == (own.account, own.device) {
            return Err(RatchetError::Malformed("initiator"));
        }
        let absent = (claims.predecessor == [0; 32], claims.continuity == [0; 8]);
        let predecessor = match absent {
            (true, true) => None,
            (true, false) => return Err(RatchetError::Malformed("predecessor")),
            (false, _) => Some((
                SessionId::new(claims.predecessor),
                ContinuityId::new(claims.continuity),
            )),
        };
        let manifest =
            DeviceManifest::decode(claims.manifest).map_err(|_| RatchetError::ManifestInvalid)?;
        if *manifest.account() != claims.account {
            return Err(RatchetError::ManifestInvalid);
        }
        let device = *manifest
            .device(&claims.device)
            .ok_or(RatchetError::DeviceNotListed)?;

        let authenticated = hidden.authenticate(
            &identity,
            &device.signing_key(),
            &device.dh_key(),
            &keys.signed.dh.agree(device.dh_key().as_bytes())?,
            &own.secrets.dh.agree(prefix.ephemeral)?,
        );
        let confirmation = Secret::copy_of(prefix.confirmation);
        if !authenticated.confirmation.equals(&confirmation) {
            return Err(RatchetError::AuthFailed);
        }
        Ok(Self {
            envelope: *envelope,
            signed: keys.signed,
            handshake: prefix.handshake_id(),
            ratchet_key: claims.ratchet_key,
            attempt: claims.attempt,
            initiator: Initiator {
                account: claims.account,
                device,
                manifest,
            },
            authenticated,
            predecessor,
            one_time_used: prefix.one_time_prekey(),
        })
    }

    /// Who wants to open a session.
    #[must_use]
    pub const fn initiator(&self) -> &Initiator {
        &self.initiator
    }

    /// The session that this would be.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.authenticated.session
    }

    /// The session that this one claims to continue, and the secret that it claims to hold.
    #[must_use]
    pub const fn predecessor(&self) -> Option<(SessionId, ContinuityId)> {
        self.predecessor
    }

    /// The number among the handshakes that continue the same session.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Opens the session and the content of the envelope, whichever number it has. Any failure
    /// changes nothing, the one-time pair included. On success the caller asks its trust decision
    /// and [`SessionSet::place`](crate::SessionSet::place), then commits session, skipped rows,
    /// handshake id, content, and the destruction of the one-time pair in one batch.
    ///
    /// # Errors
    /// [`RatchetError::SessionUnknown`] where `judged` is about another claim, and those of
    /// [`Session::decrypt`](crate::Session::decrypt).
    pub fn accept(self, judged: &Judged, now: u64) -> Result<Accepted, RatchetError> {
        if judged.session != self.session() {
            return Err(RatchetError::SessionUnknown);
        }
        self.open(judged.continuity.as_ref(), now)
    }

    fn open(self, continuity: Option<&Secret<32>>, now: u64) -> Result<Accepted, RatchetError> {
        let id = self.session();
        let root = self.authenticated.root(continuity);
        let predecessor = self.predecessor.map(|(session, _)| *session.as_bytes());
        let state = State {
            id,
            handshake: self.handshake,
            role: Role::Responder,
            predecessor: predecessor.unwrap_or_default(),
            attempt: self.attempt,
            created_at: now,
            step: 0,
            root: root.root,
            sending: None,
            sending_next: root.responder_header,
            previous_length: 0,
            remote: self.ratchet_key,
            receiving: None,
            receiving_next: root.initiator_header,
            continuity: Continuity::default(),
            epochs: Epochs::first(),
        };
        // The signed prekey is the ratchet key against which the first step was made. The session
        // keeps no copy of it: this very envelope opens that step.
        let received = state.receive(Some(&self.signed.dh), &self.envelope, day(now))?;
        if received.state.remote != self.ratchet_key {
            return Err(RatchetError::Malformed("first ratchet key"));
        }
        Ok(Accepted {
            opened: Opened::new(received, None, false),
            initiator: self.initiator,
            one_time_used: self.one_time_used,
        })
    }
}

/// Opens the first envelope of a session that continues no other, with a device with which there
/// is none: [`Claim::check`] and [`Claim::accept`] in one.
///
/// # Errors
/// Those of both, and [`RatchetError::ContinuityUnknown`] where the handshake continues a session.
pub fn accept(
    own: &LocalDevice<'_>,
    envelope: &Envelope<'_>,
    keys: &ResponderKeys<'_>,
    now: u64,
) -> Result<Accepted, RatchetError> {
    let claim = Claim::check(own, envelope, keys)?;
    match claim.predecessor {
        None => claim.open(None, now),
        Some(_) => Err(RatchetError::ContinuityUnknown),
    }
}

fn check_keys(prefix: &Prefix<'_>, keys: &ResponderKeys<'_>) -> Result<(), RatchetError> {
    let signed = keys.signed.head().is_some() && keys.signed.id() == prefix.signed_prekey();
    let one_time = match (prefix.one_time_prekey(), keys.one_time) {
        (None, None) => true,
        (Some(id), Some(pair)) => pair.head().is_none() && pair.id() == id,
        _ => false,
    };
    if signed && one_time {
        Ok(())
    } else {
        Err(RatchetError::PrekeyUnknown)
    }
}

fn open_prekey_part(
    own: &LocalDevice<'_>,
    prefix: &Prefix<'_>,
    keys: &ResponderKeys<'_>,
) -> Result<Hidden, RatchetError> {
    let head = keys.signed.head().ok_or(RatchetError::PrekeyUnknown)?;
    let pair = keys.one_time.unwrap_or(keys.signed);
    let transcript = Transcript {
        account: &own.account,
        device: &own.device,
        head,
        signing_key: &own.secrets.signing.device_key(),
        dh_key: &own.secrets.dh.device_key(),
        signed_prekey: keys.signed.dh.public(),
        one_time_prekey: keys.one_time.map(|pair| pair.dh.public()),
        kem_key: pair.kem_key(),
        ephemeral: prefix.ephemeral,
        ciphertext: prefix.ciphertext,
    };
    let with_signed = keys.signed.dh.agree(prefix.ephemeral)?;
    let with_one_time = keys
        .one_time
        .map(|pair| pair.dh.agree(prefix.ephemeral))
        .transpose()?;
    let kem = pair.kem.decapsulate(prefix.ciphertext)?;
    Ok(Hidden::derive(
        &transcript,
        &with_signed,
        with_one_time.as_ref(),
        &kem,
    ))
}
