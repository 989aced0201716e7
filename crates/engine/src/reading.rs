// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lists of messages, read in steps: the rows, then how far each message is.

use waxwing_proto::v1::message_index_row::State;
use waxwing_proto::{AccountKey, MessageId, limits, v1};

use crate::codec;
use crate::command::{Answer, CommandError, CommandId};
use crate::engine::{Engine, Turn};
use crate::keys;
use crate::messages;
use crate::order::in_display_order;
use crate::pending::Query;
use crate::row::{Row, RowKey, RowRange, Table};
use crate::sending::Parcel;

/// How far the reading of a list is.
pub(crate) enum Reading {
    /// The rows of the unread list.
    UnreadList,
    /// The messages themselves.
    Messages {
        /// Whether they are shown in the order of a conversation.
        display_order: bool,
    },
    /// How far each message is.
    States {
        /// The messages.
        rows: Vec<Row>,
        /// As above.
        display_order: bool,
    },
}

impl Engine {
    pub(crate) fn read_history(
        &mut self,
        command: CommandId,
        contact: &AccountKey,
        before: Option<u64>,
        limit: usize,
    ) {
        if !self.contacts.contains_key(contact) {
            self.answer(command, Err(CommandError::ContactUnknown));
            return;
        }
        self.load(
            RowRange::Before {
                table: Table::Messages,
                scope: contact.as_bytes().to_vec(),
                before: before.unwrap_or(u64::MAX),
                limit: limit.min(limits::MESSAGES_PER_ANSWER_MAX),
            },
            Query::Reading {
                command,
                reading: Reading::Messages {
                    display_order: true,
                },
            },
        );
    }

    pub(crate) fn read_unread(&mut self, command: CommandId, after: u64, limit: usize) {
        self.load(
            RowRange::After {
                table: Table::Unread,
                scope: Vec::new(),
                after,
                limit: limit.min(limits::MESSAGES_PER_ANSWER_MAX),
            },
            Query::Reading {
                command,
                reading: Reading::UnreadList,
            },
        );
    }

    pub(crate) fn reading_loaded(&mut self, command: CommandId, reading: Reading, rows: Vec<Row>) {
        match reading {
            Reading::UnreadList => {
                let keys: Vec<RowKey> = rows
                    .iter()
                    .filter_map(|row| {
                        let (account, _) = unread(row)?;
                        Some(keys::message(&account, row.key.order))
                    })
                    .collect();
                let next = Reading::Messages {
                    display_order: false,
                };
                self.read_on(command, keys, next);
            }
            Reading::Messages { display_order } => {
                let keys = rows.iter().filter_map(index_key).collect();
                self.read_on(
                    command,
                    keys,
                    Reading::States {
                        rows,
                        display_order,
                    },
                );
            }
            Reading::States {
                rows: messages,
                display_order,
            } => {
                let answer = assemble(messages, &rows, display_order);
                self.answer(command, Ok(Answer::Messages(answer)));
            }
        }
    }

    fn read_on(&mut self, command: CommandId, keys: Vec<RowKey>, reading: Reading) {
        if keys.is_empty() {
            self.answer(command, Ok(Answer::Messages(Vec::new())));
            return;
        }
        self.load(RowRange::Keys(keys), Query::Reading { command, reading });
    }

    pub(crate) fn mark_shown(&mut self, command: CommandId, up_to: u64) {
        self.load(
            RowRange::After {
                table: Table::Unread,
                scope: Vec::new(),
                after: 0,
                limit: limits::MESSAGES_PER_ANSWER_MAX,
            },
            Query::Shown { command, up_to },
        );
    }

    pub(crate) fn shown_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        up_to: u64,
        rows: &[Row],
    ) {
        let shown: Vec<&Row> = rows.iter().filter(|row| row.key.order <= up_to).collect();
        for row in &shown {
            self.journal.delete(row.key.clone());
            if let Some((account, Some(id))) = unread(row) {
                self.owe_read(turn, &account, id);
            }
        }
        if shown.len() == limits::MESSAGES_PER_ANSWER_MAX {
            // The next read must not see the rows that are going.
            self.journal.checkpoint();
            self.mark_shown(command, up_to);
        } else {
            self.answer(command, Ok(Answer::Done));
        }
    }

    pub(crate) fn send_text(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        account: AccountKey,
        body: String,
    ) {
        if let Err(error) = self.may_queue(&account, &body) {
            self.answer(command, Err(error));
            return;
        }
        let Some(device) = self.account.as_ref().map(|own| own.device) else {
            return;
        };
        let Some(content) = self.compose_text(turn, &account, body.clone()) else {
            self.answer(command, Err(CommandError::ContactUnknown));
            return;
        };
        let Ok(message_id) = MessageId::try_from(content.message_id.as_ref()) else {
            return;
        };
        let row = messages::row_of(
            &content,
            v1::message_row::Body::Text(body),
            true,
            device,
            turn.now.wall_ms,
            true,
        );
        let cursor = self.put_message(&account, &row, State::Queued, false);
        self.save_contact(&account);
        let parcel = Parcel {
            cursor,
            ..Parcel::silent(v1::shipment_row::Kind::Text, content)
        };
        self.ship(turn, account, &parcel);
        self.answer(command, Ok(Answer::Queued { message_id, cursor }));
        self.pump(turn, account);
    }
}

/// A row of the unread list: the conversation, and the message where a read receipt is due.
fn unread(row: &Row) -> Option<(AccountKey, Option<MessageId>)> {
    let (account, id) = row.value.split_at_checked(AccountKey::LENGTH)?;
    let id = MessageId::try_from(id).ok();
    Some((AccountKey::try_from(account).ok()?, id))
}

fn account_of(row: &Row) -> Option<AccountKey> {
    AccountKey::try_from(row.key.scope.as_slice()).ok()
}

fn index_key(row: &Row) -> Option<RowKey> {
    let stored = messages::read_row(row)?;
    let id = MessageId::try_from(stored.message_id.as_ref()).ok()?;
    let account = account_of(row)?;
    Some(if stored.outgoing {
        keys::sent_index(&account, &id)
    } else {
        keys::message_index(&account, &id)
    })
}

fn assemble(rows: Vec<Row>, states: &[Row], display_order: bool) -> Vec<crate::notice::Message> {
    let mut list: Vec<crate::notice::Message> = rows
        .iter()
        .filter_map(|row| {
            let stored = messages::read_row(row)?;
            let key = index_key(row)?;
            let state = states
                .iter()
                .find(|state| state.key == key)
                .and_then(|state| codec::decode::<v1::MessageIndexRow>(state).ok())
                .map_or(State::Unspecified, |index| index.state());
            messages::message_of(account_of(row)?, row.key.order, &stored, state)
        })
        .collect();
    if display_order {
        return in_display_order(list.into_iter().map(|message| (message.place(), message)));
    }
    list.sort_by_key(|message| message.cursor);
    list
}
