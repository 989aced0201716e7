// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every implementation of the stores has to do, as functions that panic where it does not.
//!
//! [`server_conformance`](crate::server_conformance) and
//! [`client_conformance`](crate::client_conformance) make one test of each rule.

pub mod accounts;
pub mod client_rows;
pub mod disclosure;
pub mod mailboxes;
pub mod prekeys;
pub mod quotas;
pub mod together;
pub mod world;

use core::future::Future;

use crate::StoreError;
use crate::client::ClientStore;
use crate::embedded::ServerOptions;
use crate::server::Store;

/// A place where a server's store can be opened, lost and opened again.
pub trait ServerPlace {
    /// The store.
    type Store: Store;

    /// Opens the store; the first time it is empty.
    fn open(&self, options: ServerOptions)
    -> impl Future<Output = Result<Self::Store, StoreError>>;

    /// After the store was dropped: loses whatever a crash may lose.
    fn crash(&self);
}

/// A place where a client's store can be opened, lost and opened again.
pub trait ClientPlace {
    /// The store.
    type Store: ClientStore;

    /// Opens the store; the first time it is empty.
    fn open(&self) -> impl Future<Output = Result<Self::Store, StoreError>>;

    /// After the store was dropped: loses whatever a crash may lose.
    fn crash(&self);
}

/// Makes a test of each rule for servers' stores. Takes an expression that makes a new
/// [`ServerPlace`].
#[macro_export]
macro_rules! server_conformance {
    ($place:expr) => {
        $crate::server_conformance!($place;
            accounts accounts_are_found_by_key_name_and_delivery_id,
            accounts registrations_are_refused_with_a_reason_and_change_nothing,
            accounts a_registration_again_is_a_retry,
            accounts an_invite_is_used_as_often_as_it_allows_and_no_more,
            accounts invites_are_listed_and_revoked,
            accounts of_concurrent_manifests_one_wins,
            accounts an_account_signed_manifest_can_void_later_ones,
            accounts a_removed_device_leaves_nothing,
            accounts generations_never_go_back,
            accounts a_closed_account_leaves_a_held_name_and_nothing_else,
            accounts delivery_ids_are_created_and_revoked,
            accounts all_contact_ids_of_an_account_are_revoked,
            prekeys a_pair_is_taken_exactly_once,
            prekeys takers_that_are_cut_off_get_nothing_twice,
            prekeys a_taken_pair_stays_taken_across_crash_and_retry,
            prekeys publications_are_bounded_and_counted,
            mailboxes envelopes_are_read_in_order_until_acknowledged,
            mailboxes an_envelope_is_stored_once_however_often_it_is_sent,
            mailboxes a_sending_is_stored_for_all_devices_or_for_none,
            mailboxes a_position_is_never_shown_before_the_ones_below_it,
            mailboxes what_was_answered_survives_a_crash,
            mailboxes many_writers_share_many_mailboxes,
            mailboxes a_reading_is_bounded_but_never_stuck,
            quotas a_full_mailbox_refuses_and_keeps_what_it_holds,
            quotas strangers_share_little_and_own_devices_have_a_reserve,
            quotas each_delivery_id_has_a_share_of_its_own,
            quotas remembered_envelopes_are_bounded,
            quotas what_is_too_old_is_deleted_and_counted,
            quotas remembered_envelopes_are_forgotten_after_a_day,
            together sendings_that_come_together_are_steps_of_their_own,
            together sendings_that_come_together_fill_a_mailbox_and_no_more,
            disclosure every_field_of_every_row_is_shown_and_reviewed,
            disclosure a_closed_account_is_disclosed_nowhere,
        );
    };
    ($place:expr; $($module:ident $rule:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                $crate::conformance::$module::$rule($place).await;
            }
        )*
    };
}

/// Makes a test of each rule for clients' stores. Takes an expression that makes a new
/// [`ClientPlace`].
#[macro_export]
macro_rules! client_conformance {
    ($place:expr) => {
        $crate::client_conformance!($place;
            rows_come_back_as_they_were_written,
            a_batch_is_seen_before_it_is_durable_and_there_after_a_crash,
            scans_go_both_ways_and_stay_in_their_table,
            large_values_shrink_grow_and_go,
            what_is_too_large_is_refused_and_changes_nothing,
        );
    };
    ($place:expr; $($rule:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::conformance::client_rows::$rule($place).await;
            }
        )*
    };
}
