// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every kind of link must do: one suite, run over each.
#![cfg(all(
    feature = "quic",
    feature = "tcp",
    feature = "platform",
    feature = "sim"
))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod calls;
mod ends;
mod frames;
mod ipv6;
mod kinds;
mod names;
mod opening;
mod planes;
mod sendings;

/// Runs every case over one kind of link.
macro_rules! suite {
    ($module:ident, $kind:ty, $test:meta, [$($case:path as $name:ident),* $(,)?]) => {
        mod $module {
            $(
                #[$test]
                async fn $name() {
                    $case(<$kind as crate::kinds::Kind>::begin()).await;
                }
            )*
        }
    };
}

/// The list of cases, once.
macro_rules! suites {
    ($(($module:ident, $kind:ty, $test:meta)),* $(,)?) => {
        $(
            suite!($module, $kind, $test, [
                crate::calls::a_call_is_answered as a_call_is_answered,
                crate::calls::the_older_side_must_upgrade as the_older_side_must_upgrade,
                crate::calls::an_oversized_frame_is_refused_by_its_length_alone
                    as an_oversized_frame_is_refused_by_its_length_alone,
                crate::calls::a_refusal_carries_its_code_and_the_time_of_a_retry
                    as a_refusal_carries_its_code_and_the_time_of_a_retry,
                crate::calls::a_request_without_a_known_call_is_answered
                    as a_request_without_a_known_call_is_answered,
                crate::calls::a_large_request_and_answer_pass_the_flow_control
                    as a_large_request_and_answer_pass_the_flow_control,
                crate::calls::the_deadline_ends_a_call as the_deadline_ends_a_call,
                crate::calls::cancelled_calls_return_their_credit
                    as cancelled_calls_return_their_credit,
                crate::calls::calls_beyond_the_streams_wait as calls_beyond_the_streams_wait,
                crate::opening::the_first_call_goes_out_behind_the_greeting_once
                    as the_first_call_goes_out_behind_the_greeting_once,
                crate::opening::a_first_call_that_nobody_asks_for_is_given_up
                    as a_first_call_that_nobody_asks_for_is_given_up,
                crate::calls::deliveries_and_acknowledgements_flow_both_ways
                    as deliveries_and_acknowledgements_flow_both_ways,
                crate::ends::both_ends_export_the_same_secret_and_other_links_another
                    as both_ends_export_the_same_secret_and_other_links_another,
                crate::ends::another_key_is_refused_and_the_second_pin_counts
                    as another_key_is_refused_and_the_second_pin_counts,
                crate::ends::a_client_cannot_open_more_streams_than_allowed
                    as a_client_cannot_open_more_streams_than_allowed,
                crate::ends::a_close_carries_its_code_and_its_hint
                    as a_close_carries_its_code_and_its_hint,
                crate::ends::a_close_may_name_another_address
                    as a_close_may_name_another_address,
                crate::ends::a_link_ends_with_its_last_handle_and_stream
                    as a_link_ends_with_its_last_handle_and_stream,
                crate::ends::halves_that_are_given_up_tell_the_peer
                    as halves_that_are_given_up_tell_the_peer,
                crate::ends::draining_refuses_newcomers_and_waits_for_the_rest
                    as draining_refuses_newcomers_and_waits_for_the_rest,
                crate::frames::a_request_has_its_bound as a_request_has_its_bound,
                crate::frames::a_greeting_has_its_bound as a_greeting_has_its_bound,
                crate::frames::acknowledgements_and_sendings_have_their_bound
                    as acknowledgements_and_sendings_have_their_bound,
                crate::frames::answers_and_deliveries_have_their_bound
                    as answers_and_deliveries_have_their_bound,
                crate::frames::both_sides_end_the_stream_of_the_greeting
                    as both_sides_end_the_stream_of_the_greeting,
                crate::sendings::sendings_share_one_stream_and_each_has_its_outcome
                    as sendings_share_one_stream_and_each_has_its_outcome,
                crate::sendings::a_sending_stream_that_ends_is_followed_by_another
                    as a_sending_stream_that_ends_is_followed_by_another,
                crate::sendings::a_sending_stream_that_is_refused_says_why
                    as a_sending_stream_that_is_refused_says_why,
                crate::sendings::a_large_sending_has_a_stream_of_its_own
                    as a_large_sending_has_a_stream_of_its_own,
                crate::sendings::sendings_that_are_given_up_keep_nobody_waiting
                    as sendings_that_are_given_up_keep_nobody_waiting,
                crate::planes::the_planes_share_no_connection as the_planes_share_no_connection,
                crate::planes::the_key_that_was_shown_is_known as the_key_that_was_shown_is_known,
            ]);
        )*
    };
}

suites![
    (quic, crate::kinds::Quic, tokio::test),
    (tcp, crate::kinds::Tcp, tokio::test),
    (
        simulated,
        crate::kinds::Simulated,
        tokio::test(start_paused = true)
    ),
];
