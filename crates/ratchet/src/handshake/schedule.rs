// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key schedule of the handshake, in the order in which either side can follow it.
//!
//! `h0 = SHA256("hs0" || suite || AIK_B || dev_B || head_B || IKs_B || IKd_B || SPK || OPK|z || ek ||
//! EK || ct)`; `k_id || c0 = KDF(z, DH(EK,SPK) || DH(EK,OPK)|z || ss, "hs-id", h0)`;
//! `th = SHA256("hs1" || h0 || id plaintext || IKs_A || IKd_A)`;
//! `c1 || k_conf = KDF(c0, DH(IKd_A,SPK) || DH(EK,IKd_B), "hs", th)`; `conf = HMAC(k_conf, th)`;
//! `RK || HK_A || HK_B = KDF(CONT_pred|z, c1, "hs-root", th)`.

use waxwing_crypto::{Secret, kdf, labels, secret};
use waxwing_identity::prekey::SUITE;
use waxwing_identity::{DeviceDhKey, DeviceSigningKey, ManifestHead};
use waxwing_proto::{AccountKey, DeviceId};

use crate::SessionId;
use crate::session::header::HeaderKeys;
use crate::session::root_key::RootKey;

/// The public inputs of `h0`. The responder takes all but the last two from its own records.
pub(super) struct Transcript<'a> {
    pub(super) account: &'a AccountKey,
    pub(super) device: &'a DeviceId,
    pub(super) head: &'a ManifestHead,
    pub(super) signing_key: &'a DeviceSigningKey,
    pub(super) dh_key: &'a DeviceDhKey,
    pub(super) signed_prekey: &'a [u8; 32],
    pub(super) one_time_prekey: Option<&'a [u8; 32]>,
    pub(super) kem_key: &'a [u8],
    pub(super) ephemeral: &'a [u8; 32],
    pub(super) ciphertext: &'a [u8],
}

impl Transcript<'_> {
    fn h0(&self) -> [u8; 32] {
        // SES-8.
        kdf::sha256(&[
            labels::TRANSCRIPT_0,
            &SUITE.to_be_bytes(),
            self.account.as_bytes(),
            self.device.as_bytes(),
            &self.head.version.to_be_bytes(),
            self.head.hash.as_bytes(),
            self.signing_key.as_bytes(),
            self.dh_key.as_bytes(),
            self.signed_prekey,
            self.one_time_prekey.unwrap_or(&kdf::Z),
            self.kem_key,
            self.ephemeral,
            self.ciphertext,
        ])
    }
}

/// After the prekey part: what hides the initiator's identity.
pub(super) struct Hidden {
    /// Single use, so the nonce may be zero.
    pub(super) identity_key: Secret<32>,
    h0: [u8; 32],
    chaining: Secret<32>,
}

impl Hidden {
    /// From `DH(EK,SPK)`, `DH(EK,OPK)` where there is a one-time pair, and the KEM's secret.
    pub(super) fn derive(
        transcript: &Transcript<'_>,
        signed: &Secret<32>,
        one_time: Option<&Secret<32>>,
        kem: &Secret<32>,
    ) -> Self {
        // SES-9.
        let h0 = transcript.h0();
        let one_time = one_time.map_or(&kdf::Z, Secret::expose);
        let derived: Secret<64> = kdf::derive(
            &kdf::Z,
            &[signed.expose(), one_time, kem.expose()],
            labels::HANDSHAKE_ID,
            &h0,
        );
        let [identity_key, chaining] = secret::split(derived.expose());
        Self {
            identity_key,
            h0,
            chaining,
        }
    }

    /// From `DH(IKd_A,SPK)` and `DH(EK,IKd_B)`, once the initiator's identity is known.
    pub(super) fn authenticate(
        self,
        identity: &[u8],
        signing_key: &DeviceSigningKey,
        dh_key: &DeviceDhKey,
        initiator: &Secret<32>,
        responder: &Secret<32>,
    ) -> Authenticated {
        // SES-11, SES-12.
        let th = kdf::sha256(&[
            labels::TRANSCRIPT_1,
            &self.h0,
            identity,
            signing_key.as_bytes(),
            dh_key.as_bytes(),
        ]);
        let derived: Secret<64> = kdf::derive(
            self.chaining.expose(),
            &[initiator.expose(), responder.expose()],
            labels::HANDSHAKE,
            &th,
        );
        let [chaining, confirmation] = secret::split(derived.expose());
        Authenticated {
            session: SessionId::new(th),
            confirmation: kdf::hmac(confirmation.expose(), &[&th]),
            chaining,
        }
    }
}

/// After the identity part: both devices' keys are bound to the transcript.
pub(super) struct Authenticated {
    pub(super) session: SessionId,
    /// `conf`.
    pub(super) confirmation: Secret<32>,
    chaining: Secret<32>,
}

/// The first root key and the header keys of both sides' first chains.
pub(super) struct Root {
    pub(super) root: RootKey,
    pub(super) initiator_header: HeaderKeys,
    pub(super) responder_header: HeaderKeys,
}

impl Authenticated {
    /// The end of the handshake, with the continuity secret of the session that this one continues,
    /// or none. What comes before authenticates the claim; this makes it count.
    pub(super) fn root(self, continuity: Option<&Secret<32>>) -> Root {
        // SES-13.
        let derived: Secret<96> = kdf::derive(
            continuity.map_or(&kdf::Z, Secret::expose),
            &[self.chaining.expose()],
            labels::HANDSHAKE_ROOT,
            self.session.as_bytes(),
        );
        let [root, initiator, responder] = secret::split(derived.expose());
        Root {
            root: RootKey::new(root),
            initiator_header: HeaderKeys::derive(&initiator),
            responder_header: HeaderKeys::derive(&responder),
        }
    }
}
