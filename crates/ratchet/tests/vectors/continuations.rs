// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Second sessions, and the path through sessions.

use serde_json::Value;
use waxwing_ratchet::{Claim, Envelope, RatchetError, Session, SessionId, SessionSet};

use crate::Held;
use crate::party::{NOW, World};
use crate::replay::{array, bytes, file, is_valid, list, number, text};
use crate::scripted::Scripted;

/// A set with this session alone.
fn set_of(session: &Session) -> SessionSet {
    let placed = SessionSet::new().place(session, |_| None, NOW);
    placed.unwrap().set
}

/// [SES-13], [SES-50], [SES-51], [SES-52], [SES-53], [SES-56]: the same secret is chosen, the same prefix is
/// made, and a copied store is told.
#[test]
fn sessions_are_continued_alike() {
    // Byte for byte only where the backend follows from the randomness given.
    if !waxwing_crypto::backend::active().takes_randomness() {
        return;
    }
    let file = file("continuations");
    let mut refused = 0;
    for case in list(&file["continuations"]) {
        let mut held = Held::new(&file["responder"]);
        let mut old = None;
        let restored_after = case["restored_after"].as_u64();
        let mut sent = 0;
        for event in list(&case["events"]) {
            if event.get("send").is_some() {
                if restored_after == Some(sent) {
                    old = Some(held.a.again());
                }
                held.send(event);
                sent += 1;
            } else {
                assert!(held.arrive(event));
            }
        }
        let a = old.unwrap_or_else(|| held.a.again());
        let next = set_of(&a).continuation(|id| (id == a.id()).then_some(&a));
        assert_eq!(
            next.predecessor().unwrap().as_bytes(),
            &array(&case["pred"])
        );
        assert_eq!(next.attempt(), number::<u32>(&case["attempt"]));

        let mut values = file["responder"].clone();
        for name in ["one_time_pair", "one_time_dh_secret", "one_time_kem_seed"] {
            values["responder"][name] = Value::Null;
        }
        let world = World::new(&values);
        let second = world.initiate_next(case, &next);
        assert_eq!(second.id().as_bytes(), &array(&case["values"]["th"]));
        assert_eq!(
            second.prefix_row().unwrap(),
            bytes(&case["values"]["prefix"])
        );

        let b = held.b.again();
        let (set, sessions) = (set_of(&b), |id| (id == b.id()).then_some(&b));
        let mut draws = Scripted::new([match case.get("first") {
            Some(first) => bytes(&first["random"]),
            None => vec![0; 16],
        }]);
        let envelope = second.encrypt(b"again", &mut draws).unwrap().envelope;
        let parsed = Envelope::parse(&envelope).unwrap();
        let claim: Claim<'_> = world.claim(&parsed).unwrap();
        let (named, name) = claim.predecessor().unwrap();
        assert_eq!(named, b.id());
        assert_eq!(name.as_bytes(), &array(&case["cont_id"]));
        let judged = set.judge(&claim, sessions, NOW);
        if is_valid(case) {
            assert_eq!(envelope, bytes(&case["first"]["bytes"]));
            let accepted = claim.accept(&judged.unwrap(), NOW).unwrap();
            assert_eq!(accepted.opened.content.as_slice(), b"again");
        } else {
            assert!(matches!(judged, Err(RatchetError::ContinuityUnknown)));
            assert_eq!(text(&case["verdict"]), "SES-56");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
}

/// [SES-54]: a row with these sessions, in the layout of the store, and the way through them.
#[test]
fn paths_are_the_same() {
    for case in list(&file("continuations")["paths"]) {
        let root = bytes(&case["root"]);
        let listed = list(&case["sessions"]);
        for reversed in [false, true] {
            let mut row = vec![2, u8::try_from(listed.len()).unwrap(), 0];
            row.extend([0; 8]);
            row.push(u8::from(root != [0; 32]));
            row.extend(&root);
            let mut order: Vec<&Value> = listed.iter().collect();
            if reversed {
                order.reverse();
            }
            for session in order {
                let pred = bytes(&session["pred"]);
                row.push(u8::from(pred != [0; 32]));
                row.extend(bytes(&session["th"]));
                row.extend(pred);
                row.extend(number::<u32>(&session["attempt"]).to_be_bytes());
                row.extend([0; 16]);
            }
            let set = SessionSet::decode(&row).unwrap();
            let path: Vec<SessionId> = list(&case["path"])
                .iter()
                .map(|id| SessionId::new(array(id)))
                .collect();
            assert_eq!(set.path_ids(), path, "{}", case["name"]);
            assert_eq!(set.active(), path.last().copied());
        }
    }
}
