// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A few seeds of the real QUIC stack as ordinary tests. `cargo xtask sim --quic` runs more.

use waxwing_simulator::quic::run;

#[test]
fn nothing_is_lost_doubled_or_late() {
    for seed in 1..=20 {
        let run = run(seed, false).unwrap();
        assert_eq!(run.failures, Vec::<String>::new(), "seed {seed}");
        assert_eq!(run.messages, 13, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let (one, two, other) = (
        run(5, false).unwrap(),
        run(5, false).unwrap(),
        run(6, false).unwrap(),
    );
    assert_eq!((&one.hash, one.packets), (&two.hash, two.packets));
    assert_ne!(one.hash, other.hash);
}
