// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Building the images of a recording and opening each of them, in a process that may end.

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::disk::Disk;
use crate::image::Kept;
use crate::recording::{Kind, Place};
use crate::subject::{Broken, ClientSubject, Finding, ServerSubject, Subject, broken, was_rebuilt};
use crate::trace::Event;
use crate::work::Plant;

/// One image of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The event after which the power is cut.
    pub event: usize,
    /// What is kept.
    pub kept: Kept,
    /// The number of the image, which decides its choices.
    pub number: u64,
}

/// Instead of a number of images: one for each point.
pub const EVERY_POINT: u64 = 0;

/// What was found in one image; a line of a worker's output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// The number of the image.
    pub number: u64,
    /// The event after which the power was cut.
    pub event: usize,
    /// What was kept.
    pub kept: String,
    /// The promise that is broken; absent where none is.
    pub broken: Option<Broken>,
    /// What exactly is wrong.
    pub what: String,
}

impl Verdict {
    /// The verdict over an image.
    #[must_use]
    pub fn of(wanted: Wanted, found: Result<(), Finding>) -> Self {
        let (broken, what) = match found {
            Ok(()) => (None, String::new()),
            Err((broken, what)) => (Some(broken), what),
        };
        Self {
            number: wanted.number,
            event: wanted.event,
            kept: wanted.kept.name().to_owned(),
            broken,
            what,
        }
    }
}

/// Whether a power cut after this event differs from one after its neighbours: something was
/// acknowledged, made durable or about to be, or a name or a length changed.
const fn is_point(event: &Event) -> bool {
    matches!(
        event,
        Event::SyncBegin { .. }
            | Event::SyncEnd { .. }
            | Event::Mark(_)
            | Event::Rename { .. }
            | Event::Unlink(_)
            | Event::Length { .. }
            | Event::Open { created: true, .. }
    )
}

/// The images to be built of some events: spread evenly over all points, each kind in turn. With
/// [`EVERY_POINT`] there is one for each point, and nothing is kept that was not synced.
#[must_use]
pub fn plan(events: &[Event], images: u64) -> Vec<Wanted> {
    let points: Vec<usize> = (0..events.len())
        .filter(|place| is_point(&events[*place]))
        .collect();
    if images == EVERY_POINT {
        let every = (0..).zip(points).map(|(number, event)| Wanted {
            event,
            kept: Kept::Nothing,
            number,
        });
        return every.collect();
    }
    let count = u64::try_from(points.len()).unwrap_or(u64::MAX);
    let mut wanted: Vec<Wanted> = (0..images)
        .filter_map(|number| {
            let place = u128::from(number) * u128::from(count) / u128::from(images.max(1));
            Some(Wanted {
                event: *points.get(usize::try_from(place).ok()?)?,
                kept: Kept::ALL[usize::try_from(number % 4).ok()?],
                number,
            })
        })
        .collect();
    wanted.sort_by_key(|one| (one.event, one.number));
    wanted
}

/// What a worker examines.
#[derive(Debug, Clone)]
pub struct Part {
    /// The kind of store.
    pub kind: Kind,
    /// The seed of the recording.
    pub seed: u64,
    /// What is planted.
    pub plant: Option<Plant>,
    /// How many images the whole recording has.
    pub images: u64,
    /// The places in the plan that are this worker's: the first one.
    pub first: usize,
    /// And the one after the last.
    pub end: usize,
}

/// Builds and opens the images of a part and prints a verdict a line.
///
/// # Errors
/// The recording is not whole, or the output cannot be written.
pub async fn run(place: &Place, part: &Part, scratch: &Path, out: &mut impl Write) -> Result<()> {
    let events = place.events()?;
    let plan = plan(&events, part.images);
    let wanted = plan
        .get(part.first..part.end.min(plan.len()))
        .context("there are not so many images")?;
    match part.kind {
        Kind::Server | Kind::ServerRedb => {
            let subject = ServerSubject::new(part.kind.engine(), part.plant);
            examine(&events, place, part.seed, wanted, subject, (scratch, out)).await
        }
        Kind::Client => {
            let subject = ClientSubject::new(part.plant);
            examine(&events, place, part.seed, wanted, subject, (scratch, out)).await
        }
    }
}

async fn examine<S: Subject>(
    events: &[Event],
    place: &Place,
    seed: u64,
    wanted: &[Wanted],
    mut subject: S,
    (scratch, out): (&Path, &mut impl Write),
) -> Result<()> {
    let store = place.store();
    let mut disk = Disk::new(store.to_str().context("the folder's name is not UTF-8")?);
    let mut wanted = wanted.iter().peekable();
    for (number, event) in events.iter().enumerate() {
        disk.apply(event)
            .with_context(|| format!("event {number}"))?;
        if let Event::Mark(line) = event {
            subject.hear(line)?;
        }
        while let Some(one) = wanted.next_if(|one| one.event == number) {
            let mut choice = Choice::new(seed, one.number);
            let image = disk.image(one.kept, &mut choice);
            let folder = scratch.join(format!("image.{}", std::process::id()));
            image.place(&folder)?;
            let mut found = catch(subject.check(&folder, &mut choice)).await;
            if found.is_ok() && was_rebuilt(&folder) {
                // A power cut is no damage: the rows themselves have to bear it.
                found = broken(Broken::Refused, "the rows did not open and were made anew");
            }
            serde_json::to_writer(&mut *out, &Verdict::of(*one, found))?;
            writeln!(out)?;
            out.flush()?;
            std::fs::remove_dir_all(&folder)?;
        }
        if wanted.peek().is_none() {
            break;
        }
    }
    Ok(())
}

/// A panic while an image is opened is a broken promise of that image, and not the end.
pub(crate) async fn catch(check: impl Future<Output = Result<(), Finding>>) -> Result<(), Finding> {
    let mut check = std::pin::pin!(check);
    core::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            let what = "a panic while the store was open".to_owned();
            core::task::Poll::Ready(Err((Broken::Died, what)))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_covers_every_point_and_every_kind() {
        let events: Vec<Event> = (0..20)
            .map(|number| Event::SyncEnd { number })
            .chain([Event::Start])
            .collect();
        let plan = plan(&events, 80);
        assert_eq!(plan.len(), 80);
        for event in 0..20 {
            let kinds: Vec<Kept> = plan
                .iter()
                .filter(|one| one.event == event)
                .map(|one| one.kept)
                .collect();
            assert_eq!(kinds, Kept::ALL);
        }
        assert!(plan.iter().all(|one| one.event < 20));
    }
}
