// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An engine that panics wherever it is told to.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::embedded::files::FileKeyValue;
use crate::embedded::key_value::{KeyValue as _, Order};

/// Which call of an engine panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Get,
    Range,
    Row,
    RowFromTheEnd,
    Commit,
    Close,
}

const CALLS: [Call; 6] = [
    Call::Get,
    Call::Range,
    Call::Row,
    Call::RowFromTheEnd,
    Call::Commit,
    Call::Close,
];

struct Panicking {
    at: Call,
    is_closed: Arc<AtomicBool>,
}

impl Panicking {
    fn reach(&self, call: Call) {
        assert!(engine_under_way().is_some_and(|engine| engine.name() == "planted"));
        assert!(self.at != call, "planted");
    }
}

impl Engine for Panicking {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.reach(Call::Get);
        Ok(None)
    }

    fn range<'a>(&'a self, _: &KeyRange) -> Result<Rows<'a>, StoreError> {
        self.reach(Call::Range);
        let rows = (0_u8..3).map(move |number| {
            self.reach(Call::Row);
            self.reach(Call::RowFromTheEnd);
            Ok((Bytes::copy_from_slice(&[number]), Bytes::new()))
        });
        Ok(Box::new(rows))
    }

    fn commit(&self, _: &[&Batch]) -> Result<(), StoreError> {
        self.reach(Call::Commit);
        Ok(())
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.reach(Call::Close);
    }
}

fn batch() -> Batch {
    Batch::from([(Bytes::from_static(b"a"), Some(Bytes::from_static(b"b")))])
}

async fn call(store: &FileKeyValue, at: Call) -> Result<(), StoreError> {
    let all = KeyRange::prefix(b"");
    match at {
        Call::Get => store.get(b"a").map(drop),
        Call::Range | Call::Row => store.scan(&all, Order::Ascending, 9).map(drop),
        Call::RowFromTheEnd => store.scan(&all, Order::Descending, 9).map(drop),
        Call::Commit | Call::Close => store.apply(batch()).await,
    }
}

#[tokio::test]
async fn a_panic_anywhere_in_an_engine_is_an_error_that_stops_the_store_and_leaves_a_mark() {
    for at in CALLS {
        let folder = tempfile::tempdir().unwrap();
        let is_closed = Arc::new(AtomicBool::new(false));
        let engine = Box::new(Panicking {
            at,
            is_closed: Arc::clone(&is_closed),
        });
        let site = Site::new("planted", folder.path());
        let store = FileKeyValue::start(Arc::new(Guarded::new(engine, site)), false).unwrap();
        if at != Call::Close {
            let damage = Err(StoreError::Corrupt { what: "planted" });
            assert_eq!(call(&store, at).await, damage, "{at:?}");
            // Whoever comes later hears that it has stopped, and waits for nothing.
            assert_eq!(store.apply(batch()).await, Err(StoreError::Stopped));
            assert_eq!(store.get(b"a").err(), Some(StoreError::Stopped));
        }
        drop(store);
        assert!(is_closed.load(Ordering::SeqCst), "{at:?}");
        assert!(is_marked(folder.path()), "{at:?}");
        assert!(engine_under_way().is_none());
        assert!(unmark(folder.path()).unwrap());
        assert!(!unmark(folder.path()).unwrap() && !is_marked(folder.path()));
    }
}
