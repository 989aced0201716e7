// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the peer says it has opened, judged by what was sent.

use super::world::{Party, acquainted};
use crate::Acknowledgement;

fn exchange(from: &mut Party, to: &mut Party) {
    let envelope = from.send(to, b"x");
    to.receive(&envelope).unwrap();
}

/// [SES-110], [SES-111]: whatever arrives in whatever order names what was sent.
#[test]
fn honest_acknowledgements_are_ours() {
    let (mut a, mut b) = acquainted();
    let late = a.send(&mut b, b"late");
    for _ in 0..40 {
        exchange(&mut a, &mut b);
    }
    exchange(&mut b, &mut a);
    exchange(&mut a, &mut b);
    b.receive(&late).unwrap();
    let old = b.send(&mut a, b"old");
    for _ in 0..3 {
        exchange(&mut b, &mut a);
        exchange(&mut a, &mut b);
    }
    a.judged.clear();
    a.receive(&old).unwrap();
    // Three own steps later nothing is known of the chain that it acknowledges.
    assert_eq!(a.judged, [Acknowledgement::Forgotten]);
    a.judged.clear();
    exchange(&mut b, &mut a);
    assert_eq!(a.judged, [Acknowledgement::Ours]);
    let ours = |party: &Party| {
        party
            .judged
            .iter()
            .all(|one| *one != Acknowledgement::Foreign)
    };
    assert!(ours(&a) && ours(&b) && b.judged.len() > 3);
}

/// A copy of A sends under the number that A uses next; B opens the copy's envelope. What B
/// acknowledges is not what A sent.
#[test]
fn a_copy_of_the_own_device_is_found_out() {
    for honest_sends in [false, true] {
        let (mut a, mut b) = acquainted();
        exchange(&mut a, &mut b);
        let copy = a.active().encrypt(b"the copy", &mut b.rng.clone()).unwrap();
        b.receive(&copy.envelope).unwrap();
        if honest_sends {
            let honest = a.send(&mut b, b"the honest device");
            assert!(b.receive(&honest).is_err());
        }
        a.judged.clear();
        exchange(&mut b, &mut a);
        assert_eq!(a.judged, [Acknowledgement::Foreign]);
    }
}

#[test]
fn the_hashes_are_few_rows() {
    let (mut a, mut b) = acquainted();
    for _ in 0..3 {
        for _ in 0..300 {
            a.send(&mut b, b"x");
        }
        exchange(&mut a, &mut b);
        exchange(&mut b, &mut a);
    }
    exchange(&mut a, &mut b);
    let id = a.active().id();
    assert_eq!(a.sent_rows.len(), 10 + 1);
    assert!(a.sent_rows.values().all(|row| row.len() <= 261));
    assert!(
        a.sent_hashes(id)
            .rows()
            .eq(a.sent_rows.keys().map(|(_, row)| *row))
    );
}
