// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libFuzzer over the targets of `waxwing-fuzz`. One program for all of them: the environment
//! variable `WAXWING_FUZZ_TARGET` says which one runs.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use waxwing_fuzz::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("WAXWING_FUZZ_TARGET").unwrap_or_default();
        waxwing_fuzz::target(&name).expect("WAXWING_FUZZ_TARGET names a target")
    })
}

fuzz_target!(|input: &[u8]| (chosen().run)(input));
