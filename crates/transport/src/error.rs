// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Errors, one enum for each level: a link, a stream of it, a call on it.
//!
//! In each the families by fault follow one another: the peer's, the network's, the caller's, the
//! local machine's. None holds secrets or text that a peer chose. Every error has a stable
//! snake_case `code`.

use waxwing_proto::v1;

use crate::close::{CloseReason, StreamCode};

/// Why a link could not be made, or cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The server showed a key that none of the pins names. Whoever answers is not the server that
    /// the address means, or the server was given a new key without notice.
    #[error("the server's key is not the pinned one")]
    ServerKeyMismatch,
    /// The peer shares no cipher suite, key exchange or application protocol with this side, or
    /// broke a rule of the handshake.
    #[error("the handshake with the peer failed")]
    Handshake,
    /// The server takes no new links: it ends, or it carries as many as it can.
    #[error("the server takes no new connections")]
    Refused,
    /// The link is over.
    #[error("the link is closed: {0}")]
    Closed(CloseReason),

    /// Nobody answered in time.
    #[error("nobody answered in time")]
    TimedOut,
    /// The host's name has no address.
    #[error("the host's name could not be resolved")]
    NameNotResolved,

    /// The proxy does not answer, or broke off.
    #[error("the proxy cannot be reached")]
    ProxyUnreachable,
    /// The proxy does not carry connections to this server, or is none.
    #[error("the proxy refuses to connect to the server")]
    ProxyRefused,

    /// The address has no pin: a link without one would trust anybody.
    #[error("the address names no key pin")]
    NoKeyPin,

    /// The operating system refused a socket.
    #[error("the operating system refused a socket: {0}")]
    Socket(std::io::ErrorKind),
    /// A key or a setting that this process was given cannot be used.
    #[error("the local transport settings cannot be used: {0}")]
    Settings(&'static str),
}

impl LinkError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ServerKeyMismatch => "server_key_mismatch",
            Self::Handshake => "handshake_failed",
            Self::Refused => "connection_refused",
            Self::Closed(_) => "link_closed",
            Self::TimedOut => "connect_timed_out",
            Self::NameNotResolved => "host_not_found",
            Self::ProxyUnreachable => "proxy_unreachable",
            Self::ProxyRefused => "proxy_refused",
            Self::NoKeyPin => "no_key_pin",
            Self::Socket(_) => "socket",
            Self::Settings(_) => "transport_settings",
        }
    }
}

/// What is wrong with one stream. The link as a whole may be well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A frame announces more bytes than the limit. Nothing was allocated for it.
    #[error("a frame of {announced_bytes} bytes is over the limit of {limit_bytes}")]
    FrameTooLarge {
        /// The length that stands before the frame.
        announced_bytes: u32,
        /// The limit that the receiver set.
        limit_bytes: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// A frame is not the protobuf message that belongs here.
    #[error("a frame is not the expected message")]
    Malformed,
    /// The peer gave up its sending side.
    #[error("the peer reset the stream ({0})")]
    Reset(StreamCode),
    /// The peer does not want more from this side.
    #[error("the peer stopped the stream ({0})")]
    Stopped(StreamCode),

    /// The link is over.
    #[error("the link is closed: {0}")]
    Closed(CloseReason),

    /// The caller handed over a message that is larger than the limit it named, or that the frame
    /// length cannot express.
    #[error("a message of {size_bytes} bytes is over the limit of {limit_bytes}")]
    MessageTooLarge {
        /// The size of the encoded message.
        size_bytes: usize,
        /// The limit that the caller set.
        limit_bytes: usize,
    },
    /// The caller has finished or reset this side before.
    #[error("this side of the stream was finished before")]
    Finished,
}

impl StreamError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::FrameTooLarge { .. } => "frame_too_large",
            Self::Truncated => "frame_truncated",
            Self::Malformed => "frame_malformed",
            Self::Reset(_) => "stream_reset",
            Self::Stopped(_) => "stream_stopped",
            Self::Closed(_) => "link_closed",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::Finished => "stream_finished",
        }
    }
}

/// Who has to install a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// The client speaks only versions that the server has given up.
    Client,
    /// The server does not speak the client's versions yet.
    Server,
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server answered with an error.
    #[error("the server refused: {}", code.as_str_name())]
    Refused {
        /// What a client decides on. Codes of later versions read as
        /// [`v1::ErrorCode::Unspecified`].
        code: v1::ErrorCode,
        /// When a retry can succeed, counted from now; `None` where no time is known.
        retry_after_ms: Option<u32>,
    },
    /// The two sides have no protocol version in common.
    #[error("the {} must be upgraded", match .0 { Upgrade::Client => "client", Upgrade::Server => "server" })]
    UpgradeRequired(Upgrade),
    /// The peer broke a rule of the protocol on this stream.
    #[error("the peer broke the protocol: {0}")]
    Protocol(StreamError),

    /// The server gave the call up without an answer: it is ending, or it is busy.
    #[error("the server gave the call up")]
    Abandoned,
    /// The deadline passed. The server may or may not have done what was asked.
    #[error("no answer within the deadline")]
    Timeout,
    /// The link ended before the answer. The server may or may not have done what was asked.
    #[error("the link was lost: {0}")]
    LinkLost(LinkError),

    /// The caller's request is too large to be sent, or is not of the kind that the method takes.
    #[error("the request cannot be sent: {0}")]
    Request(StreamError),
}

impl CallError {
    /// The stable code. Of a refusal it is the protobuf name of the server's code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => code.as_str_name(),
            Self::UpgradeRequired(Upgrade::Client) => "upgrade_required_client",
            Self::UpgradeRequired(Upgrade::Server) => "upgrade_required_server",
            Self::Protocol(_) => "protocol_violation",
            Self::Abandoned => "call_abandoned",
            Self::Timeout => "timeout",
            Self::LinkLost(error) => error.code(),
            Self::Request(error) => error.code(),
        }
    }

    /// When a retry can succeed, as far as the peer said so.
    #[must_use]
    pub const fn retry_after_ms(&self) -> Option<u32> {
        match self {
            Self::Refused { retry_after_ms, .. } => *retry_after_ms,
            Self::LinkLost(LinkError::Closed(CloseReason::Peer { retry_after_ms, .. })) => {
                *retry_after_ms
            }
            _ => None,
        }
    }

    /// Whether the same request, under the same ids, may succeed later without anybody's doing.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(
                code,
                v1::ErrorCode::DeadlineExceeded
                    | v1::ErrorCode::RateLimited
                    | v1::ErrorCode::Unavailable
                    | v1::ErrorCode::MailboxFull
            ),
            Self::Timeout | Self::Abandoned => true,
            Self::LinkLost(error) => !matches!(
                error,
                LinkError::ServerKeyMismatch | LinkError::NoKeyPin | LinkError::Settings(_)
            ),
            Self::UpgradeRequired(_) | Self::Protocol(_) | Self::Request(_) => false,
        }
    }
}

impl From<LinkError> for CallError {
    fn from(error: LinkError) -> Self {
        Self::LinkLost(error)
    }
}

impl From<StreamError> for CallError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed(reason) => Self::LinkLost(LinkError::Closed(reason)),
            StreamError::MessageTooLarge { .. } | StreamError::Finished => Self::Request(error),
            StreamError::Reset(StreamCode::DeadlineExceeded)
            | StreamError::Stopped(StreamCode::DeadlineExceeded) => Self::Timeout,
            StreamError::Reset(StreamCode::Cancelled)
            | StreamError::Stopped(StreamCode::Cancelled) => Self::Abandoned,
            StreamError::FrameTooLarge { .. }
            | StreamError::Truncated
            | StreamError::Malformed
            | StreamError::Reset(_)
            | StreamError::Stopped(_) => Self::Protocol(error),
        }
    }
}
