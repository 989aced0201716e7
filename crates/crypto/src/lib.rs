// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secret keys and what is done with them.
//!
//! Each secret is a type of its own, lives on the heap, is wiped on drop, and cannot be copied,
//! printed, compared or serialised by accident. A method whose name begins with `expose` or that
//! gives a sealed row is a place to review.
//!
//! - [`recovery`]: the 24 words and the account key. [`device`]: a device's two long-term secrets.
//! - [`signing`]: Ed25519 over labelled structs. [`dh`], [`kem`]: X25519 and ML-KEM, over [`backend`].
//! - [`kdf`], [`labels`], [`aead`], [`prf`]: derivation in one framing, AES-256-GCM, AES-256 blocks.
//! - [`sealing`]: the client's store at rest, and the slots of a rendezvous.
//!
//! There is no I/O here, no clock, and no protocol state; randomness is an argument. The source
//! of each construction is named where it stands.

pub mod aead;
pub mod backend;
pub mod device;
pub mod dh;
pub mod error;
pub mod kdf;
pub mod kem;
pub mod labels;
pub mod prf;
pub mod recovery;
pub mod sealing;
pub mod secret;
mod secret_bytes;
pub mod signing;

pub use device::DeviceSecrets;
pub use dh::DhSecret;
pub use error::{CryptoError, WordsError};
pub use kem::{KemSecret768, KemSecret1024};
pub use recovery::RecoveryWords;
pub use sealing::{MasterKey, PassphraseCost, RendezvousKey, StoreKeys};
pub use secret::{Scratch, Secret};
pub use secret_bytes::SecretBytes;
pub use signing::{AccountSecret, DeviceSigningSecret};
