// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The engine's notices as the socket tells them. They carry no contents: a watcher asks for those.

use tokio::sync::broadcast::{Receiver, error::RecvError};
use waxwing_engine::Notice as EngineNotice;
use waxwing_engine::notice::{LinkingStep as EngineStep, ServerKeys as EngineKeys};

use super::service::Service;
use crate::api::{LinkingStep, Notice, objects};

/// What a watching connection is told next.
pub(super) type Told = Result<EngineNotice, RecvError>;

/// The next notice of a connection; never completes for one that does not watch. Cancellation safe.
pub(super) async fn next(watching: &mut Option<Receiver<EngineNotice>>) -> Told {
    match watching {
        Some(notices) => notices.recv().await,
        None => core::future::pending().await,
    }
}

/// The notice in the words of the socket.
pub(super) async fn translate(told: Told, service: &Service) -> Notice {
    match told {
        Ok(notice) => put(notice, service).await,
        Err(RecvError::Lagged(_)) => Notice::Missed,
        Err(RecvError::Closed) => Notice::Ending,
    }
}

async fn put(notice: EngineNotice, service: &Service) -> Notice {
    match notice {
        EngineNotice::Message(_) => Notice::Arrived,
        EngineNotice::MessageState {
            message_id, state, ..
        } => Notice::State {
            id: message_id.to_hex(),
            state: state.into(),
        },
        EngineNotice::ContactChanged(_) => Notice::Contacts,
        EngineNotice::Alarm(alarm) => {
            let status = service.engine_status().await.ok();
            let own = status
                .as_ref()
                .is_some_and(|status| status.account == Some(alarm.account));
            let contact = match status {
                Some(status) if own => status.address,
                _ => service.label(alarm.account).await,
            };
            Notice::Alarm {
                code: alarm.kind.into(),
                contact,
                own,
                blocks_sending: alarm.blocks_sending,
            }
        }
        EngineNotice::DevicesChanged => Notice::Devices,
        EngineNotice::Online(online) => Notice::Online { online },
        EngineNotice::Drained => Notice::Drained,
        EngineNotice::Linking(step) => match step {
            EngineStep::Compare {
                address,
                safety_words,
            } => Notice::LinkingCompare {
                address,
                words: safety_words,
            },
            EngineStep::Listed => Notice::Linking {
                step: LinkingStep::Listed,
            },
            EngineStep::Complete => Notice::Linking {
                step: LinkingStep::Complete,
            },
            EngineStep::Failed => Notice::Linking {
                step: LinkingStep::Failed,
            },
            _ => Notice::Unknown,
        },
        EngineNotice::Expired { day, count } => Notice::Expired {
            day: objects::day(day),
            count,
        },
        EngineNotice::ClockSkew { skew_ms } => Notice::ClockSkew {
            skew_s: skew_ms.checked_div(1000).unwrap_or_default(),
        },
        EngineNotice::ServerKeys(EngineKeys::Announced) => Notice::ServerKeyAnnounced,
        _ => Notice::Unknown,
    }
}
