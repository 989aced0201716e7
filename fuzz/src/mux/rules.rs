// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A second opinion of the rules of the multiplexer over TCP ([TRN-42] to [TRN-49]): what a peer may
//! say, and what may be said to it. It sees the wire and nothing else.

use std::collections::BTreeMap;

use waxwing_proto::limits;

use super::frames::{Reader, Said};

pub(super) const STREAMS_MAX: usize = limits::STREAMS_PER_CONNECTION_MAX as usize;

/// What may come to a server, and to a client: on one stream, and on all.
const TO_SERVER: (u64, u64) = (128 * 1024, 256 * 1024);
const TO_CLIENT: (u64, u64) = (1024 * 1024, 2 * 1024 * 1024);

/// One direction of a stream, or of all together.
#[derive(Debug, Clone, Copy)]
struct Way {
    passed: u64,
    allowed: u64,
    is_over: bool,
}

impl Way {
    const fn new(allowed: u64) -> Self {
        Self {
            passed: 0,
            allowed,
            is_over: false,
        }
    }

    /// Whether so many bytes were allowed.
    fn pass(&mut self, count: u32) -> bool {
        self.passed = self.passed.saturating_add(u64::from(count));
        self.passed <= self.allowed && !self.is_over
    }

    fn allow(&mut self, count: u32) {
        self.allowed = self.allowed.saturating_add(u64::from(count));
    }

    const fn left(&self) -> u64 {
        self.allowed.saturating_sub(self.passed)
    }
}

#[derive(Debug)]
struct Stream {
    to: Way,
    from: Way,
    was_stopped: bool,
}

impl Stream {
    const fn is_over(&self) -> bool {
        self.to.is_over && self.from.is_over
    }
}

/// What one end may hear and say.
pub(super) struct Rules {
    is_server: bool,
    /// What may come, and what may go.
    windows: ((u64, u64), (u64, u64)),
    heard: Reader,
    said: Reader,
    streams: BTreeMap<u32, Stream>,
    to: Way,
    from: Way,
    /// The peer has broken a rule, or has done what may break one that is not looked at here.
    pub(super) is_broken: bool,
    pub(super) may_be_broken: bool,
    /// The peer has ended the connection.
    pub(super) is_over: bool,
}

impl Rules {
    pub(super) fn new(is_server: bool) -> Self {
        let windows = if is_server {
            (TO_SERVER, TO_CLIENT)
        } else {
            (TO_CLIENT, TO_SERVER)
        };
        Self {
            is_server,
            windows,
            heard: Reader::default(),
            said: Reader::default(),
            streams: BTreeMap::new(),
            to: Way::new(windows.0.1),
            from: Way::new(windows.1.1),
            is_broken: false,
            may_be_broken: false,
            is_over: false,
        }
    }

    /// What may come without having been read, on all streams.
    pub(super) const fn window(&self) -> u64 {
        self.windows.0.1
    }

    /// What may still come, and go.
    pub(super) const fn left(&self) -> (u64, u64) {
        (self.to.left(), self.from.left())
    }

    pub(super) fn open_streams(&self) -> usize {
        let open = self.streams.values().filter(|stream| !stream.is_over());
        open.count()
    }

    fn add(&mut self, stream: u32) {
        let added = Stream {
            to: Way::new(self.windows.0.0),
            from: Way::new(self.windows.1.0),
            was_stopped: false,
        };
        self.streams.insert(stream, added);
    }

    /// The peer has sent this.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for said in self.heard.read(bytes) {
            if said == Said::Close {
                self.is_over = true;
            } else if !self.is_allowed(said) {
                self.is_broken = true;
            }
            if self.is_over || self.is_broken {
                break;
            }
        }
    }

    /// The end has sent this, perhaps as its last words.
    pub(super) fn say(&mut self, bytes: &[u8], is_last: bool) {
        for said in self.said.read(bytes) {
            assert!(said != Said::Close || is_last, "it goes on");
            self.note(said);
        }
    }

    /// Whether a peer may say this now.
    fn is_allowed(&mut self, said: Said) -> bool {
        match said {
            Said::Bytes {
                stream,
                count,
                ends,
            } => {
                let is_next = usize::try_from(stream).ok() == Some(self.streams.len());
                if self.is_server && is_next && self.open_streams() < STREAMS_MAX {
                    self.add(stream);
                }
                let is_within = self.to.pass(count);
                let Some(entry) = self.streams.get_mut(&stream) else {
                    return false;
                };
                let is_allowed = entry.to.pass(count) && is_within;
                entry.to.is_over |= ends;
                is_allowed
            }
            Said::Reset { stream } => {
                let entry = self.streams.get_mut(&stream);
                entry.is_some_and(|it| !core::mem::replace(&mut it.to.is_over, true))
            }
            Said::Stop { stream } => self.streams.contains_key(&stream),
            Said::StreamCredit { stream, bytes } => {
                let Some(entry) = self.streams.get_mut(&stream) else {
                    return false;
                };
                entry.from.allow(bytes);
                // Unless what counted in it was given up meanwhile, which is not seen from here.
                self.may_be_broken |= entry.from.left() > u64::from(u32::MAX);
                true
            }
            Said::Credit { bytes } => {
                self.from.allow(bytes);
                self.from.left() <= u64::from(u32::MAX)
            }
            Said::Elsewhere => {
                self.may_be_broken = true;
                !self.is_server
            }
            Said::Close | Said::Other => true,
            Said::Malformed => false,
        }
    }

    /// What the end says has to be true.
    fn note(&mut self, said: Said) {
        let is_client = !self.is_server;
        if let Said::Bytes { stream, .. } = said
            && is_client
            && usize::try_from(stream).ok() == Some(self.streams.len())
        {
            self.add(stream);
        }
        match said {
            Said::Bytes {
                stream,
                count,
                ends,
            } => {
                assert!(self.from.pass(count), "more than all credit");
                let entry = self.streams.get_mut(&stream).expect("a known stream");
                assert!(entry.from.pass(count), "more than the stream's credit");
                entry.from.is_over |= ends;
            }
            Said::Reset { stream } => {
                let entry = self.streams.get_mut(&stream).expect("a known stream");
                assert!(!entry.from.is_over, "a reset after the end");
                entry.from.is_over = true;
            }
            Said::Stop { stream } => {
                let entry = self.streams.get_mut(&stream).expect("a known stream");
                assert!(!entry.to.is_over, "nothing comes any more");
                assert!(!entry.was_stopped, "stopped twice");
                entry.was_stopped = true;
            }
            Said::StreamCredit { stream, bytes } => {
                let window = self.windows.0.0;
                let entry = self.streams.get_mut(&stream).expect("a known stream");
                entry.to.allow(bytes);
                assert!(entry.to.left() <= window, "more than a window");
            }
            Said::Credit { bytes } => {
                self.to.allow(bytes);
                assert!(self.to.left() <= self.windows.0.1, "more than a window");
            }
            Said::Close | Said::Other => {}
            Said::Elsewhere | Said::Malformed => panic!("{said:?} is not to be sent"),
        }
    }
}
