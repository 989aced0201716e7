// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server's key: how clients recognise it. It lies in one file, closed to other users.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use waxwing_proto::{KeyPin, ServerAddress};
use waxwing_transport::Entropy as _;
use waxwing_transport::platform::SystemEntropy;
use waxwing_transport::quic::{ListenerSettings, QuicListener, ServerIdentity, StableKeys};
use waxwing_transport::tcp::{TcpListener, TcpListenerSettings};
use waxwing_transport::tls::Tickets;
use waxwing_transport::{Listener, Listeners};
use zeroize::Zeroizing;

use crate::config::{Configuration, Offer};
use crate::failure::Failure;
use crate::{platform, text};

/// The server's key pair.
pub(crate) struct ServerKey {
    identity: ServerIdentity,
    /// The pin of the key that is to follow. Links carry it beside the present one, and clients are told.
    next: Option<KeyPin>,
}

impl ServerKey {
    /// Makes a key and writes it, durably, to a file that is not there yet.
    pub(crate) fn create(path: &Path) -> Result<(), Failure> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemEntropy.fill(seed.as_mut_slice());
        let identity =
            ServerIdentity::from_seed(&seed).map_err(|error| text::bug(&error.to_string()))?;
        platform::write_private_file(path, &identity.to_pkcs8())
            .map_err(|error| text::folder_failed(path, &error))
    }

    /// Reads the key.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(text::key_unreadable(path, text::KEY_MISSING));
            }
            Err(error) => return Err(text::key_unreadable(path, &error.to_string())),
        };
        let identity = ServerIdentity::from_pkcs8(&bytes)
            .map_err(|error| text::key_unreadable(path, &error.to_string()))?;
        Ok(Self {
            identity,
            next: None,
        })
    }

    /// The same key, where the one in `path` is to follow; as it is where there is no such file.
    pub(crate) fn followed_by(self, path: &Path) -> Result<Self, Failure> {
        let next = match path.try_exists() {
            Ok(false) => None,
            _ => {
                let next = Self::load(path);
                let next = next.map_err(|why| text::next_key_unreadable(path, &why))?;
                Some(next.identity.key_pin())
            }
        };
        Ok(Self { next, ..self })
    }

    /// What clients will know the server by, in hexadecimal digits.
    pub(crate) fn next_pin_hex(&self) -> Option<String> {
        let pin = self.next?;
        Some(data_encoding::HEXLOWER.encode(&pin.0))
    }

    /// What clients know the server by, in hexadecimal digits.
    pub(crate) fn pin_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.identity.key_pin().0)
    }

    /// The server as links name it.
    pub(crate) fn address(&self, configuration: &Configuration) -> Result<ServerAddress, Failure> {
        Ok(ServerAddress {
            host: configuration.public_host()?,
            port: configuration.public_port(),
            key_pins: self.key_pins(),
        })
    }

    /// By which keys clients know the server: the present one, then the one that is to follow.
    pub(crate) fn key_pins(&self) -> Vec<KeyPin> {
        core::iter::once(self.identity.key_pin())
            .chain(self.next)
            .collect()
    }

    /// Takes connections. Needs a running tokio runtime.
    pub(crate) fn listen(
        &self,
        configuration: &Configuration,
        tickets: Option<&Arc<Tickets>>,
    ) -> Result<Arc<dyn Listener>, Failure> {
        let mut listeners = Vec::new();
        for offer in &configuration.transports {
            listeners.push(match offer {
                Offer::Quic => self.listen_quic(configuration, tickets)?,
                Offer::Tcp => self.listen_tcp(configuration, tickets)?,
            });
        }
        Ok(Arc::new(Listeners::new(listeners)))
    }

    fn listen_tcp(
        &self,
        configuration: &Configuration,
        tickets: Option<&Arc<Tickets>>,
    ) -> Result<Arc<dyn Listener>, Failure> {
        // TRN-41.
        let listen = configuration.listen;
        let settings = TcpListenerSettings {
            connections_max: platform::connections_allowed(),
            ..TcpListenerSettings::default()
        };
        let listener = TcpListener::bind(listen, &self.identity, tickets, settings)
            .map_err(|error| text::listener_failed(listen, "TCP", &error))?;
        Ok(Arc::new(listener))
    }

    fn listen_quic(
        &self,
        configuration: &Configuration,
        tickets: Option<&Arc<Tickets>>,
    ) -> Result<Arc<dyn Listener>, Failure> {
        let keys = self.stable_keys();
        let listen = configuration.listen;
        let settings = ListenerSettings {
            constant_packets: configuration.constant_packets,
            ..ListenerSettings::default()
        };
        let listener = QuicListener::bind(listen, &self.identity, &keys, tickets, settings)
            .map_err(|error| text::listener_failed(listen, "UDP", &error))?;
        let buffers = listener.socket_buffers();
        // Once, at the start: under load the difference decides how long the slowest wait.
        tracing::info!(
            receive_bytes = buffers.receive_bytes,
            send_bytes = buffers.send_bytes,
            is_limited = buffers.is_limited(),
            "socket buffers"
        );
        Ok(Arc::new(listener))
    }

    /// Keys that stay the same over restarts. Each follows from the secret key under a label of its
    /// own: SHA-256 over a label and 32 uniform secret bytes is a key derivation (a fixed length
    /// cannot be extended).
    fn stable_keys(&self) -> StableKeys {
        let secret = self.identity.to_pkcs8();
        let derive = |label: &[u8]| {
            let mut hash = Sha256::new();
            hash.update(label);
            hash.update(secret.as_slice());
            hash.finalize().into()
        };
        StableKeys {
            reset: derive(b"waxwing/1 server stateless reset\0"),
            token: derive(b"waxwing/1 server address token\0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [TRN-65].
    #[test]
    fn a_key_is_made_once_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        assert_eq!(
            ServerKey::load(&path).err().unwrap().code,
            "server_key_unreadable"
        );
        ServerKey::create(&path).unwrap();
        let (one, two) = (
            ServerKey::load(&path).unwrap(),
            ServerKey::load(&path).unwrap(),
        );
        assert_eq!(one.pin_hex(), two.pin_hex());
        assert_eq!(one.stable_keys().reset, two.stable_keys().reset);
        assert_ne!(one.stable_keys().reset, one.stable_keys().token);
        assert_eq!(platform::exposure(&path).unwrap(), None);
        std::fs::write(&path, b"no key").unwrap();
        assert_eq!(
            ServerKey::load(&path).err().unwrap().code,
            "server_key_unreadable"
        );
    }
}
