// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One call, and the engine's words for what went wrong with it or with a connection.

use waxwing_engine::{LinkFailure, RequestFailure};
use waxwing_proto::v1;
use waxwing_transport::{CallError, Connection, LinkError, Upgrade};

/// Why there is no connection.
pub(super) const fn connect_failure(error: CallError) -> LinkFailure {
    match error {
        CallError::UpgradeRequired(Upgrade::Client) => LinkFailure::ClientTooOld,
        CallError::UpgradeRequired(Upgrade::Server) => LinkFailure::ServerTooOld,
        CallError::LinkLost(error) => link_failure(error),
        _ => LinkFailure::Unreachable,
    }
}

/// Makes one call.
pub(super) async fn call(
    connection: &Connection,
    call: v1::request::Call,
    deadline_ms: u32,
) -> Result<v1::response::Result, RequestFailure> {
    let answered = match call {
        v1::request::Call::Send(send) => {
            let sent = connection.send(send, deadline_ms).await;
            sent.map(|response| Some(v1::response::Result::Send(response)))
        }
        call => {
            let request = v1::Request {
                deadline_ms,
                call: Some(call),
            };
            let answered = connection.call(request, deadline_ms).await;
            answered.map(|response| response.result)
        }
    };
    match answered {
        Ok(result) => result.ok_or(RequestFailure::Malformed),
        Err(error) => {
            tracing::debug!(code = error.code(), "a call failed");
            Err(request_failure(error))
        }
    }
}

const fn link_failure(error: LinkError) -> LinkFailure {
    match error {
        LinkError::ServerKeyMismatch => LinkFailure::WrongServerKey,
        _ => LinkFailure::Unreachable,
    }
}

const fn request_failure(error: CallError) -> RequestFailure {
    match error {
        CallError::Refused {
            code,
            retry_after_ms,
        } => RequestFailure::Refused {
            code,
            retry_after_ms: match retry_after_ms {
                Some(delay) => delay,
                None => 0,
            },
        },
        CallError::UpgradeRequired(Upgrade::Client) => {
            RequestFailure::Link(LinkFailure::ClientTooOld)
        }
        CallError::UpgradeRequired(Upgrade::Server) => {
            RequestFailure::Link(LinkFailure::ServerTooOld)
        }
        CallError::Timeout => RequestFailure::Timeout,
        // The stream ended before there was an answer; the connection may live on.
        CallError::Abandoned => RequestFailure::Timeout,
        CallError::LinkLost(error) => RequestFailure::Link(link_failure(error)),
        // A request that cannot be sent is refused as the server would: it breaks the protocol.
        _ => RequestFailure::Malformed,
    }
}
