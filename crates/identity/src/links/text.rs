// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text form that all links share.

use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use waxwing_proto::limits::LINK_LENGTH_MAX;
use zeroize::Zeroizing;

use super::LinkError;
use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::Digest;
use crate::labels;

const SCHEME: &str = "waxwing:";
const VERSION: u8 = 1;
const CHECKSUM_LENGTH: usize = 4;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// How to reach an account, and its key.
    Contact,
    /// The right to register on a server.
    Invite,
    /// Where a server is and which keys it has.
    Server,
    /// How a new device meets the account's first one.
    Device,
    /// Keys and heads of two accounts, to be compared.
    Verification,
}

impl LinkKind {
    const ALL: [Self; 5] = [
        Self::Contact,
        Self::Invite,
        Self::Server,
        Self::Device,
        Self::Verification,
    ];

    /// The kind that the text begins like. Nothing else of it is checked.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        split(text).map(|(kind, _)| kind)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Invite => "invite",
            Self::Server => "server",
            Self::Device => "link",
            Self::Verification => "verify",
        }
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contact => "a contact link",
            Self::Invite => "an invite link",
            Self::Server => "a server link",
            Self::Device => "a device's link code",
            Self::Verification => "a verification code",
        })
    }
}

/// What stands between version and checksum.
pub(crate) trait Body: Sized {
    const KIND: LinkKind;
    fn write(&self, writer: Writer) -> Result<Writer, LayoutError>;
    fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError>;
}

pub(crate) fn show<B: Body>(body: &B, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // IDN-36.
    let layout = body
        .write(Writer::new().u8(VERSION))
        .map_err(|_| fmt::Error)?
        .into_bytes();
    let checksum = checksum(B::KIND, &layout);
    // A link code holds a secret: the finished copies are wiped, the text is the caller's.
    let layout = Zeroizing::new(layout);
    let whole = Zeroizing::new([layout.as_slice(), &checksum].concat());
    let text = Zeroizing::new(BASE64URL_NOPAD.encode(&whole));
    write!(f, "{SCHEME}{}/{}", B::KIND.word(), text.as_str())
}

pub(crate) fn parse<B: Body>(text: &str) -> Result<B, LinkError> {
    // IDN-37.
    if text.len() > LINK_LENGTH_MAX {
        return Err(LayoutError::Limit.into());
    }
    let (kind, digits) = split(text).ok_or(LinkError::NotALink)?;
    if kind != B::KIND {
        return Err(LinkError::WrongKind {
            expected: B::KIND,
            found: kind,
        });
    }
    let whole = Zeroizing::new(
        BASE64URL_NOPAD
            .decode(digits.as_bytes())
            .map_err(|_| LinkError::Checksum)?,
    );
    let (layout, found) = whole
        .split_last_chunk::<CHECKSUM_LENGTH>()
        .ok_or(LinkError::Checksum)?;
    if *found != checksum(kind, layout) {
        return Err(LinkError::Checksum);
    }
    let mut reader = Reader::new(layout);
    if reader.u8()? != VERSION {
        return Err(LinkError::UnsupportedVersion);
    }
    let body = B::read(&mut reader)?;
    reader.finish()?;
    Ok(body)
}

/// Kind and digits. White space around a pasted link is not part of it.
fn split(text: &str) -> Option<(LinkKind, &str)> {
    let (word, digits) = text.trim().strip_prefix(SCHEME)?.split_once('/')?;
    let kind = LinkKind::ALL.into_iter().find(|kind| kind.word() == word)?;
    Some((kind, digits))
}

/// Covers the kind, so that no part of a link can be changed by a slip.
fn checksum(kind: LinkKind, layout: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let digest = Digest::of(&[labels::LINK_CHECKSUM, kind.word().as_bytes(), b"\0", layout]);
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

/// Text form and parsing for a type with a [`Body`].
macro_rules! link_text {
    ($name:ident) => {
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                $crate::links::text::show(self, f)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::links::LinkError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::links::text::parse(text)
            }
        }
    };
}
pub(crate) use link_text;
