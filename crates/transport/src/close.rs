// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The numbers with which links and streams end, and why a link is over.

use core::fmt;

/// Why one side closes a link. Travels as a QUIC application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// The side has no more use for the link.
    Done,
    /// The peer broke the protocol.
    ProtocolViolation,
    /// There is no protocol version in common.
    UpgradeRequired,
    /// The server ends; another attempt later may reach its successor.
    ShuttingDown,
    /// The server has as many links as it can carry.
    Overloaded,
    /// The client's device was removed, or another reason of the layer above.
    Revoked,
    /// A code of a later version.
    Other(u32),
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        // TRN-22.
        match self {
            Self::Done => 0,
            Self::ProtocolViolation => 1,
            Self::UpgradeRequired => 2,
            Self::ShuttingDown => 3,
            Self::Overloaded => 4,
            Self::Revoked => 5,
            Self::Other(code) => code,
        }
    }

    /// Reads the number. Every number has a meaning; unknown ones are kept.
    #[must_use]
    pub const fn from_wire(code: u32) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::ProtocolViolation,
            2 => Self::UpgradeRequired,
            3 => Self::ShuttingDown,
            4 => Self::Overloaded,
            5 => Self::Revoked,
            other => Self::Other(other),
        }
    }
}

/// Why one side gives up one direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamCode {
    /// The side is not interested any more.
    Cancelled,
    /// A frame announced more bytes than the limit.
    TooLarge,
    /// A frame was not the message that belongs there.
    Malformed,
    /// The frame did not come in time.
    DeadlineExceeded,
    /// A code of a later version.
    Other(u32),
}

impl StreamCode {
    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Cancelled => 0,
            Self::TooLarge => 1,
            Self::Malformed => 2,
            Self::DeadlineExceeded => 3,
            Self::Other(code) => code,
        }
    }

    /// Reads the number. Every number has a meaning; unknown ones are kept.
    #[must_use]
    pub const fn from_wire(code: u32) -> Self {
        match code {
            0 => Self::Cancelled,
            1 => Self::TooLarge,
            2 => Self::Malformed,
            3 => Self::DeadlineExceeded,
            other => Self::Other(other),
        }
    }
}

/// Why a link is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    Local(CloseCode),
    /// The peer closed it. Both fields are the peer's choice.
    Peer {
        /// Its reason.
        code: CloseCode,
        /// When it wants to be called again; `None` where it said nothing.
        retry_after_ms: Option<u32>,
    },
    /// Nothing was heard from the peer for the idle time.
    TimedOut,
    /// The peer has forgotten the link: it was restarted.
    Reset,
    /// The transport of one side found a fault in what the other sent.
    Fault,
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::ProtocolViolation => f.write_str("protocol violation"),
            Self::UpgradeRequired => f.write_str("upgrade required"),
            Self::ShuttingDown => f.write_str("shutting down"),
            Self::Overloaded => f.write_str("overloaded"),
            Self::Revoked => f.write_str("revoked"),
            Self::Other(code) => write!(f, "code {code}"),
        }
    }
}

impl fmt::Display for StreamCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::TooLarge => f.write_str("too large"),
            Self::Malformed => f.write_str("malformed"),
            Self::DeadlineExceeded => f.write_str("deadline exceeded"),
            Self::Other(code) => write!(f, "code {code}"),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(code) => write!(f, "by this side: {code}"),
            Self::Peer { code, .. } => write!(f, "by the peer: {code}"),
            Self::TimedOut => f.write_str("the peer is silent"),
            Self::Reset => f.write_str("the peer was restarted"),
            Self::Fault => f.write_str("a fault of the transport"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [TRN-22].
    #[test]
    fn each_code_has_its_number() {
        let closes = [
            (0, CloseCode::Done),
            (1, CloseCode::ProtocolViolation),
            (2, CloseCode::UpgradeRequired),
            (3, CloseCode::ShuttingDown),
            (4, CloseCode::Overloaded),
            (5, CloseCode::Revoked),
            (6, CloseCode::Other(6)),
        ];
        for (number, code) in closes {
            assert_eq!(code.to_wire(), number, "{code}");
            assert_eq!(CloseCode::from_wire(number), code);
        }
        let streams = [
            (0, StreamCode::Cancelled),
            (1, StreamCode::TooLarge),
            (2, StreamCode::Malformed),
            (3, StreamCode::DeadlineExceeded),
            (4, StreamCode::Other(4)),
        ];
        for (number, code) in streams {
            assert_eq!(code.to_wire(), number, "{code}");
            assert_eq!(StreamCode::from_wire(number), code);
        }
    }

    #[test]
    fn codes_round_trip() {
        for code in 0..300 {
            assert_eq!(CloseCode::from_wire(code).to_wire(), code);
            assert_eq!(StreamCode::from_wire(code).to_wire(), code);
        }
    }
}
