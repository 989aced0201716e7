// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for sendings that come together.

use super::ServerPlace;
use super::world::{
    account, contact_id, crash, device, limits, mailbox, manifest, open, open_with, own_id,
    public_id, register, register_with_contact, sending,
};
use crate::server::{Append, AppendRefusal, Appended, Position, Store};

type Answers = Vec<Result<Appended, AppendRefusal>>;

async fn send_all<S: Store>(store: &S, appends: Vec<Append>) -> Answers {
    let answers = store.append_all(appends).await.into_iter();
    answers.map(Result::unwrap).collect()
}

fn stored(number: u8, positions: &[(u8, u64)]) -> Result<Appended, AppendRefusal> {
    let stored = positions.iter();
    Ok(Appended {
        account: account(number),
        stored: stored
            .map(|(to, at)| (device(*to), Position(*at)))
            .collect(),
    })
}

/// [BOX-9], [BOX-10]: each is a step of its own, in their order, and what becomes of one does not touch
/// the others.
pub async fn sendings_that_come_together_are_steps_of_their_own<P: ServerPlace>(place: P) {
    let store = open(&place).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    register(&store, 2, &[1]).await;
    assert!(send_all(&store, Vec::new()).await.is_empty());
    let id = contact_id(1, 1);
    let appends = vec![
        sending(id, &[1, 2], 1, b"first"),
        sending(id, &[1, 2], 1, b"first"),
        sending(id, &[1, 3], 2, b"for one that is not listed"),
        sending(public_id(2), &[1], 1, b"to somebody else"),
        sending(contact_id(1, 9), &[1], 3, b"under no id"),
        sending(id, &[2], 4, b"second"),
        sending(id, &[1, 2], 5, b"third"),
        sending(own_id(1), &[1], 5, b"fourth"),
    ];
    let count = appends.len();
    let answers = send_all(&store, appends.clone()).await;
    let expected = [
        stored(1, &[(1, 1), (2, 1)]),
        stored(1, &[]),
        Err(AppendRefusal::StaleDevices {
            manifest: manifest(1, &[1, 2]).bytes,
        }),
        stored(2, &[(1, 1)]),
        Err(AppendRefusal::DeliveryIdGone),
        stored(1, &[(2, 2)]),
        stored(1, &[(1, 2), (2, 3)]),
        stored(1, &[(1, 3)]),
    ];
    assert_eq!(answers, expected);

    let store = crash(&place, store).await;
    let bodies = async |number, of| {
        let held = mailbox(&store, number, of).await;
        let bodies = held.into_iter().map(|one| one.envelope);
        bodies.collect::<Vec<_>>()
    };
    assert_eq!(bodies(1, 1).await, ["first", "third", "fourth"]);
    assert_eq!(bodies(1, 2).await, ["first", "second", "third"]);
    assert_eq!(bodies(2, 1).await, ["to somebody else"]);
    // Once more: nothing of it is new.
    let again = send_all(&store, appends).await;
    assert_eq!(again.len(), count);
    assert!(again.iter().flatten().all(|sent| sent.stored.is_empty()));
    assert_eq!(mailbox(&store, 1, 2).await.len(), 3);
}

/// [BOX-12]: what a mailbox has room for is decided for each, after those before it.
pub async fn sendings_that_come_together_fill_a_mailbox_and_no_more<P: ServerPlace>(place: P) {
    let store = open_with(&place, limits()).await;
    register_with_contact(&store, 1, &[1, 2]).await;
    let full = Err(AppendRefusal::MailboxFull);
    let mut appends: Vec<Append> = (0..16)
        .map(|number| sending(contact_id(1, 1), &[1], number, b"x"))
        .collect();
    appends.push(sending(contact_id(1, 1), &[1, 2], 16, b"for both"));
    appends.push(sending(contact_id(1, 1), &[2], 17, b"for the other"));
    appends.push(sending(own_id(1), &[1], 18, b"own"));
    let answers = send_all(&store, appends).await;
    for (number, answer) in answers.iter().enumerate().take(14) {
        let position = u64::try_from(number).unwrap() + 1;
        assert_eq!(*answer, stored(1, &[(1, position)]));
    }
    let rest = [
        full.clone(),
        full.clone(),
        full,
        stored(1, &[(2, 1)]),
        stored(1, &[(1, 15)]),
    ];
    assert_eq!(answers[14..], rest);
    let store = crash(&place, store).await;
    assert_eq!(mailbox(&store, 1, 1).await.len(), 15);
    let other = mailbox(&store, 1, 2).await;
    assert_eq!(other.len(), 1);
    assert_eq!(other[0].envelope, "for the other");
}
