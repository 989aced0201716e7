// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Stored rows, as a damaged or manipulated store would give them back.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use waxwing_crypto::DeviceSecrets;
use waxwing_engine::{Engine, Now, Row, RowKey};
use waxwing_identity::encoding::Reader;
use waxwing_ratchet::{
    KemRowId, PrekeySecret, SentHashes, SentRowId, Session, SessionSet, SkippedId, SkippedRow,
};

use crate::golden;

/// Some day in 2024, in milliseconds since the Unix epoch.
const NOW_MS: u64 = 20_000 * 86_400_000;
/// More effects than any profile of a few rows may cause before it waits for an answer.
const EFFECTS_MAX: usize = 10_000;

/// A row is refused or read; what is read is written again as it was.
pub(crate) fn ratchet(input: &[u8]) {
    if let Ok(session) = Session::restore(input, None, []) {
        // An older format is written as the newest one, and from then on it is the same.
        let row = session.hot_row();
        let again = Session::restore(&row, None, []).expect("what was written is read");
        assert_eq!(*again.hot_row(), *row, "a session was read as another one");
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        // A manipulated state seals or refuses; it does not panic.
        let _ = session.encrypt(b"text", &mut rng);
    }
    if let Some((id, row)) = input.split_first() {
        let hot = golden("ratchet/bob-hot-2.bin").swap_remove(0);
        let _ = Session::restore(hot, None, [(KemRowId::from_byte(*id), row)]);
    }
    if let Ok(set) = SessionSet::decode(input) {
        let row = set.encode();
        let again = SessionSet::decode(&row).expect("what was written is read");
        assert_eq!(again.encode(), row, "a set was read as another one");
    }
    if let Ok(secret) = PrekeySecret::decode(input) {
        assert_eq!(
            secret.encode().as_slice(),
            input,
            "a prekey was read as another one"
        );
    }
    if let Some((id, row)) = input.split_first_chunk::<8>() {
        let id = SkippedId::from_bytes(*id);
        if let Ok(skipped) = SkippedRow::decode(id, row) {
            assert_eq!(
                skipped.encode().as_slice(),
                row,
                "a skipped key was read as another one"
            );
        }
    }
    epoch(input);
    let _ = DeviceSecrets::from_sealed_row(input);
}

/// The rows beside a session: of a KEM epoch on either side, and of what was sent.
fn epoch(input: &[u8]) {
    let Some((name, row)) = input.split_first() else {
        return;
    };
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    for hot in ["bob-hot-3", "alice-hot-3"] {
        let hot = golden(&format!("ratchet/{hot}.bin")).swap_remove(0);
        let rows = [(KemRowId::from_byte(*name), row)];
        if let Ok(session) = Session::restore(hot, None, rows) {
            assert_eq!(session.kem_rows().len(), 1, "a row was read as none");
            let _ = session.encrypt(b"text", &mut rng);
        }
    }
    let id = SentRowId {
        step: 1,
        n: (*name).into(),
    };
    if let Ok(sent) = SentHashes::restore([(id, row)]) {
        assert_eq!(sent.rows().count(), 1, "a row was read as more");
    }
}

/// A profile of any rows opens or is refused, and what opens comes to rest: it waits for an
/// answer, a time or a command after a bounded number of effects.
pub(crate) fn engine(input: &[u8]) {
    let rows = parse(input);
    let Ok(mut engine) = Engine::open(rows) else {
        return;
    };
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let now = Now {
        monotonic_ms: 1,
        wall_ms: NOW_MS,
    };
    for _ in 0..4 {
        drain(&mut engine);
        engine.handle_timeout(now, &mut rng);
    }
    drain(&mut engine);
}

fn drain(engine: &mut Engine) {
    for _ in 0..EFFECTS_MAX {
        if engine.poll_effect().is_none() {
            return;
        }
    }
    panic!("the effects have no end");
}

/// Rows as: table (u8), scope (u8 length, bytes), order (u64), value (u16 length, bytes).
fn parse(input: &[u8]) -> Vec<Row> {
    let tables = Engine::snapshot_tables();
    let mut reader = Reader::new(input);
    let mut rows = Vec::new();
    let mut next = || {
        let number = usize::from(reader.u8().ok()?);
        let table = *tables.get(number.checked_rem(tables.len())?)?;
        let scope_length = usize::from(reader.u8().ok()?);
        let scope = reader.take(scope_length).ok()?.to_vec();
        let order = reader.u64().ok()?;
        let value_length = usize::from(reader.u16().ok()?);
        let value = reader.take(value_length).ok()?.to_vec();
        let key = RowKey {
            table,
            scope,
            order,
        };
        Some(Row {
            key,
            value: value.into(),
        })
    };
    while let Some(row) = next() {
        rows.push(row);
    }
    rows
}
