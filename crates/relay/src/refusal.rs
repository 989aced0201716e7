// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a call was refused, as the client is told: one place where typed refusals become codes.

use waxwing_proto::{WireError, v1};
use waxwing_storage::server::{
    AppendRefusal, CreateDeliveryIdsRefusal, GenerationRefusal, PublishRefusal, RegisterRefusal,
    ReplaceRefusal, TakeRefusal,
};

use crate::admission::Refused;
use crate::rendezvous::RendezvousError;
use v1::ErrorCode;

/// How long a client waits before it asks a server again that cannot store anything, in
/// milliseconds.
pub(crate) const UNAVAILABLE_RETRY_MS: u32 = 5_000;
/// How long a sender waits before it tries a full mailbox again, in milliseconds.
const MAILBOX_FULL_RETRY_MS: u32 = 60_000;

// TRN-19.
/// A refusal. There is no text in it: the code decides what a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) retry_after_ms: Option<u32>,
}

impl Refusal {
    pub(crate) const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            retry_after_ms: None,
        }
    }

    pub(crate) const MALFORMED: Self = Self::new(ErrorCode::Malformed);
    pub(crate) const UNAVAILABLE: Self = Self {
        code: ErrorCode::Unavailable,
        retry_after_ms: Some(UNAVAILABLE_RETRY_MS),
    };

    /// As the client is told.
    pub(crate) fn to_wire(self) -> v1::Error {
        v1::Error {
            code: self.code.into(),
            retry_after_ms: self.retry_after_ms.unwrap_or(0),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl From<WireError> for Refusal {
    fn from(_: WireError) -> Self {
        Self::MALFORMED
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self {
            code: ErrorCode::RateLimited,
            retry_after_ms: Some(refused.retry_after_ms),
        }
    }
}

impl From<RendezvousError> for Refusal {
    fn from(error: RendezvousError) -> Self {
        match error {
            RendezvousError::Taken => Self::new(ErrorCode::RendezvousTaken),
            RendezvousError::Malformed => Self::MALFORMED,
            RendezvousError::Full { retry_after_ms } => Self {
                code: ErrorCode::Unavailable,
                retry_after_ms: Some(u32::try_from(retry_after_ms).unwrap_or(u32::MAX)),
            },
        }
    }
}

impl From<RegisterRefusal> for Refusal {
    fn from(refusal: RegisterRefusal) -> Self {
        Self::new(match refusal {
            RegisterRefusal::InviteMissing => ErrorCode::InviteRequired,
            RegisterRefusal::InviteUnknown => ErrorCode::InviteUnknown,
            RegisterRefusal::InviteUsed => ErrorCode::InviteUsed,
            RegisterRefusal::InviteExpired => ErrorCode::InviteExpired,
            RegisterRefusal::NameTaken => ErrorCode::NameTaken,
            RegisterRefusal::NameHeld => ErrorCode::NameHeld,
            RegisterRefusal::AccountExists => ErrorCode::AccountExists,
            // Two equal draws of 128 random bits are a client without randomness.
            RegisterRefusal::DeliveryIdTaken => ErrorCode::Malformed,
        })
    }
}

impl From<ReplaceRefusal> for Refusal {
    fn from(refusal: ReplaceRefusal) -> Self {
        Self::new(match refusal {
            ReplaceRefusal::UnknownAccount => ErrorCode::NotFound,
            ReplaceRefusal::HeadMoved { .. } => ErrorCode::ManifestConflict,
            ReplaceRefusal::TooManyVersions => ErrorCode::LimitReached,
        })
    }
}

impl From<GenerationRefusal> for Refusal {
    fn from(refusal: GenerationRefusal) -> Self {
        Self::new(match refusal {
            GenerationRefusal::UnknownDevice => ErrorCode::DeviceNotListed,
            GenerationRefusal::Lower { .. } => ErrorCode::GenerationRolledBack,
        })
    }
}

impl From<PublishRefusal> for Refusal {
    fn from(refusal: PublishRefusal) -> Self {
        Self::new(match refusal {
            PublishRefusal::UnknownDevice => ErrorCode::DeviceNotListed,
            PublishRefusal::TooMany => ErrorCode::LimitReached,
        })
    }
}

impl From<TakeRefusal> for Refusal {
    fn from(refusal: TakeRefusal) -> Self {
        match refusal {
            // The account was closed after its delivery id was looked up.
            TakeRefusal::UnknownAccount => Self::new(ErrorCode::DeliveryIdGone),
        }
    }
}

impl From<CreateDeliveryIdsRefusal> for Refusal {
    fn from(refusal: CreateDeliveryIdsRefusal) -> Self {
        Self::new(match refusal {
            CreateDeliveryIdsRefusal::UnknownAccount => ErrorCode::NotFound,
            CreateDeliveryIdsRefusal::Taken => ErrorCode::Malformed,
            CreateDeliveryIdsRefusal::TooMany => ErrorCode::LimitReached,
        })
    }
}

/// What is left of an [`AppendRefusal`] once stale devices are answered as an outcome.
pub(crate) fn of_append(refusal: &AppendRefusal) -> Refusal {
    match refusal {
        AppendRefusal::DeliveryIdGone => Refusal::new(ErrorCode::DeliveryIdGone),
        // BOX-73.
        AppendRefusal::MailboxFull => Refusal {
            code: ErrorCode::MailboxFull,
            retry_after_ms: Some(MAILBOX_FULL_RETRY_MS),
        },
        AppendRefusal::StaleDevices { .. } => Refusal::UNAVAILABLE,
    }
}
