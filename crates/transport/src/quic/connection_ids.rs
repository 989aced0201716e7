// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection ids that a server gives out: they name a shard to the server, and nothing to
//! anybody else.
//!
//! quinn's own ids carry a mark of a key that is new in each process, and packets without the mark
//! are dropped: clients of a restarted server would wait for their idle timeout. With these ids the
//! server answers them with a stateless reset (RFC 9000, section 10.3).

use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use quinn::{ConnectionId, ConnectionIdGenerator};

/// A masked shard and random bytes.
const SIZE: usize = 8;

/// Ids of one shard. Seven random bytes, and before them the shard, masked by a keyed hash of them:
/// to whoever has not the key all eight are random.
///
/// There is one endpoint for now, and it is shard 0. A server with several sockets reads the shard
/// of an id and hands the packet to its owner, so that a client whose address changes stays where
/// its connection is.
#[derive(Clone)]
pub(super) struct ShardedConnectionIds {
    key: hmac::Key,
    shard: u8,
}

impl ShardedConnectionIds {
    pub(super) const fn new(key: hmac::Key, shard: u8) -> Self {
        Self { key, shard }
    }

    fn mask(&self, random: &[u8]) -> u8 {
        let tag = hmac::sign(&self.key, random);
        tag.as_ref().first().copied().unwrap_or(0)
    }

    /// The shard that gave an id out; any shard for one that none did.
    #[cfg(test)]
    fn shard_of(&self, id: &[u8]) -> Option<u8> {
        let (masked, random) = id.split_first()?;
        Some(masked ^ self.mask(random))
    }
}

impl ConnectionIdGenerator for ShardedConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; SIZE];
        let [masked, random @ ..] = &mut id;
        if rand::fill(random).is_err() {
            // Ids that can be foretold would let an observer follow a client.
            std::process::abort();
        }
        *masked = self.shard ^ self.mask(random);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        SIZE
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [TRN-65].
    #[test]
    fn the_owner_reads_the_shard_and_others_see_noise() {
        let key = |byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let mut ids = ShardedConnectionIds::new(key(1), 5);
        let stranger = ShardedConnectionIds::new(key(2), 0);
        let (mut first_bytes, mut hits) = ([false; 256], 0);
        for _ in 0..4096 {
            let id = ids.generate_cid();
            assert_eq!(ids.shard_of(&id), Some(5));
            first_bytes[usize::from(id[0])] = true;
            hits += u32::from(stranger.shard_of(&id) == Some(5));
        }
        // Every value of the masked byte occurs, and a guess is right as often as chance.
        assert!(first_bytes.iter().filter(|it| **it).count() > 250);
        assert!(hits < 64, "{hits}");
    }
}
