// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings of a server that is not this crate and asks every client who it is.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use waxwing_transport::tls::ServerIdentity;

/// Asks, takes whatever is shown, and goes on without.
#[derive(Debug)]
struct Asking {
    for_raw_keys: bool,
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        panic!("TLS 1.2 is off")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ]
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.for_raw_keys
    }
}

/// Settings with the key of `identity`, which ask for a certificate or for a raw key.
pub(crate) fn asking(
    provider: &Arc<CryptoProvider>,
    identity: &ServerIdentity,
    alpn: &[u8],
    for_raw_keys: bool,
) -> ServerConfig {
    let der = PrivatePkcs8KeyDer::from(identity.to_pkcs8().to_vec());
    let key = provider.key_provider.load_private_key(der.into()).unwrap();
    let spki = key.public_key().unwrap().to_vec();
    let key = CertifiedKey::new(vec![CertificateDer::from(spki)], key);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Asking { for_raw_keys }))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(
            key,
        ))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}
