// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a host cannot start, or has to stop.

use waxwing_engine::EngineError;

use crate::sealed_store::SealedStoreError;

/// Fatal: the host ends, and with it the process. What was promised is durable; what was not has
/// not left this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The store failed or is damaged.
    #[error(transparent)]
    Store(#[from] SealedStoreError),
    /// The stored state cannot be what the engine wrote.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A rule between the engine and its host was broken.
    #[error("internal error of the host: {0}")]
    Bug(&'static str),
}
