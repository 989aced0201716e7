// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random steps and cuts against a model of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The last position and the contents of each mailbox.
type Shown = BTreeMap<u8, (u64, Contents)>;

fn shown(log: &DeliveryLog) -> Shown {
    (0..4)
        .map(|of| {
            let mut turn = log.turn().unwrap();
            let last = turn
                .mailbox(&mailbox(of))
                .unwrap()
                .map(Mailbox::last_position);
            drop(turn);
            (of, (last.map_or(0, |last| last.0), contents(log, of)))
        })
        .collect()
}

/// What a mailbox has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Model {
    held: BTreeMap<u8, BTreeMap<u64, u32>>,
    last: BTreeMap<u8, u64>,
    gone: BTreeSet<(u8, u32)>,
}

impl Model {
    fn deliver(&mut self, to: u8, number: u32) {
        let last = self.last.entry(to).or_default();
        *last = last.saturating_add(1);
        self.held.entry(to).or_default().insert(*last, number);
    }

    fn shown(&self) -> Shown {
        (0..4)
            .map(|of| {
                let held = self.held.get(&of).cloned().unwrap_or_default();
                let last = self.last.get(&of).copied().unwrap_or_default();
                (of, (last, held.into_iter().collect()))
            })
            .collect()
    }
}

#[derive(Debug, Clone)]
enum Action {
    /// To one mailbox or to two at once; waited for or not.
    Deliver {
        to: u8,
        both: bool,
        size: usize,
        wait: bool,
    },
    Acknowledge {
        of: u8,
        index: usize,
        count: usize,
        wait: bool,
    },
    Remove(u8),
    TidyUp,
    /// Nothing can be written any more after so many calls.
    Die(u64),
    Cut(Loss),
    Close,
}

fn action() -> impl Strategy<Value = Action> {
    let loss = prop_oneof![
        Just(Loss::All),
        any::<u64>().prop_map(Loss::Cut),
        any::<u64>().prop_map(Loss::Pages),
        Just(Loss::Nothing),
    ];
    prop_oneof![
        12 => (0_u8..4, any::<bool>(), 4_usize..1500, prop::bool::weighted(0.7))
            .prop_map(|(to, both, size, wait)| Action::Deliver { to, both, size, wait }),
        6 => (0_u8..4, 0_usize..6, 1_usize..5, any::<bool>())
            .prop_map(|(of, index, count, wait)| Action::Acknowledge { of, index, count, wait }),
        1 => (0_u8..4).prop_map(Action::Remove),
        2 => Just(Action::TidyUp),
        1 => (0_u64..30).prop_map(Action::Die),
        3 => loss.prop_map(Action::Cut),
        1 => Just(Action::Close),
    ]
}

struct World {
    folder: MemoryFolder,
    log: Option<DeliveryLog>,
    /// What is certain, and what it becomes with each change that is not.
    states: Vec<Model>,
    next: u32,
}

impl World {
    fn commit(&mut self, group: Group, model: Model, is_waited_for: bool) {
        self.states.push(model);
        let log = self.log.as_ref().unwrap();
        let committed = log.turn().and_then(|turn| turn.commit(group));
        if is_waited_for
            && let Ok(committed) = committed
            && wait(committed.durable()).is_ok()
        {
            let last = self.states.pop().unwrap();
            self.states = vec![last];
        }
    }

    fn restart(&mut self, folder: MemoryFolder) {
        drop(self.log.take());
        self.folder = folder;
        let log = open(&self.folder);
        let shown = shown(&log);
        let fitting: Vec<Model> = self
            .states
            .iter()
            .filter(|state| state.shown() == shown)
            .cloned()
            .collect();
        assert!(
            !fitting.is_empty(),
            "neither what was acknowledged nor more of it: {shown:?} of {:?}",
            self.states.iter().map(Model::shown).collect::<Vec<_>>()
        );
        let state = fitting.last().unwrap().clone();
        for (of, held) in &state.held {
            for number in held.values() {
                let prepared = log.prepare(mailbox(*of), &arrival(*number, 4));
                assert!(knows(&mut log.turn().unwrap(), &prepared), "stored twice");
            }
        }
        for (of, number) in &fitting[0].gone {
            let prepared = log.prepare(mailbox(*of), &arrival(*number, 4));
            assert!(knows(&mut log.turn().unwrap(), &prepared), "not remembered");
        }
        self.states = vec![state];
        self.log = Some(log);
    }
}

fn run(actions: Vec<Action>) {
    let folder = MemoryFolder::new();
    let mut world = World {
        log: Some(open(&folder)),
        folder,
        states: vec![Model::default()],
        next: 0,
    };
    for action in actions {
        let mut model = world.states.last().unwrap().clone();
        match action {
            Action::Deliver {
                to,
                both,
                size,
                wait,
            } => {
                let mut group = Vec::new();
                let targets = if both {
                    vec![to, to.wrapping_add(1) % 4]
                } else {
                    vec![to]
                };
                for to in targets {
                    world.next = world.next.saturating_add(1);
                    let log = world.log.as_ref().unwrap();
                    let prepared = log.prepare(mailbox(to), &arrival(world.next, size));
                    group.push(Change::Deliver(prepared));
                    model.deliver(to, world.next);
                }
                world.commit(group, model, wait);
            }
            Action::Acknowledge {
                of,
                index,
                count,
                wait,
            } => {
                let held = model.held.entry(of).or_default();
                let positions: Vec<u64> = held.keys().copied().skip(index).take(count).collect();
                for position in &positions {
                    let number = held.remove(position).unwrap();
                    model.gone.insert((of, number));
                }
                let positions = positions.into_iter().map(Position).collect();
                world.commit(
                    vec![Change::Acknowledge(mailbox(of), positions)],
                    model,
                    wait,
                );
            }
            Action::Remove(of) => {
                model.held.remove(&of);
                model.last.remove(&of);
                model.gone.retain(|(mailbox, _)| *mailbox != of);
                world.commit(vec![Change::RemoveMailbox(mailbox(of))], model, true);
            }
            Action::TidyUp => {
                let _may_be_dead = world.log.as_ref().unwrap().tidy_up();
            }
            Action::Die(calls) => world.folder.set_trouble(Some((calls, Trouble::Dead))),
            Action::Cut(loss) => {
                let folder = world.folder.after_power_cut(loss);
                world.restart(folder);
            }
            Action::Close => {
                drop(world.log.take());
                let folder = world.folder.after_power_cut(Loss::Nothing);
                world.restart(folder);
            }
        }
    }
    let folder = world.folder.after_power_cut(Loss::All);
    world.restart(folder);
    assert_eq!(world.log.as_ref().unwrap().damaged_count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Whatever is cut where, an opening finds everything that was acknowledged and a prefix of
    /// what was not; nothing comes back and nothing is stored twice.
    #[test]
    fn no_cut_loses_or_resurrects(actions in proptest::collection::vec(action(), 1..80)) {
        // BOX-76.
        run(actions);
    }
}
