// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may call how often: rate limits over bounded tables.
//!
//! The anonymous plane has no caller, so limits are keyed by what a call names (a delivery id, the
//! account behind it) and by a keyed hash of the address prefix. The key of that hash lives in
//! memory only and changes daily, so no table can be turned back into addresses.
//! Each limit is a generic cell rate algorithm (ITU-T I.371): one number a key.

mod cells;

use sha2::{Digest, Sha256};
use waxwing_proto::{AccountKey, DeliveryId, limits};
use waxwing_transport::AddressPrefix;

use self::cells::Cells;

/// How long one key of the address hash is used, in milliseconds.
const HASH_KEY_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;
const MINUTE_MS: u64 = 60 * 1000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// What a call costs, and so which limit it counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// One name looked up.
    ResolveName,
    /// One registration tried.
    Register,
    /// One signature checked: an authentication, a manifest replaced.
    Authenticate,
    /// One call that creates or revokes delivery ids: a write each.
    DeliveryIds,
    /// One prekey bundle handed out.
    TakePrekeys,
    /// One answer with manifests.
    FetchManifests,
    /// One send call.
    Send,
    /// One rendezvous slot written.
    Rendezvous,
    /// One rendezvous slot asked for, with a wait or without.
    FetchRendezvous,
}

/// How many of one [`Action`] are allowed in one period. All of them may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number in one period. 0 forbids the action.
    pub count: u32,
    /// The period, in milliseconds.
    pub period_ms: u64,
}

impl Rate {
    const fn per_minute(count: u32) -> Self {
        Self {
            count,
            period_ms: MINUTE_MS,
        }
    }

    const fn per_hour(count: u32) -> Self {
        Self {
            count,
            period_ms: HOUR_MS,
        }
    }
}

/// The rates of a server. The defaults are those of `waxwing_proto::limits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Name look-ups from one address prefix.
    pub name_lookups: Rate,
    /// Registrations from one address prefix.
    pub registrations: Rate,
    /// Signature checks asked for from one address prefix.
    pub authentications: Rate,
    /// Calls that create or revoke delivery ids from one address prefix.
    pub delivery_ids: Rate,
    /// Bundles handed out for one delivery id.
    pub prekeys_per_delivery_id: Rate,
    /// Bundles handed out for one account.
    pub prekeys_per_account: Rate,
    /// Bundles handed out to one address prefix.
    pub prekeys_per_prefix: Rate,
    /// Manifest fetches from one address prefix.
    pub manifests: Rate,
    /// Send calls with one delivery id.
    pub sends_per_delivery_id: Rate,
    /// Send calls to one account.
    pub sends_per_account: Rate,
    /// Send calls from one address prefix.
    pub sends_per_prefix: Rate,
    /// Rendezvous slots written from one address prefix.
    pub rendezvous: Rate,
    /// Rendezvous slots asked for from one address prefix.
    pub rendezvous_fetches: Rate,
}

impl Rates {
    /// Rates that nobody reaches. For measurements, and for networks where nobody is hostile.
    #[must_use]
    pub const fn unlimited() -> Self {
        let rate = Rate::per_minute(u32::MAX);
        Self {
            name_lookups: rate,
            registrations: rate,
            authentications: rate,
            delivery_ids: rate,
            prekeys_per_delivery_id: rate,
            prekeys_per_account: rate,
            prekeys_per_prefix: rate,
            manifests: rate,
            sends_per_delivery_id: rate,
            sends_per_account: rate,
            sends_per_prefix: rate,
            rendezvous: rate,
            rendezvous_fetches: rate,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        let prekeys = limits::PREKEY_FETCHES_PER_HOUR_MAX;
        Self {
            name_lookups: Rate::per_minute(limits::NAME_LOOKUPS_PER_MINUTE_MAX),
            registrations: Rate::per_hour(limits::REGISTRATIONS_PER_HOUR_MAX),
            authentications: Rate::per_minute(limits::AUTHENTICATIONS_PER_MINUTE_MAX),
            delivery_ids: Rate::per_minute(limits::DELIVERY_ID_CALLS_PER_MINUTE_MAX),
            prekeys_per_delivery_id: Rate::per_hour(prekeys),
            prekeys_per_account: Rate::per_hour(prekeys.saturating_mul(8)),
            prekeys_per_prefix: Rate::per_hour(prekeys.saturating_mul(16)),
            manifests: Rate::per_minute(limits::MANIFEST_FETCHES_PER_MINUTE_MAX),
            sends_per_delivery_id: Rate::per_minute(limits::SENDS_PER_MINUTE_MAX),
            sends_per_account: Rate::per_minute(limits::SENDS_PER_MINUTE_MAX.saturating_mul(8)),
            sends_per_prefix: Rate::per_minute(limits::SENDS_PER_MINUTE_MAX.saturating_mul(8)),
            rendezvous: Rate::per_minute(limits::RENDEZVOUS_WRITES_PER_MINUTE_MAX),
            rendezvous_fetches: Rate::per_minute(limits::RENDEZVOUS_FETCHES_PER_MINUTE_MAX),
        }
    }
}

/// A refusal: when the same call can succeed, counted from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Milliseconds until then.
    pub retry_after_ms: u32,
}

/// The keyed hash of an address prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PrefixHash([u8; 16]);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Subject {
    DeliveryId(DeliveryId),
    Account(AccountKey),
    Prefix(PrefixHash),
}

type Key = (Action, Subject);

/// The rate limits of one server.
pub struct Admission {
    rates: Rates,
    hash_key: [u8; 32],
    hash_key_until_ms: u64,
    cells: Cells,
}

impl Admission {
    /// Empty tables. `hash_key` is 32 random bytes.
    #[must_use]
    pub fn new(rates: Rates, hash_key: [u8; 32], now_ms: u64) -> Self {
        Self {
            rates,
            hash_key,
            hash_key_until_ms: now_ms.saturating_add(HASH_KEY_LIFETIME_MS),
            cells: Cells::default(),
        }
    }

    /// Whether [`Self::change_hash_key`] is due.
    #[must_use]
    pub fn hash_key_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.hash_key_until_ms
    }

    /// Replaces the key of the address hash by 32 fresh random bytes and forgets every address.
    pub fn change_hash_key(&mut self, hash_key: [u8; 32], now_ms: u64) {
        self.hash_key = hash_key;
        self.hash_key_until_ms = now_ms.saturating_add(HASH_KEY_LIFETIME_MS);
        self.cells.forget_prefixes();
    }

    /// Counts `cost` of `action` against the caller's address prefix.
    ///
    /// # Errors
    /// [`Refused`]; nothing is counted then.
    pub fn from_address(
        &mut self,
        action: Action,
        address: AddressPrefix,
        cost: u32,
        now_ms: u64,
    ) -> Result<(), Refused> {
        let rate = match action {
            Action::ResolveName => self.rates.name_lookups,
            Action::Register => self.rates.registrations,
            Action::Authenticate => self.rates.authentications,
            Action::DeliveryIds => self.rates.delivery_ids,
            Action::TakePrekeys => self.rates.prekeys_per_prefix,
            Action::FetchManifests => self.rates.manifests,
            Action::Send => self.rates.sends_per_prefix,
            Action::Rendezvous => self.rates.rendezvous,
            Action::FetchRendezvous => self.rates.rendezvous_fetches,
        };
        let subject = Subject::Prefix(self.prefix_hash(address));
        self.cells.count([((action, subject), rate)], cost, now_ms)
    }

    /// Counts `cost` prekey bundles or sends against the delivery id and the account behind it.
    ///
    /// # Errors
    /// [`Refused`]; nothing is counted then.
    pub fn to_account(
        &mut self,
        action: Action,
        delivery_id: DeliveryId,
        account: AccountKey,
        cost: u32,
        now_ms: u64,
    ) -> Result<(), Refused> {
        let (by_id, by_account) = match action {
            Action::TakePrekeys => (
                self.rates.prekeys_per_delivery_id,
                self.rates.prekeys_per_account,
            ),
            _ => (
                self.rates.sends_per_delivery_id,
                self.rates.sends_per_account,
            ),
        };
        let by_id = ((action, Subject::DeliveryId(delivery_id)), by_id);
        let by_account = ((action, Subject::Account(account)), by_account);
        self.cells.count([by_id, by_account], cost, now_ms)
    }

    fn prefix_hash(&self, address: AddressPrefix) -> PrefixHash {
        // TRN-24.
        // Fixed lengths and a truncated output: a plain keyed SHA-256 cannot be extended here.
        let mut hash = Sha256::new();
        hash.update(self.hash_key);
        hash.update(address.0);
        let mut prefix = [0; 16];
        for (to, from) in prefix.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        PrefixHash(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission::new(Rates::default(), [7; 32], 0)
    }

    fn address(text: &str) -> AddressPrefix {
        AddressPrefix::of(text.parse().unwrap())
    }

    /// [TRN-25].
    #[test]
    fn a_whole_period_may_be_used_at_once_and_then_refills() {
        let mut admission = admission();
        let from = address("192.0.2.1");
        for _ in 0..limits::NAME_LOOKUPS_PER_MINUTE_MAX {
            admission
                .from_address(Action::ResolveName, from, 1, 1000)
                .unwrap();
        }
        let refused = admission
            .from_address(Action::ResolveName, from, 1, 1000)
            .unwrap_err();
        assert_eq!(refused.retry_after_ms, 2000);
        admission
            .from_address(Action::ResolveName, from, 1, 3000)
            .unwrap();
        admission
            .from_address(Action::ResolveName, from, 1, 3000)
            .unwrap_err();
    }

    /// [TRN-24].
    #[test]
    fn one_prefix_is_one_caller_and_actions_are_apart() {
        let mut admission = admission();
        let rate = limits::REGISTRATIONS_PER_HOUR_MAX;
        admission
            .from_address(Action::Register, address("192.0.2.1"), rate, 0)
            .unwrap();
        admission
            .from_address(Action::Register, address("192.0.2.99"), 1, 0)
            .unwrap_err();
        admission
            .from_address(Action::Register, address("::ffff:192.0.2.7"), 1, 0)
            .unwrap_err();
        admission
            .from_address(Action::Register, address("192.0.3.1"), 1, 0)
            .unwrap();
        admission
            .from_address(Action::ResolveName, address("192.0.2.1"), 1, 0)
            .unwrap();
        admission
            .from_address(Action::Register, address("2001:db8::1"), rate, 0)
            .unwrap();
        admission
            .from_address(Action::Register, address("2001:db8::ffff:1"), 1, 0)
            .unwrap_err();
        admission
            .from_address(Action::Register, address("2001:db8:1::1"), 1, 0)
            .unwrap();
    }

    /// [TRN-24].
    #[test]
    fn a_delivery_id_and_its_account_have_limits_of_their_own() {
        let mut admission = admission();
        let account = AccountKey::new([1; 32]);
        let rate = limits::PREKEY_FETCHES_PER_HOUR_MAX;
        for id in 0..8 {
            let id = DeliveryId::new([id; 16]);
            admission
                .to_account(Action::TakePrekeys, id, account, rate, 0)
                .unwrap();
            admission
                .to_account(Action::TakePrekeys, id, account, 1, 0)
                .unwrap_err();
        }
        let id = DeliveryId::new([99; 16]);
        admission
            .to_account(Action::TakePrekeys, id, account, 1, 0)
            .unwrap_err();
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_least_used_first() {
        let mut admission = admission();
        let busy = address("192.0.2.1");
        let rate = limits::NAME_LOOKUPS_PER_MINUTE_MAX;
        admission
            .from_address(Action::ResolveName, busy, rate, 0)
            .unwrap();
        let count = u32::try_from(limits::ADMISSION_TABLE_MAX).unwrap() + 100;
        for n in 0..count {
            let [_, a, b, c] = n.to_be_bytes();
            let from = AddressPrefix([4, 10 + a, b, c, 0, 0, 0, 0]);
            admission
                .from_address(Action::ResolveName, from, 1, 0)
                .unwrap();
        }
        assert_eq!(admission.cells.len(), limits::ADMISSION_TABLE_MAX);
        admission
            .from_address(Action::ResolveName, busy, 1, 0)
            .unwrap_err();
    }

    /// [TRN-24].
    #[test]
    fn a_new_hash_key_forgets_addresses_and_nothing_else() {
        let mut admission = admission();
        let from = address("192.0.2.1");
        let id = DeliveryId::new([1; 16]);
        let account = AccountKey::new([1; 32]);
        let rate = limits::PREKEY_FETCHES_PER_HOUR_MAX;
        admission
            .from_address(
                Action::Register,
                from,
                limits::REGISTRATIONS_PER_HOUR_MAX,
                0,
            )
            .unwrap();
        admission
            .to_account(Action::TakePrekeys, id, account, rate, 0)
            .unwrap();
        assert!(!admission.hash_key_expired(HASH_KEY_LIFETIME_MS - 1));
        assert!(admission.hash_key_expired(HASH_KEY_LIFETIME_MS));
        let before = admission.prefix_hash(from);
        admission.change_hash_key([8; 32], 0);
        assert!(before != admission.prefix_hash(from));
        admission
            .from_address(Action::Register, from, 1, 0)
            .unwrap();
        admission
            .to_account(Action::TakePrekeys, id, account, 1, 0)
            .unwrap_err();
    }
}
