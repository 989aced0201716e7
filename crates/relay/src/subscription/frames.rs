// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Acknowledgements as they come: those that are there together are deleted together.

use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;

use waxwing_proto::v1;
use waxwing_transport::rpc::AcknowledgeStream;

use super::End;

/// Positions in one acknowledgement.
const POSITIONS_MAX: usize = 1024;
/// Acknowledgements that are deleted together.
const TOGETHER_MAX: usize = 16;

/// What has come.
pub(super) struct Frames {
    pub(super) frames: Vec<v1::Acknowledge>,
    /// Why nothing follows, where nothing does.
    pub(super) ending: Option<End>,
}

/// Waits for an acknowledgement, and takes those that are there with it. Cancellation safe: while it waits
/// it has taken none.
pub(super) async fn receive(from: &mut AcknowledgeStream) -> Frames {
    let mut frames: Vec<v1::Acknowledge> = Vec::new();
    let mut positions = 0_usize;
    while frames.len() < TOGETHER_MAX && positions < POSITIONS_MAX {
        let has_some = !frames.is_empty();
        let received = {
            let mut receive = pin!(from.receive());
            poll_fn(|context| match receive.as_mut().poll(context) {
                Poll::Ready(received) => Poll::Ready(Some(received)),
                Poll::Pending if has_some => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        let ending = match received {
            Some(Ok(Some(frame))) if frame.positions.len() <= POSITIONS_MAX => {
                positions = positions.saturating_add(frame.positions.len());
                frames.push(frame);
                continue;
            }
            Some(Ok(Some(_))) => Some(End::Broken),
            Some(Ok(None)) => Some(End::Finished),
            Some(Err(error)) => Some(error.into()),
            None => None,
        };
        return Frames { frames, ending };
    }
    Frames {
        frames,
        ending: None,
    }
}
