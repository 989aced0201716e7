// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wire format of Waxwing.
//!
//! Three things live here, because every other crate has to agree on them: the protobuf messages
//! of `proto/waxwing/v1` ([`v1`]), the identifiers and names that they carry, in strict types
//! ([`ids`], [`name`], [`server`]), and every bound of the system in one place ([`limits`]).
//!
//! There is no cryptography and no I/O here. What is signed or hashed is signed and hashed over
//! the exact bytes as received or over a fixed layout of `waxwing-identity`, never over a
//! re-encoded protobuf message.

pub mod ids;
pub mod limits;
pub mod name;
pub mod server;

pub use ids::{
    AccountKey, DeliveryId, DeviceId, EnvelopeId, InviteToken, MessageId, RendezvousLocator,
};
pub use name::{AccountName, Address, Host};
pub use server::{KeyPin, ServerAddress};

/// The generated messages of `proto/waxwing/v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code; the .proto files carry the documentation"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/waxwing.v1.rs"));
}

include!(concat!(env!("OUT_DIR"), "/early.rs"));

/// A value that came from outside and breaks a rule of the wire format.
///
/// Holds no bytes of the value: it may be shown and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A field has another length than its type demands.
    #[error("{field} has a wrong length")]
    Length {
        /// The field's name in the `.proto` file.
        field: &'static str,
    },
    /// A field that must be there is missing.
    #[error("{field} is missing")]
    Missing {
        /// The field's name in the `.proto` file.
        field: &'static str,
    },
    /// A name, host or address breaks its grammar.
    #[error("{field} is not well formed")]
    Syntax {
        /// The field's name in the `.proto` file.
        field: &'static str,
    },
    /// More elements or bytes than [`limits`] allows.
    #[error("{field} is over its limit")]
    Limit {
        /// The field's name in the `.proto` file.
        field: &'static str,
    },
}
