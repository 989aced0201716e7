// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A thousand people who are there, and to whom nobody writes: what each costs the server in memory.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::clients::{Network, each};
use super::process::{Carrier, Kind, Server};
use crate::transport::allow_descriptors;

/// People whose memory is counted.
const PEOPLE: u32 = 1_000;
/// People who come before: what the first connections allocate for good is not counted.
const WARM: usize = 20;
/// Until what the handshakes held is given back.
const REST: Duration = Duration::from_millis(300);

/// KiB of the server's resident memory for each authenticated connection with a delivery stream.
pub(super) fn measure(kind: Kind, carrier: Carrier) -> Result<f64> {
    allow_descriptors(PEOPLE)?;
    let server = Server::start(kind, carrier)?;
    let runtime = crate::transport::runtime()?;
    let grown = runtime.block_on(async {
        let network = Network::of(&server)?;
        let everybody = network
            .people(&server, PEOPLE + u32::try_from(WARM)?)
            .await?;
        let (first, others) = everybody.split_at_checked(WARM).context("nobody")?;
        let come = |people| {
            each(people, |_, person| {
                let network = network.clone();
                async move { network.receiver(&person).await }
            })
        };
        let warm = come(first).await?;
        tokio::time::sleep(REST).await;
        let before = server.resident_kib()?;
        let there = come(others).await?;
        tokio::time::sleep(REST).await;
        let after = server.resident_kib()?;
        ensure!(
            after > before && warm.len() + there.len() == everybody.len(),
            "the server's memory went from {before} to {after} KiB"
        );
        anyhow::Ok(after - before)
    })?;
    runtime.shutdown_background();
    Ok(grown / f64::from(PEOPLE))
}
