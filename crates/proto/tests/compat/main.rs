// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Golden files of every protobuf message: read, compared, written again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

#[path = "../../../../vectors/compat/golden.rs"]
mod golden;
mod parts;
mod profile;
mod schema;
mod wire;

use std::collections::BTreeMap;

use golden::Golden;
use prost::Message;

/// Reads the stored bytes, compares and writes them again.
type Replay = Box<dyn Fn(&[u8])>;

/// One golden file: a message in a filled form.
struct Sample {
    file: String,
    message: &'static str,
    bytes: Vec<u8>,
    replay: Replay,
}

/// `value` as the file `FILE` of the message `MESSAGE`.
fn sample<M>(message: &'static str, variant: &str, value: M) -> Sample
where
    M: Message + Default + PartialEq + core::fmt::Debug + 'static,
{
    let bytes = value.encode_to_vec();
    let file = format!("{message}{variant}");
    let name = file.clone();
    let replay = move |stored: &[u8]| {
        let read = M::decode(stored).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(read == value, "{name}: the values differ: {read:?}");
        assert_eq!(read.encode_to_vec(), stored, "{name}: the encoding differs");
    };
    Sample {
        file,
        message,
        bytes,
        replay: Box::new(replay),
    }
}

/// Samples by the name of their type: `samples![Type { fields }, "-variant" => Type { fields }]`.
#[macro_export]
macro_rules! samples {
    ($($($variant:literal =>)? $message:ident $fields:tt),* $(,)?) => {
        vec![$($crate::sample(
            stringify!($message),
            concat!("" $(, $variant)?),
            waxwing_proto::v1::$message $fields,
        )),*]
    };
}

fn replay(group: &str, protos: &[&str], samples: Vec<Sample>) {
    let mut golden = Golden::open(group);
    let mut filled: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for sample in samples {
        let what = format!("waxwing.v1.{}", sample.message);
        let stored = golden.bytes(&sample.file, &what, || sample.bytes.clone());
        (sample.replay)(&stored);
        filled.entry(sample.message).or_default().push(stored);
    }
    golden.finish();
    schema::all_fields_are_filled(protos, &filled);
}

#[test]
fn messages_that_travel_are_read_for_ever() {
    let protos = [
        "account",
        "connection",
        "content",
        "linking",
        "mailbox",
        "prekeys",
        "sending",
    ];
    let mut samples = wire::account();
    samples.extend(wire::connection());
    samples.extend(wire::content());
    samples.extend(wire::mailbox());
    replay("wire", &protos, samples);
}

#[test]
fn rows_of_a_profile_are_read_for_ever() {
    replay("profile", &["profile"], profile::rows());
}
