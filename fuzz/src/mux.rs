// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The multiplexer over TCP under frames that nobody would send, while its user does anything.
//!
//! A peer that breaks no rule is not expelled, one that breaks one is; nothing is sent beyond what
//! was granted, nothing is held beyond its bound, and in the end nothing is left.

mod frames;
mod rules;

use waxwing_proto::limits;
use waxwing_transport::CloseReason;
use waxwing_transport::tcp::bare_mux::{BareMux, COMPOSED_SIZE_MAX};

use rules::{Rules, STREAMS_MAX};

/// Steps of one input.
const STEPS_MAX: usize = 400;
/// What a listener holds that has little room, and has to send, in bytes.
const SCARCE: usize = 20_000;
const SCARCE_TO_SEND: usize = 50_000;
static FILLER: [u8; 65_535] = [0xa5; 65_535];

/// The first byte: bit 0 for the client's end, bit 1 for little room. Then steps of a kind, a stream
/// and a value (u16): 0 so many raw bytes, 1 to 7 a frame, from 8 on what the user of the end does.
pub(crate) fn end(input: &[u8]) {
    run(input).finish();
}

/// The steps of an input, and what they led to.
fn run(input: &[u8]) -> End {
    let (first, mut rest) = input.split_first().unwrap_or((&0, &[]));
    let mut end = End::new(first & 1 == 0, first & 2 != 0);
    for _ in 0..STEPS_MAX {
        let Some((&[kind, stream, high, low], after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        rest = after;
        let value = u16::from_be_bytes([high, low]);
        if kind & 15 == 0 {
            let (bytes, after) = rest.split_at(usize::from(value).min(rest.len()));
            rest = after;
            end.receive(bytes);
        } else if kind & 15 < 8 {
            end.receive(&frame(kind & 15, stream, value));
        } else {
            end.act(kind & 15, stream, usize::from(value));
        }
        end.check();
    }
    end
}

/// A frame as a peer writes it. The high bit of the stream makes a credit large.
fn frame(kind: u8, stream: u8, value: u16) -> Vec<u8> {
    let number = u32::from(stream & 0x7f).to_be_bytes();
    let credit = u32::from(value) << if stream < 0x80 { 0 } else { 16 };
    let code = u32::from(value).to_be_bytes();
    let mut out = Vec::new();
    match kind {
        1 | 2 => {
            out.push(kind.saturating_sub(1));
            out.extend_from_slice(&number);
            out.extend_from_slice(&value.to_be_bytes());
            out.extend(FILLER.iter().take(usize::from(value)));
        }
        3 | 4 => {
            out.push(kind.saturating_sub(1));
            out.extend_from_slice(&number);
            out.extend_from_slice(&code);
        }
        5 => {
            out.push(4);
            out.extend_from_slice(&number);
            out.extend_from_slice(&credit.to_be_bytes());
        }
        6 => {
            out.push(5);
            out.extend_from_slice(&credit.to_be_bytes());
        }
        _ if stream & 1 == 0 => out.push(6),
        _ => {
            out.push(8);
            out.extend_from_slice(&code);
        }
    }
    out
}

/// The end that is attacked, and what it has to keep to.
struct End {
    mux: BareMux,
    rules: Rules,
    is_server: bool,
    held_max: usize,
    queued_max: usize,
    keys: Vec<u32>,
}

impl End {
    fn new(is_server: bool, is_scarce: bool) -> Self {
        let (held_max, queued_max) = if is_scarce {
            (SCARCE, SCARCE_TO_SEND)
        } else {
            (usize::MAX, usize::MAX)
        };
        Self {
            mux: BareMux::new(is_server, held_max, queued_max),
            rules: Rules::new(is_server),
            is_server,
            held_max,
            queued_max,
            keys: Vec::new(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let was_over = self.mux.close_reason().is_some();
        self.mux.receive(bytes);
        if was_over {
            return;
        }
        self.rules.hear(bytes);
        let Rules {
            is_broken, is_over, ..
        } = self.rules;
        match self.mux.close_reason() {
            None => assert!(!is_broken && !is_over, "it goes on"),
            Some(CloseReason::Fault) => {
                assert!(is_broken || self.rules.may_be_broken, "no rule was broken");
            }
            Some(CloseReason::Peer { .. }) => assert!(is_over, "nobody has ended it"),
            // For want of memory.
            Some(_) => assert!(self.held_max == SCARCE, "there was room"),
        }
    }

    fn act(&mut self, kind: u8, nth: u8, value: usize) {
        if kind == 8 {
            let new = if self.is_server {
                self.mux.accept()
            } else {
                self.mux.open()
            };
            self.keys.extend(new);
        } else if kind == 15 {
            self.send();
        }
        let count = self.keys.len();
        let Some(at) = usize::from(nth).checked_rem(count) else {
            return;
        };
        let Some(&key) = self.keys.get(at) else {
            return;
        };
        let code = u32::try_from(value).unwrap_or(0);
        match kind {
            9 => drop(self.mux.write(key, value.saturating_mul(8))),
            10 => drop(self.mux.read(key, value.saturating_add(1))),
            11 => self.mux.finish(key),
            12 => self.mux.reset(key, code),
            13 => self.mux.stop(key, code),
            14 => {
                self.mux.release(key);
                self.keys.remove(at);
            }
            _ => {}
        }
    }

    /// Takes what the end wants to send.
    fn send(&mut self) -> bool {
        let out = self.mux.compose();
        assert!(out.len() <= COMPOSED_SIZE_MAX, "{} bytes", out.len());
        self.rules.say(&out, self.mux.close_reason().is_some());
        !out.is_empty()
    }

    /// The bounds, and that nothing is counted wrongly.
    fn check(&self) {
        let counts = self.mux.counts();
        let held_max = limits::TCP_HELD_BYTES_SPARED.max(self.held_max);
        assert!(counts.held <= held_max, "{counts:?}");
        assert!(wide(counts.held) <= self.rules.window(), "{counts:?}");
        assert_eq!(counts.held, counts.held_by_all);
        let to_send = counts.queued.saturating_add(counts.composed);
        assert!(counts.queued <= limits::TCP_SEND_QUEUE_SIZE_MAX);
        assert!(counts.queued_by_all <= self.queued_max, "{counts:?}");
        let spared = limits::TCP_QUEUED_BYTES_SPARED;
        assert!(to_send <= spared.saturating_add(counts.queued_by_all));
        assert!(to_send > spared || counts.queued_by_all == 0, "{counts:?}");
        assert!(counts.open <= STREAMS_MAX, "{counts:?}");
        // A client's user keeps what it has opened as long as it likes.
        assert!(!self.is_server || counts.in_hand <= STREAMS_MAX);
        assert!(counts.known <= counts.open.saturating_add(counts.in_hand));
        if self.mux.close_reason().is_some() {
            return;
        }
        assert!(!self.is_server || counts.open == self.rules.open_streams());
        assert_eq!(counts.kept, counts.held);
        let (may_come, may_go) = self.rules.left();
        assert_eq!(u64::from(counts.receive_credit), may_come);
        let not_granted = wide(counts.held).saturating_add(counts.returnable.into());
        assert_eq!(may_come.saturating_add(not_granted), self.rules.window());
        let sendable = wide(counts.queued).saturating_add(counts.send_credit.into());
        assert_eq!(sendable, may_go, "{counts:?}");
    }

    /// Nothing stays when nobody has a stream any more.
    fn finish(mut self) {
        loop {
            for key in core::mem::take(&mut self.keys) {
                self.mux.release(key);
            }
            self.keys.extend(self.mux.accept());
            if self.keys.is_empty() {
                break;
            }
        }
        while self.send() {}
        self.check();
        let counts = self.mux.counts();
        assert_eq!((counts.held, counts.queued, counts.in_hand), (0, 0, 0));
        assert!(!self.send(), "there is always something to say");
        assert_eq!(self.mux.end(), (0, 0));
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use waxwing_transport::CloseCode;

    use super::*;

    fn after(name: &str) -> End {
        let path = crate::corpus_folder("tcp_frames").join(name);
        run(&std::fs::read(path).unwrap())
    }

    /// The corpus reaches every way in which a connection ends, and what lies behind the first window.
    #[test]
    fn the_corpus_reaches_what_matters() {
        for (name, expected) in [
            ("calls", None),
            ("windows", None),
            ("given-up", None),
            ("not-read", None),
            ("client-stops", None),
            ("too-much", Some(CloseReason::Fault)),
            ("many-streams", Some(CloseReason::Fault)),
            ("cut", Some(CloseReason::Fault)),
            ("scarce", Some(CloseReason::Local(CloseCode::Overloaded))),
        ] {
            assert_eq!(after(name).mux.close_reason(), expected, "{name}");
        }
        let left = after("client");
        assert!(matches!(
            left.mux.close_reason(),
            Some(CloseReason::Peer { .. })
        ));
        assert_eq!(after("calls").rules.open_streams(), 0);
        let (_, may_go) = after("not-read").rules.left();
        assert!(may_go > 2 * 1024 * 1024, "credit came and was counted");
        let (may_come, _) = after("windows").rules.left();
        assert!(may_come > 200_000, "credit was granted anew");
    }
}
