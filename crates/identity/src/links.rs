// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Links and codes that people hand to each other: `waxwing:KIND/…`, a fixed binary layout with a
//! version byte and a checksum, in base64url without padding.
//!
//! A link is as trustworthy as the way on which it came. The checksum finds typing mistakes, no more.

mod contact;
mod device;
mod invite;
mod server;
pub(crate) mod text;

pub use contact::ContactLink;
pub use device::{LinkCode, RendezvousSecret};
pub use invite::InviteLink;
pub use server::ServerLink;
pub use text::LinkKind;

use crate::encoding::LayoutError;

/// A link that cannot be read: a mistake of whoever typed or made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The text does not begin like any link of Waxwing.
    #[error("this is not a waxwing link")]
    NotALink,
    /// A link, but of another kind than is needed here.
    #[error("this is {found}, not {expected}")]
    WrongKind {
        /// What is needed.
        expected: LinkKind,
        /// What the text begins like.
        found: LinkKind,
    },
    /// A typing mistake, or a part is missing.
    #[error("the link has a typing mistake or is incomplete")]
    Checksum,
    /// The link was made by a newer version.
    #[error("the link needs a newer version of waxwing")]
    UnsupportedVersion,
    /// The checksum holds, the rest does not: whoever made the link made it wrong.
    #[error("the link is malformed: {0}")]
    Layout(#[from] LayoutError),
}

impl LinkError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotALink => "not_a_link",
            Self::WrongKind { .. } => "link_wrong_kind",
            Self::Checksum => "link_checksum",
            Self::UnsupportedVersion => "link_unsupported_version",
            Self::Layout(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests;
