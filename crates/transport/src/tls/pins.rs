// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recognises a server by the hash of its raw public key (RFC 7250).

#[cfg(feature = "quic")]
use core::cell::Cell;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, PeerIncompatible,
    PeerMisbehaved, SignatureScheme,
};
use waxwing_proto::KeyPin;

use super::identity::pin_of;

#[cfg(feature = "quic")]
thread_local! {
    /// Whether a server proved a key on this thread, since somebody asked last.
    static IS_PROVED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a server proved its key while `reads` read of a handshake. A resumed one proves nothing.
#[cfg(feature = "quic")]
pub(crate) fn proves_key<T>(reads: impl FnOnce() -> T) -> (T, bool) {
    IS_PROVED.set(false);
    let read = reads();
    (read, IS_PROVED.take())
}

/// Accepts the keys that the pins name.
#[derive(Debug)]
pub(crate) struct PinnedKeys {
    pins: Vec<KeyPin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedKeys {
    pub(crate) const fn new(pins: Vec<KeyPin>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { pins, algorithms }
    }
}

/// The pin of the key that a server showed: a raw public key stands alone.
pub(crate) fn shown_key(shown: &[CertificateDer<'_>]) -> Option<KeyPin> {
    match shown {
        [key] => Some(pin_of(key)),
        _ => None,
    }
}

/// The error of a handshake with a server that showed a key which none of the pins names. Nothing else
/// in this program's handshakes gives it.
const OTHER_KEY: CertificateError = CertificateError::ApplicationVerificationFailure;

/// Whether a handshake ended because of [`OTHER_KEY`].
#[cfg(feature = "tcp")]
pub(crate) fn is_other_key(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(reason) if *reason == OTHER_KEY)
}

/// The alert that this side sends then, which is all that remains of the error where TLS runs inside
/// QUIC.
#[cfg(feature = "quic")]
pub(crate) fn other_key_alert() -> u8 {
    AlertDescription::from(OTHER_KEY).into()
}

impl ServerCertVerifier for PinnedKeys {
    /// `end_entity` is a SubjectPublicKeyInfo, as raw public keys are required below. The name and
    /// the time say nothing about a pinned key.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // TRN-3.
        // RFC 7250, section 3: a raw public key stands alone.
        if !intermediates.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        if self.pins.contains(&pin_of(end_entity)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(OTHER_KEY))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if dss.scheme != SignatureScheme::ED25519 {
            return Err(Error::PeerMisbehaved(
                PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme,
            ));
        }
        let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
        let verified = verify_tls13_signature_with_raw_key(message, &spki, dss, &self.algorithms);
        #[cfg(feature = "quic")]
        IS_PROVED.set(verified.is_ok());
        verified
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
