// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the driver does with each effect of the engine, and with what comes back.

use std::sync::Arc;

use waxwing_engine::{
    CommandId, Effect, Event, LinkFailure, Notice, Plane, RequestFailure, RequestId,
};
use waxwing_identity::authentication::EXPORTER_LABEL;
use waxwing_proto::{ServerAddress, v1};
use waxwing_storage::client::ClientStore;
use waxwing_transport::{Clock, Connection, Dialer, Entropy};

use super::Driver;
use crate::host::account_link::AccountLink;
use crate::host::anonymous::Job;
use crate::host::connect;
use crate::host::error::HostError;
use crate::host::handle::{Asked, LinkState};
use crate::host::inbound::{Generation, Inbound};

impl<S: ClientStore, D: Dialer, C: Clock, E: Entropy> Driver<S, D, C, E> {
    pub(super) fn carry_out(&mut self, effect: Effect) -> Result<(), HostError> {
        match effect {
            Effect::Commit(batch) => self.commit(&batch)?,
            Effect::Load { query, range } => {
                let rows = self.store.load(&range)?;
                self.tell(Event::Loaded { query, rows });
            }
            Effect::Connect(server) => self.connect(server),
            Effect::KeyPins(key_pins) => {
                if let Some(account) = &self.account {
                    account.key_pins.replace(key_pins);
                }
            }
            Effect::Disconnect => {
                self.account = None;
                self.desk.link.send_replace(LinkState::Idle);
            }
            Effect::Request {
                id,
                plane,
                server,
                call,
                deadline_ms,
                ..
            } => match plane {
                Plane::Anonymous => {
                    if matches!(call, v1::request::Call::Send(_)) {
                        self.sending.insert(id);
                    }
                    let job = Job {
                        id,
                        call,
                        deadline_ms,
                    };
                    self.anonymous.call(server, job);
                }
                Plane::Account => self.call(id, call, deadline_ms),
            },
            Effect::Subscribe => {
                if let Some(account) = &mut self.account {
                    account.subscribe();
                }
            }
            Effect::Acknowledge {
                up_to, positions, ..
            } => {
                let frame = v1::Acknowledge { positions, up_to };
                if self
                    .account
                    .as_ref()
                    .is_some_and(|account| account.acknowledge(frame))
                {
                    self.unconfirmed = self.unconfirmed.saturating_add(1);
                }
            }
            Effect::Answer {
                command, result, ..
            } => {
                if let Some(reply) = self.replies.remove(&command) {
                    // Whoever asked may have gone away; the answer is in the store too.
                    let _ = reply.send(result);
                }
            }
            Effect::Notify { notice, .. } => {
                if let Notice::ServerKeys(keys) = notice {
                    tracing::info!(?keys, "the server told of its keys");
                }
                // Nobody may be watching.
                let _ = self.desk.notices.send(notice);
            }
            _ => return Err(HostError::Bug("an effect that this host does not know")),
        }
        Ok(())
    }

    fn connect(&mut self, server: ServerAddress) {
        // The old one first: its end must not be taken for the new one's.
        self.account = None;
        self.last_generation = Generation(self.last_generation.0.saturating_add(1));
        self.account = Some(AccountLink::keep(
            self.last_generation,
            server,
            (
                Arc::clone(&self.dialer),
                Arc::clone(&self.clock) as Arc<dyn Clock>,
                Arc::clone(&self.entropy),
            ),
            &self.signals,
            self.inbound_sender.clone(),
        ));
    }

    fn call(&mut self, id: RequestId, call: v1::request::Call, deadline_ms: u32) {
        let connection = self
            .account
            .as_ref()
            .and_then(|account| account.connection.clone());
        let Some(connection) = connection else {
            let outcome = Err(RequestFailure::Link(LinkFailure::Unreachable));
            return self.tell(Event::Response { id, outcome });
        };
        let inbound = self.inbound_sender.clone();
        let waiting = self.signals.wait();
        self.calls.spawn(async move {
            let outcome = connect::call(&connection, call, deadline_ms).await;
            drop(waiting);
            // The receiver is gone when the host has ended.
            let _ = inbound.send(Inbound::Response { id, outcome }).await;
        });
    }

    pub(super) fn ask(&mut self, asked: Asked) {
        self.last_command = CommandId(self.last_command.0.saturating_add(1));
        let id = self.last_command;
        self.replies.insert(id, asked.reply);
        self.tell(Event::Command {
            id,
            command: *asked.command,
        });
    }

    pub(super) fn take(&mut self, inbound: Inbound) -> Result<(), HostError> {
        let current = self.account.as_ref().map(|account| account.generation);
        match inbound {
            Inbound::Response { id, outcome } => {
                self.sending.remove(&id);
                self.tell(Event::Response { id, outcome });
            }
            Inbound::Opening {
                generation,
                exporter,
                first,
            } => {
                let is_current = Some(generation) == current;
                let call = is_current.then(|| self.engine.login(&exporter)).flatten();
                // Whoever asked has gone on where it took too long.
                let _ = first.send(call);
            }
            Inbound::LinkUp(generation, connection) if Some(generation) == current => {
                self.link_up(*connection)?;
            }
            Inbound::LinkDown(generation, failure) if Some(generation) == current => {
                self.unconfirmed = 0;
                self.desk.link.send_replace(LinkState::Down(failure));
                if let Some(account) = &mut self.account {
                    account.down();
                }
                self.tell(Event::LinkDown(failure));
            }
            Inbound::Delivery(generation, event) if Some(generation) == current => {
                if let v1::delivery::Event::Acknowledged(_) = &event {
                    self.unconfirmed = self.unconfirmed.saturating_sub(1);
                }
                self.tell(Event::Delivery(event));
            }
            // From a connection that was given up.
            Inbound::LinkUp(..) | Inbound::LinkDown(..) | Inbound::Delivery(..) => {}
        }
        Ok(())
    }

    fn link_up(&mut self, connection: Connection) -> Result<(), HostError> {
        // Fails only when the connection is gone already; then its end follows.
        let Ok(exporter) = connection.link().exporter(EXPORTER_LABEL, b"") else {
            return Ok(());
        };
        let server_time_ms = connection.server_time_ms();
        let (key_exchange, transport, server_key) = {
            let link = connection.link();
            (link.negotiated_group(), link.transport(), link.server_key())
        };
        if let Some(account) = &mut self.account {
            account.up(connection);
        }
        let up = LinkState::Up(key_exchange, transport);
        self.desk.link.send_replace(up);
        self.tell(Event::LinkUp {
            exporter,
            server_time_ms,
            server_key,
        });
        Ok(())
    }
}
