// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Clients of either server, driven the same way.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::people::{Person, Stamp};
use super::process::{Kind, Server};
use super::{bare_client, ours};

/// Connections that are being made at a time.
const CONNECTING: usize = 32;

/// The first thing that went wrong in any task.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<anyhow::Error>>>);

impl Trouble {
    /// Notes it, unless something did before.
    pub(super) fn has(&self, error: anyhow::Error) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }

    /// # Errors
    /// What was noted.
    pub(super) fn check(&self) -> Result<()> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.take().map_or(Ok(()), Err)
    }
}

/// Connects to one server.
#[derive(Clone)]
pub(super) enum Network {
    Ours(ours::Network),
    Bare(bare_client::Network),
}

impl Network {
    pub(super) fn of(server: &Server) -> Result<Self> {
        let address = server.address.clone();
        Ok(match server.kind {
            Kind::Ours => Self::Ours(ours::Network::new(server.carrier, address)),
            Kind::Bare => Self::Bare(bare_client::Network::new(server.carrier, &address)?),
        })
    }

    /// People with accounts at the server. The bare relay knows none: a key is a mailbox.
    pub(super) async fn people(&self, server: &Server, count: u32) -> Result<Vec<Arc<Person>>> {
        let people: Vec<Arc<Person>> = (0..count)
            .map(|number| Ok(Arc::new(Person::new(number)?)))
            .collect::<Result<_>>()?;
        if let Self::Ours(network) = self {
            let token = server.invite(people.len())?.token().to_wire();
            each(&people, |_, person| {
                let (network, token) = (network.clone(), token.clone());
                async move { network.register(&person, token).await }
            })
            .await?;
        }
        Ok(people)
    }

    pub(super) async fn receiver(&self, person: &Arc<Person>) -> Result<Receiver> {
        Ok(match self {
            Self::Ours(network) => Receiver::Ours(Box::new(network.receiver(person).await?)),
            Self::Bare(network) => Receiver::Bare(network.receiver(person).await?),
        })
    }

    pub(super) async fn sender(
        &self,
        accepted: Arc<Semaphore>,
        trouble: Trouble,
    ) -> Result<Sender> {
        Ok(match self {
            Self::Ours(network) => Sender::Ours(network.sender(accepted, trouble).await?),
            Self::Bare(network) => Sender::Bare(network.sender(accepted, trouble).await?),
        })
    }
}

/// Does the same for each person, some at a time. The outcomes are in the order of the people.
pub(super) async fn each<T, F>(
    people: &[Arc<Person>],
    work: impl Fn(usize, Arc<Person>) -> F,
) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(CONNECTING));
    let mut tasks = JoinSet::new();
    for (index, person) in people.iter().enumerate() {
        let (turns, work) = (Arc::clone(&turns), work(index, Arc::clone(person)));
        tasks.spawn(async move {
            let _turn = turns.acquire().await?;
            anyhow::Ok((index, work.await?))
        });
    }
    let mut done = Vec::with_capacity(people.len());
    while let Some(ended) = tasks.join_next().await {
        done.push(ended??);
    }
    done.sort_by_key(|one| one.0);
    Ok(done.into_iter().map(|one| one.1).collect())
}

/// Somebody who receives.
pub(super) enum Receiver {
    Ours(Box<ours::Receiver>),
    Bare(bare_client::Receiver),
}

impl Receiver {
    /// Waits for messages, takes those that are there, and acknowledges them together.
    pub(super) async fn receive(&mut self, take: &mut impl FnMut(&[u8])) -> Result<()> {
        match self {
            Self::Ours(receiver) => receiver.receive(take).await,
            Self::Bare(receiver) => receiver.receive(take).await,
        }
    }

    /// Whether everything that was acknowledged is durably deleted.
    pub(super) const fn is_settled(&self) -> bool {
        match self {
            Self::Ours(receiver) => receiver.is_settled(),
            Self::Bare(receiver) => receiver.is_settled(),
        }
    }
}

/// Somebody who sends.
pub(super) enum Sender {
    Ours(ours::Sender),
    Bare(bare_client::Sender),
}

impl Sender {
    /// Begins to send a message.
    pub(super) fn post(&mut self, to: &Person, stamp: Stamp) -> Result<()> {
        match self {
            Self::Ours(sender) => sender.post(to, stamp),
            Self::Bare(sender) => {
                sender.post(to, stamp);
                Ok(())
            }
        }
    }

    /// To be called after some.
    pub(super) async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Ours(sender) => sender.flush().await,
            Self::Bare(sender) => sender.flush().await,
        }
    }
}
