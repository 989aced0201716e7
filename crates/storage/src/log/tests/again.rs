// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an opening replays, the next one does not have to.

use super::*;

fn checkpoints(folder: &MemoryFolder) -> Vec<String> {
    let names = LogFolder::list(folder).unwrap();
    let is_one = |name: &String| name.ends_with(".checkpoint");
    names.into_iter().filter(is_one).collect()
}

/// A process that was killed leaves records after its checkpoint. Whoever opens the log and closes it leaves a
/// checkpoint of them, although nothing was appended; and whoever opens it then leaves none.
#[test]
fn what_was_replayed_is_in_the_next_checkpoint() {
    let folder = MemoryFolder::new();
    let log = open(&folder);
    for number in 0..20 {
        send(&log, 1, number, 100);
    }
    acknowledge(&log, 1, &[3]);
    let killed = folder.after_power_cut(Loss::Nothing);
    let before = contents(&log, 1);
    drop(log);
    assert_eq!(checkpoints(&killed).len(), 1);
    drop(open(&killed));
    let after = checkpoints(&killed);
    assert_eq!(after.len(), 2);
    let log = open(&killed);
    assert_eq!(contents(&log, 1), before);
    assert!(knows(
        &mut log.turn().unwrap(),
        &log.prepare(mailbox(1), &arrival(2, 4))
    ));
    drop(log);
    assert_eq!(checkpoints(&killed), after);
}
