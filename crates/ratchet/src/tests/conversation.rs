// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a conversation looks like when nothing goes wrong.

use waxwing_proto::limits::CHAIN_LENGTH_MAX;

use super::world::{NOW, Party, acquainted, strangers};
use crate::{Envelope, RatchetError, Role};

#[test]
fn a_conversation_with_many_turns() {
    let (mut a, mut b) = strangers();
    for turn in 0..20_u8 {
        let (from, to) = if turn % 2 == 0 {
            (&mut a, &mut b)
        } else {
            (&mut b, &mut a)
        };
        for n in 0..3 {
            let envelope = from.send(to, &[turn, n]);
            assert_eq!(to.receive(&envelope).unwrap(), [turn, n]);
        }
    }
    assert_eq!(a.set.active(), b.set.active());
    assert_eq!(a.active().role(), Role::Initiator);
    assert_eq!(b.active().role(), Role::Responder);
    assert!(a.skipped.is_empty() && b.skipped.is_empty());
    // [SES-35]: 19 tags for the current chain, which has passed three numbers, and 16 for the next,
    // however many chains there were.
    assert_eq!((a.tags.len(), b.tags.len()), (35, 35));
}

/// [SES-25]: the steps are numbered over both parties, the odd ones being the initiator's. A session
/// knows the number of the one that comes.
#[test]
fn a_session_knows_the_step_that_the_peer_makes_next() {
    let (mut a, mut b) = strangers();
    a.initiate(&mut b);
    let expected = |party: &Party| party.active().state().next_receiving_step();
    assert_eq!(expected(&a), 2);
    let first = a.send(&mut b, b"step 1");
    b.receive(&first).unwrap();
    for step in 2..9 {
        let (from, to) = if step % 2 == 0 {
            (&mut b, &mut a)
        } else {
            (&mut a, &mut b)
        };
        assert_eq!(expected(to), step);
        let envelope = from.send(to, b"x");
        let parsed = Envelope::parse(&envelope).unwrap();
        let opened = to.active().decrypt(&parsed, None, NOW).unwrap();
        assert_eq!((opened.position.step, opened.position.n), (step, 0));
        to.receive(&envelope).unwrap();
        assert_eq!(expected(to), step + 2);
    }
}

/// [PRE-13].
#[test]
fn the_last_resort_opens_a_session_too() {
    let (mut a, mut b) = (Party::new(1, 0), Party::new(2, 0));
    let envelope = a.send(&mut b, b"without a one-time pair");
    let parsed = Envelope::parse(&envelope).unwrap();
    assert_eq!(parsed.prefix().unwrap().one_time_prekey(), None);
    assert_eq!(b.receive(&envelope).unwrap(), b"without a one-time pair");
    let envelope = b.send(&mut a, b"answer");
    assert_eq!(a.receive(&envelope).unwrap(), b"answer");
}

#[test]
fn a_one_time_pair_is_used_up() {
    let (mut a, mut b) = strangers();
    let envelope = a.send(&mut b, b"x");
    let parsed = Envelope::parse(&envelope).unwrap();
    assert_eq!(parsed.prefix().unwrap().one_time_prekey(), Some(1));
    b.receive(&envelope).unwrap();
    let mut again = Party::new(3, 0);
    assert!(again.receive(&envelope).is_err());
    assert!(matches!(
        b.accept(&parsed),
        Err(RatchetError::PrekeyUnknown)
    ));
}

/// [SES-55].
#[test]
fn the_prefix_is_repeated_until_the_answer_is_opened_and_never_after() {
    let (mut a, mut b) = strangers();
    let first = a.send(&mut b, b"1");
    let second = a.send(&mut b, b"2");
    let prefix = |envelope: &[u8]| {
        let parsed = Envelope::parse(envelope).unwrap();
        parsed.prefix().map(|prefix| prefix.as_bytes().to_vec())
    };
    assert_eq!(prefix(&first), prefix(&second));
    assert!(prefix(&first).is_some());
    b.receive(&first).unwrap();
    let answer = b.send(&mut a, b"3");
    assert_eq!(prefix(&answer), None);
    let third = a.send(&mut b, b"4");
    assert_eq!(prefix(&third), prefix(&first));
    a.receive(&answer).unwrap();
    assert!(a.active().prefix_row().is_none());
    assert!(!b.active().prefix_ended());
    let fourth = a.send(&mut b, b"5");
    assert_eq!(prefix(&fourth), None);
    b.receive(&fourth).unwrap();
    assert!(b.active().prefix_ended());
}

#[test]
fn envelopes_of_short_contents_have_one_length() {
    let (mut a, mut b) = strangers();
    for length in [0, 1, 150, 300] {
        assert_eq!(a.send(&mut b, &vec![7; length]).len(), 4096 + 110);
    }
    let (mut a, mut b) = acquainted();
    for length in 1..=300 {
        assert_eq!(a.send(&mut b, &vec![7; length]).len(), 622);
    }
    assert_eq!(a.send(&mut b, &[7; 511]).len(), 1024 + 110);
}

/// [ENV-7].
#[test]
fn the_largest_content_goes_through_with_and_without_prefix() {
    let (mut a, mut b) = strangers();
    let content = vec![9; waxwing_proto::limits::CONTENT_SIZE_MAX];
    for _ in 0..2 {
        let envelope = a.send(&mut b, &content);
        assert!(envelope.len() <= waxwing_proto::limits::ENVELOPE_SIZE_MAX);
        assert_eq!(b.receive(&envelope).unwrap(), content);
        let envelope = b.send(&mut a, b"answer");
        a.receive(&envelope).unwrap();
    }
    let too_large = vec![9; content.len() + 1];
    assert!(matches!(
        a.active().encrypt(&too_large, &mut a.rng),
        Err(RatchetError::TooLarge)
    ));
}

#[test]
fn a_chain_ends_at_its_limit_and_an_answer_begins_another() {
    let (mut a, mut b) = acquainted();
    let envelope = b.send(&mut a, b"turn");
    a.receive(&envelope).unwrap();
    let last = (0..CHAIN_LENGTH_MAX).map(|_| a.send(&mut b, b"x")).last();
    assert_eq!(a.active().envelopes_left(), 0);
    assert!(matches!(
        a.active().encrypt(b"x", &mut a.rng),
        Err(RatchetError::ChainExhausted)
    ));
    // The 1000th alone arrives, is answered, and the next chain says pn = 1000.
    b.receive(&last.unwrap()).unwrap();
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    let next = a.send(&mut b, b"next");
    assert_eq!(b.receive(&next).unwrap(), b"next");
}

#[test]
fn acknowledgements_name_envelopes_that_were_sent() {
    let (mut a, mut b) = acquainted();
    for _ in 0..4 {
        let envelope = a.send(&mut b, b"to b");
        b.receive(&envelope).unwrap();
        let envelope = b.send(&mut a, b"to a");
        a.receive(&envelope).unwrap();
    }
    assert!(a.acknowledged.len() >= 4 && b.acknowledged.len() >= 4);
    assert!(a.acknowledged.iter().all(|hash| a.sent.contains(hash)));
    assert!(b.acknowledged.iter().all(|hash| b.sent.contains(hash)));
}

#[test]
fn tags_and_salts_never_repeat() {
    let (mut a, mut b) = acquainted();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let envelope = a.send(&mut b, b"the same content");
        let parsed = Envelope::parse(&envelope).unwrap();
        assert!(seen.insert(parsed.tag().as_bytes().to_vec()));
        assert!(seen.insert(parsed.salt().to_vec()));
    }
}
