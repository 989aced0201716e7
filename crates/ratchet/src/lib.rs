// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The pairwise protocol: prekeys, handshake, double ratchet, sessions. Pure functions of state,
//! input, randomness and time.
//!
//! - [`PrekeySecret`] makes what others need to write first. [`initiate`] opens a session from a
//!   bundle; [`accept`] opens the first envelope that arrives of it.
//! - [`Session::encrypt`] and [`Session::decrypt`] leave the session as it is and return the next
//!   one, with the rows to commit. On every error nothing has changed.
//! - [`find`] says which session an [`Envelope`] belongs to, by the [`TagTable`] and behind it by
//!   trial. [`SessionSet`] says which session with a device is active.
//! - A session continues the one before it: [`SessionSet::continuation`] and [`initiate_next`] on one
//!   side, [`Claim`] and [`SessionSet::judge`] on the other. A copy of a device, or of its keys, is
//!   found out by it.
//!
//! - KEM epochs run by themselves in the slack of padded contents; their rows come and go in
//!   [`Sealed::kem`] and [`Opened::kem`]. [`SentHashes`] judges what the peer acknowledges.
//!
//! # Two parties
//!
//! ```
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! use waxwing_crypto::{DeviceSecrets, RecoveryWords};
//! use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, Signatory};
//! use waxwing_proto::{DeviceId, v1};
//! use waxwing_ratchet::{Envelope, LocalDevice, PrekeySecret, ResponderKeys, accept, initiate};
//!
//! /// An account with one device.
//! fn account(id: u8, rng: &mut ChaCha20Rng) -> (DeviceSecrets, DeviceManifest) {
//!     let owner = RecoveryWords::generate(rng).account_secret();
//!     let secrets = DeviceSecrets::generate(rng);
//!     let keys = secrets.public_keys(DeviceId::new([id; 16]));
//!     let key = owner.account_key();
//!     let membership = secrets.signing.sign(&keys.membership_signable(&key)).unwrap();
//!     let device = keys.countersigned(&key, membership).unwrap();
//!     let by = Signatory::Account;
//!     let admission = owner.sign(&device.admission_signable(20_000, &by)).unwrap();
//!     let draft = ManifestDraft::first(key, device.admit(20_000, by, admission).unwrap());
//!     let signature = owner.sign(&draft.signable().unwrap()).unwrap();
//!     (secrets, draft.finish(signature).unwrap())
//! }
//! fn local<'a>(secrets: &'a DeviceSecrets, manifest: &'a DeviceManifest) -> LocalDevice<'a> {
//!     let (account, device) = (*manifest.account(), manifest.devices()[0].id());
//!     LocalDevice { account, device, secrets, manifest }
//! }
//!
//! # let rng = &mut ChaCha20Rng::from_seed([1; 32]);
//! let now = 20_000 * 86_400;
//! let (alice_secrets, alice_manifest) = account(1, rng);
//! let (bob_secrets, bob_manifest) = account(2, rng);
//! let alice = local(&alice_secrets, &alice_manifest);
//! let bob = local(&bob_secrets, &bob_manifest);
//!
//! // Bob leaves prekey pairs with his server; Alice takes a bundle and checks it.
//! let (signed, signed_pair) = PrekeySecret::generate_signed(&bob, 1, now, rng)?;
//! let (one_time, one_time_pair) = PrekeySecret::generate_one_time(&bob, 1, now, rng)?;
//! let bundle = v1::PrekeyBundle {
//!     device_id: bob.device.to_wire(),
//!     signed_pair: signed_pair.as_bytes().clone(),
//!     one_time_pair: one_time_pair.as_bytes().clone(),
//! };
//! let bundle = PrekeyBundle::check(&bundle, &bob_manifest).unwrap();
//!
//! // Alice writes. The handshake travels in the envelope, and Alice's name inside it.
//! let session = initiate(&alice, &bundle, 0, now, rng)?;
//! let sealed = session.encrypt(b"hello", rng)?;
//! let alices = sealed.session; // durable before the envelope leaves
//!
//! // Bob opens it, and answers in the same session.
//! let envelope = Envelope::parse(&sealed.envelope)?;
//! let keys = ResponderKeys { signed: &signed, one_time: Some(&one_time) };
//! let accepted = accept(&bob, &envelope, &keys, now)?;
//! assert_eq!(accepted.opened.content.as_slice(), b"hello");
//! assert_eq!(accepted.initiator.account, alice.account);
//! drop(one_time); // destroyed in the same batch
//! let sealed = accepted.opened.session.encrypt(b"hello yourself", rng)?;
//!
//! let opened = alices.decrypt(&Envelope::parse(&sealed.envelope)?, None, now)?;
//! assert_eq!(opened.content.as_slice(), b"hello yourself");
//! assert!(opened.prefix_ended);
//! # Ok::<(), waxwing_ratchet::RatchetError>(())
//! ```
//!
//! `examples/two_devices` is a whole program: two devices with all their rows, over a network that loses,
//! delays and doubles.
//!
//! # What is stored
//!
//! All rows that one message changes are committed in one batch, durably, before the envelope leaves
//! or the content is shown. All but the prefix are secret: seal them.
//!
//! | row | made by | changes |
//! |---|---|---|
//! | session, at most 1 KiB | [`Session::hot_row`] | with each message |
//! | prefix of a handshake | [`Session::prefix_row`] | once; goes with [`Opened::prefix_ended`] |
//! | KEM epoch under way | [`Sealed::kem`], [`Opened::kem`] | while units travel |
//! | skipped keys | [`Opened::skipped_added`] | go with [`Opened::skipped_removed`] |
//! | hashes of what was sent | [`SentHashes::record`] | with each message sent |
//! | sessions of a device | [`SessionSet::encode`] | when one comes or goes |
//! | handshake to session | [`Session::handshake_id`] | once, on the side that accepts |
//! | prekeys | [`PrekeySecret::encode`] | one-time ones go when they are used |
//!
//! [`Session::restore`] puts a session together again. The [`TagTable`] is a cache: it is made anew
//! from sessions and skipped keys.
//!
//! # What an attacker controls
//!
//! Every byte of an envelope. [`Envelope::parse`] and [`find`] are all that a forged one gets: one look-up
//! and a header opening for each live header key, and nothing is stored. An authenticated peer can make a
//! chain of at most 1000 envelopes and with a jump cost at most 2000 key derivations
//! ([`waxwing_proto::limits`] names every bound). A server can withhold, delay, repeat and reorder.
//!
//! # Errors
//!
//! [`RatchetError`] says by whose fault. Those for which [`RatchetError::is_alarm`] holds, and
//! [`Acknowledgement::Foreign`], mean that a device exists twice: show them, and answer nothing.
//! [`RatchetError::Replay`], [`RatchetError::Superseded`] and [`RatchetError::UnknownTag`] are the
//! network's: drop the envelope. A session after [`RatchetError::ChainExhausted`] or
//! [`Opened::epoch_failed`] needs a new one beside it: [`initiate_next`].

mod continuity;
mod envelope;
mod error;
mod handshake;
mod ids;
mod prekeys;
mod sent;
mod session;
mod session_set;
mod tags;

pub use continuity::Continuation;
pub use envelope::Envelope;
pub use error::RatchetError;
pub use handshake::{
    Accepted, Claim, Initiator, LocalDevice, Prefix, ResponderKeys, accept, initiate, initiate_next,
};
pub use ids::{ContinuityId, HandshakeId, SessionId, SkippedId, Tag};
pub use prekeys::PrekeySecret;
pub use sent::{Acknowledgement, SentChanges, SentHashes, SentRowId};
pub use session::kem::EpochPhase;
pub use session::kem_row::{KemChanges, KemRowId};
pub use session::message_key::MessageKey;
pub use session::skipped::SkippedRow;
pub use session::{Opened, Role, Sealed, SentHash, Session};
pub use session_set::{Judged, Placed, Placement, SessionSet};
pub use tags::{Found, TagChanges, TagHit, TagTable, find};

#[cfg(test)]
mod tests;

/// The day of a time in seconds since the Unix epoch.
pub(crate) fn day(now: u64) -> waxwing_identity::Day {
    u32::try_from(now.checked_div(86_400).unwrap_or(0)).unwrap_or(u32::MAX)
}
