// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection ids that a server gives out: purely random.
//!
//! quinn's own ids carry a mark of a key that is new in each process, and packets without the mark
//! are dropped: clients of a restarted server would wait for their idle timeout. With random ids
//! the server answers them with a stateless reset (RFC 9000, section 10.3).

use std::time::Duration;

use aws_lc_rs::rand;
use quinn::{ConnectionId, ConnectionIdGenerator};

const SIZE: usize = 8;

/// Eight random bytes: they tell an observer nothing, and there is room for a shard later.
pub(super) struct RandomConnectionIds;

impl ConnectionIdGenerator for RandomConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; SIZE];
        if rand::fill(&mut id).is_err() {
            // Ids that can be foretold would let an observer follow a client.
            std::process::abort();
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        SIZE
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
