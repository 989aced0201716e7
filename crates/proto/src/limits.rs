// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every bound of the system, in one place. `docs/limits.md` explains each; `cargo xtask tidy`
//! checks that the page names them all with the same value.

/// Shortest account name, in bytes.
pub const NAME_LENGTH_MIN: usize = 2;
/// Longest account name, in bytes.
pub const NAME_LENGTH_MAX: usize = 32;
/// Longest host name, in bytes (RFC 1035, section 2.3.4).
pub const HOST_LENGTH_MAX: usize = 253;
/// Keys by which one server may be recognised at a time.
pub const KEY_PINS_MAX: usize = 2;
/// Keys by which its server was known before that a client remembers; the oldest go first.
pub const FORMER_KEY_PINS_MAX: usize = 4;
/// How long a freed name is held back, in days.
pub const NAME_HOLD_DAYS: u32 = 90;

/// Devices of one account.
pub const DEVICES_MAX: usize = 8;
/// Revoked device ids that a manifest carries.
pub const REVOKED_DEVICES_MAX: usize = 256;
/// Versions of one account's manifest.
pub const MANIFEST_VERSIONS_MAX: u32 = 4096;
/// Versions that devices sign after one version of the account key.
pub const DEVICE_SIGNED_VERSIONS_MAX: u32 = 512;
/// The highest of the version numbers, which only the account key uses.
pub const ACCOUNT_VERSIONS_RESERVE: u32 = 512;
/// Room for revocations that only the account key uses.
pub const ACCOUNT_REVOCATIONS_RESERVE: usize = 64;
/// One encoded manifest, in bytes.
pub const MANIFEST_SIZE_MAX: usize = 8 * 1024;
/// Manifests in one answer.
pub const MANIFESTS_PER_ANSWER_MAX: usize = 16;
/// Manifests of one account that a client gathers from several answers for one decision.
pub const MANIFESTS_GATHERED_MAX: usize = 513;

/// One-time prekey pairs that a server keeps for one device.
pub const ONE_TIME_PREKEYS_MAX: usize = 100;
/// Secrets of one-time pairs that a device keeps: those on the server, those in envelopes that wait, and
/// those of publications that were interrupted. Beyond that the oldest go.
pub const ONE_TIME_SECRETS_MAX: usize = 400;
/// One encoded prekey pair with its signature, in bytes.
pub const PREKEY_SIZE_MAX: usize = 2 * 1024;
/// One-time prekey pairs in one publication.
pub const PREKEYS_PER_PUBLICATION_MAX: usize = 25;

/// One envelope, in bytes: the largest bucket, a handshake prefix and the framing.
pub const ENVELOPE_SIZE_MAX: usize = 96 * 1024;
/// One content before padding, in bytes. Larger things are attachments.
pub const CONTENT_SIZE_MAX: usize = 60 * 1024;
/// The body of one text message, in bytes of UTF-8.
pub const TEXT_SIZE_MAX: usize = 48 * 1024;
/// References to earlier contents in one content.
pub const SEEN_REFERENCES_MAX: usize = 8;
/// A label that a user gives to a contact, in bytes of UTF-8.
pub const LABEL_LENGTH_MAX: usize = 64;

/// Envelopes that one mailbox holds.
pub const MAILBOX_ENVELOPES_MAX: usize = 10_000;
/// Bytes of envelopes that one mailbox holds.
pub const MAILBOX_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Envelopes that strangers together may leave in one mailbox.
pub const MAILBOX_STRANGER_ENVELOPES_MAX: usize = 256;
/// Bytes of envelopes that strangers together may leave in one mailbox.
pub const MAILBOX_STRANGER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Envelopes that may wait in one mailbox under one contact's delivery id.
pub const MAILBOX_CONTACT_ENVELOPES_MAX: usize = 2000;
/// Bytes of envelopes that may wait in one mailbox under one contact's delivery id.
pub const MAILBOX_CONTACT_BYTES_MAX: u64 = 12 * 1024 * 1024;
/// One part in this many of a mailbox is kept for the account's own devices.
pub const MAILBOX_OWN_RESERVE_DIVISOR: u64 = 8;
/// How long an envelope is kept for a device that does not come, in days.
pub const RETENTION_DAYS: u32 = 45;
/// Delivery ids of one account.
pub const DELIVERY_IDS_MAX: usize = 2048;
/// Delivery ids in one call.
pub const DELIVERY_IDS_PER_CALL_MAX: usize = 64;
/// Envelopes that are stored nowhere and wait for one device, on its server and on the device; more are
/// dropped.
pub const EPHEMERAL_WAITING_MAX: usize = 8;
/// Bytes of envelopes that a server keeps for a delivery stream whose link is busy, beside the mailbox.
pub const ARRIVALS_BYTES_MAX: usize = 32 * 1024;
/// Subjects of anonymous calls of which a client remembers what their server asked for.
pub const RESTING_SUBJECTS_MAX: usize = 256;
/// Envelopes handed over on one delivery stream and not acknowledged yet.
pub const UNACKNOWLEDGED_MAX: usize = 64;
/// Envelope ids that a mailbox remembers after their envelopes are gone, for deduplication.
pub const REMEMBERED_ENVELOPE_IDS_MAX: usize = 8192;

/// A control frame, in bytes, checked before it is read into memory.
pub const CONTROL_FRAME_SIZE_MAX: usize = 64 * 1024;
/// A request, an answer or a delivery, in bytes, checked before it is read into memory.
pub const FRAME_SIZE_MAX: usize = 1024 * 1024;
/// How often a client that is in use shows itself on an idle connection of the account plane, in milliseconds.
pub const KEEP_ALIVE_MS: u32 = 25_000;
/// The longest deadline of a call, in milliseconds.
pub const DEADLINE_MS_MAX: u32 = 60_000;
/// The deadline of a call that names none, in milliseconds.
pub const DEADLINE_MS_DEFAULT: u32 = 15_000;
/// How long a server holds an answer that a link does not take, in milliseconds.
pub const ANSWER_TAKEN_MS_MAX: u64 = 15_000;
/// Bidirectional streams that a client may have open on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// Sendings under way on one sending stream; the server takes no more before some have ended.
pub const SENDINGS_UNDER_WAY_MAX: usize = 64;
/// Bytes of envelopes under way on one sending stream; above them the server takes no more.
pub const SENDINGS_UNDER_WAY_BYTES_MAX: usize = 256 * 1024;
/// After how long without a whole frame a server ends a sending stream, in milliseconds.
pub const SENDING_IDLE_MS: u32 = 20_000;
/// Connections that one server accepts at a time.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections whose handshake has not ended, on one server at a time.
pub const CONNECTING_MAX: usize = 1024;
/// Connections whose handshake has not ended above which a client has to show its address first.
pub const CONNECTING_UNVALIDATED_MAX: usize = 128;
/// Connections whose handshake has not ended, from one address prefix at a time.
pub const CONNECTING_PER_PREFIX_MAX: usize = 256;
/// Seconds for which a session ticket is valid, and after which the key of new ones is replaced.
pub const TICKET_LIFETIME_S: u64 = 86_400;
/// The session that a ticket stands for, in bytes; one that is longer gets no ticket.
pub const TICKET_SESSION_SIZE_MAX: usize = 1024;
/// Session tickets that a server keeps under one key; then the key is replaced too. It has two keys.
pub const TICKETS_PER_GENERATION_MAX: usize = 65_536;
/// Connections from one address prefix at a time.
pub const CONNECTIONS_PER_PREFIX_MAX: usize = 4096;
/// Requests over `CONTROL_FRAME_SIZE_MAX` that a server reads at a time from one connection.
pub const LARGE_REQUESTS_PER_CONNECTION_MAX: usize = 4;
/// Requests over `CONTROL_FRAME_SIZE_MAX` that a server reads at a time from all connections.
pub const LARGE_REQUESTS_MAX: usize = 256;
/// How long either side waits for the other's Hello, in milliseconds.
pub const HELLO_TIMEOUT_MS: u32 = 10_000;
/// How long one attempt to connect may take, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u32 = 10_000;
/// How long a connection lives on which nothing is heard, in milliseconds.
pub const IDLE_TIMEOUT_MS: u32 = 60_000;
/// Logins that a client has under way on connections that are not up.
pub const LOGINS_AHEAD_MAX: usize = 8;
/// The longest time for which a client leaves a server alone because it says so, in milliseconds.
pub const RETRY_AFTER_MS_MAX: u32 = 3_600_000;
/// What may come to a server on one stream over TCP without having been read, in bytes.
pub const TCP_STREAM_CREDIT_TO_SERVER: u32 = 128 * 1024;
/// The same on one connection.
pub const TCP_CREDIT_TO_SERVER: u32 = 256 * 1024;
/// What may come to a client on one stream over TCP without having been read, in bytes.
pub const TCP_STREAM_CREDIT_TO_CLIENT: u32 = 1024 * 1024;
/// The same on one connection.
pub const TCP_CREDIT_TO_CLIENT: u32 = 2 * 1024 * 1024;
/// What one connection over TCP takes to be sent before it has sent it, in bytes.
pub const TCP_SEND_QUEUE_SIZE_MAX: usize = 256 * 1024;
/// Bytes of windows that a server grants to connections over QUIC before new ones get smaller windows.
pub const QUIC_WINDOWS_FULL_MAX: u64 = 512 * 1024 * 1024;
/// Bytes of windows that a server grants to all its connections over QUIC: what their streams can make it hold.
pub const QUIC_WINDOWS_MAX: u64 = 1_792 * 1024 * 1024;
/// Bytes that all connections over TCP of one server hold unread.
pub const TCP_HELD_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes that one connection over TCP may hold however much the others do.
pub const TCP_HELD_BYTES_SPARED: usize = 4 * 1024;
/// Bytes that all connections over TCP of one server have to send and nobody takes.
pub const TCP_QUEUED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes that one connection over TCP may have to send however much the others do.
pub const TCP_QUEUED_BYTES_SPARED: usize = 16 * 1024;
/// Bytes that all connections over TCP can make the multiplexers of one server hold: unread and to be sent, with what each is spared.
pub const TCP_BYTES_MAX: usize = 576 * 1024 * 1024;
/// How long a connection over TCP that has ended waits for the peer to see it, in milliseconds.
pub const TCP_LINGER_MS: u32 = 1_000;
/// Networks and servers for which a client remembers that TCP was faster.
pub const TRANSPORTS_REMEMBERED_MAX: usize = 64;
/// The shortest delay before a client connects again, in milliseconds.
pub const RECONNECT_DELAY_MS_MIN: u32 = 250;
/// The longest delay before a client connects again, in milliseconds.
pub const RECONNECT_DELAY_MS_MAX: u32 = 30_000;
/// The longest time over which a server that ends spreads the return of its clients, in milliseconds.
pub const RETURN_SPREAD_MS_MAX: u32 = 30_000;
/// How often a silent server is tried while something waits to get through, in milliseconds.
pub const PROBE_INTERVAL_MS: u32 = 2_000;
/// How long something that waits makes a client try so often, in milliseconds: ten minutes, and the interval
/// in which the end of an outage of ten minutes is noticed.
pub const PROBE_EAGER_MS: u32 = 602_000;
/// How long a server may be silent while nothing waits before it is probed, in milliseconds.
pub const PROBE_IDLE_MS: u32 = 30_000;

/// A link or code as text, in bytes.
pub const LINK_LENGTH_MAX: usize = 1024;

/// Live rendezvous places on one server.
pub const RENDEZVOUS_MAX: usize = 4096;
/// Slots of one rendezvous.
pub const RENDEZVOUS_SLOTS_MAX: u32 = 4;
/// One slot of a rendezvous, in bytes.
pub const RENDEZVOUS_VALUE_SIZE_MAX: usize = 4 * 1024;
/// How long a rendezvous lives, in seconds.
pub const RENDEZVOUS_LIFETIME_SECONDS: u64 = 600;

/// Name look-ups from one address prefix in one minute.
pub const NAME_LOOKUPS_PER_MINUTE_MAX: u32 = 30;
/// Prekey bundles handed out for one delivery id in one hour.
pub const PREKEY_FETCHES_PER_HOUR_MAX: u32 = 60;
/// Registrations from one address prefix in one hour.
pub const REGISTRATIONS_PER_HOUR_MAX: u32 = 60;
/// Signature checks that one address prefix may ask for in one minute.
pub const AUTHENTICATIONS_PER_MINUTE_MAX: u32 = 600;
/// Calls that create or revoke delivery ids from one address prefix in one minute.
pub const DELIVERY_ID_CALLS_PER_MINUTE_MAX: u32 = 600;
/// Manifest fetches from one address prefix in one minute.
pub const MANIFEST_FETCHES_PER_MINUTE_MAX: u32 = 600;
/// Send calls with one delivery id in one minute.
pub const SENDS_PER_MINUTE_MAX: u32 = 6000;
/// Rendezvous slots written from one address prefix in one minute.
pub const RENDEZVOUS_WRITES_PER_MINUTE_MAX: u32 = 120;
/// Rendezvous slots asked for from one address prefix in one minute.
pub const RENDEZVOUS_FETCHES_PER_MINUTE_MAX: u32 = 120;
/// Keys of rate limits that one server keeps in memory.
pub const ADMISSION_TABLE_MAX: usize = 65_536;
/// Bytes of envelopes handed over on one delivery stream and not acknowledged yet.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 256 * 1024;
/// Long polls on rendezvous slots that one server holds open.
pub const RENDEZVOUS_WAITERS_MAX: usize = 1024;

/// A value in an embedded store, in bytes (sled writes larger ones without a sync).
pub const STORE_VALUE_SIZE_MAX: usize = 64 * 1024;
/// A batch of an embedded store, in bytes.
pub const STORE_BATCH_SIZE_MAX: usize = 256 * 1024;
/// A segment of the delivery log, in bytes.
pub const LOG_SEGMENT_SIZE: u32 = 16 * 1024 * 1024;
/// Bytes for the delivery log that are not durable yet; then further steps are put off.
pub const LOG_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of batches in a server's row journal, beyond a quarter of its rows; then it is written anew.
pub const ROW_JOURNAL_BATCHES: u64 = 16 * 1024 * 1024;
/// Delivery ids, and accounts, of which a server's store remembers where they lead.
pub const ROUTES_CACHED_MAX: usize = 16_384;
/// After how long a step that was put off is worth another try, in milliseconds.
pub const LOG_QUEUE_RETRY_MS: u32 = 500;

/// Envelopes of one sending chain.
pub const CHAIN_LENGTH_MAX: u32 = 1000;
/// Skipped message keys kept for one session; the oldest go first.
pub const SKIPPED_KEYS_PER_SESSION_MAX: usize = 1000;
/// Skipped message keys kept for all sessions with one peer account; the oldest go first.
pub const SKIPPED_KEYS_PER_ACCOUNT_MAX: usize = 2000;
/// Routing tags held ready for each chain, at most.
pub const TAG_WINDOW: u32 = 64;
/// Routing tags held ready for a chain of which nothing has been opened; one more for each number that
/// it has passed, up to [`TAG_WINDOW`].
pub const TAG_WINDOW_FIRST: u32 = 16;
/// What an envelope is counted with that begins a session not known yet, in microseconds of one core.
pub const TRIAL_HANDSHAKE_US: u64 = 500;
/// What an envelope is counted with, for each session whose header keys are tried, in microseconds of one
/// core.
pub const TRIAL_SESSION_US: u64 = 2;
/// What a device spends on envelopes whose tag says nothing, in counted microseconds for each millisecond
/// that passes: 1 % of one core. What is beyond waits.
pub const TRIAL_BUDGET_US_PER_MS: u64 = 10;
/// The same while what waits takes up half of the window in which a mailbox is handed over.
pub const TRIAL_BUDGET_US_PER_MS_PRESSED: u64 = 100;
/// What a manifest is counted with that comes with a handshake and is verified, in microseconds of one core.
pub const TRIAL_MANIFEST_US: u64 = 1_000;
/// What it spends on them at once, in counted microseconds: a thousand handshakes.
pub const TRIAL_BUDGET_US_MAX: u64 = 500_000;
/// Sessions with one peer device, those that receive only included.
pub const SESSIONS_PER_DEVICE_MAX: usize = 4;
/// Handshakes of one account that are remembered; further ones are not answered by a session.
pub const HANDSHAKES_PER_ACCOUNT_MAX: usize = 512;
/// Sessions with one peer device of which only the names are kept; the oldest go first.
pub const GONE_SESSIONS_MAX: usize = 16;
/// How far above the last known attempt a handshake may count itself.
pub const ATTEMPT_JUMP_MAX: u32 = 1000;
/// After how many days without an answer, or without a fresh KEM secret, a new session is opened.
pub const HORIZON_DAYS: u32 = 7;
/// After how many messages without a fresh KEM secret a new session is opened.
pub const HORIZON_MESSAGES: u32 = 200;
/// After how many hours an unanswered session is followed by another attempt, where the device was
/// heard in another session meanwhile.
pub const RETRY_HOURS: u32 = 24;
/// New sessions in a row that come to nothing although the device answers, before the user is told.
pub const RENEWALS_IN_VAIN_MAX: u8 = 2;
/// How long a superseded session still receives, in hours.
pub const SUPERSEDED_SESSION_HOURS: u32 = 48;
/// The serialised hot state of one session, in bytes.
pub const SESSION_STATE_SIZE_MAX: usize = 1024;
/// Prefix and content of an envelope that opens a session, padded together, in bytes at least.
pub const OPENING_SIZE_MIN: usize = 4096;

/// Message requests that wait for the user's decision; further strangers are not heard.
pub const MESSAGE_REQUESTS_MAX: usize = 256;
/// Contents that are kept of one message request: those of eight devices before an answer.
pub const REQUEST_CONTENTS_MAX: usize = 256;
/// Contents that are kept of all message requests together.
pub const REQUESTS_CONTENTS_MAX: usize = 4096;
/// Days for which expired messages are counted in one answer, and in one profile.
pub const EXPIRED_DAYS_MAX: usize = 512;
/// Contents that leave for a contact before anything of it has arrived.
pub const UNANSWERED_CONTENTS_MAX: u32 = 32;
/// Contents for which a receipt is awaited; the oldest are not sent again.
pub const UNRECEIPTED_CONTENTS_MAX: usize = 4096;
/// Bytes of contents for which a receipt is awaited; the oldest are not sent again.
pub const UNRECEIPTED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Hours between two sendings of one content.
pub const RESEND_HOURS: u32 = 24;
/// Hours after a sending from which on hearing the device shows that the content was lost.
pub const RESEND_HEARD_HOURS: u32 = 12;
/// How often one content is sent again.
pub const RESENDS_MAX: u32 = 4;
/// Hours between two contents to one contact that show nothing and answer nothing.
pub const CONTROL_HOURS_MIN: u32 = 6;
/// Message ids in one receipt.
pub const RECEIPT_IDS_MAX: usize = 512;
/// Message ids in one receipt that rides on a text.
pub const RECEIPT_IDS_RIDING_MAX: usize = 16;
/// Sending devices of one conversation whose sequences are followed; the one heard longest ago goes first.
pub const SEQUENCE_SENDERS_MAX: usize = 16;
/// Ranges of missing contents that are followed in one conversation; the oldest go first.
pub const SEQUENCE_GAPS_MAX: usize = 32;
/// Contents that wait in the outbox of one profile, and copies for the own devices as many again; of what
/// is sent while those wait no copies are made.
pub const OUTBOX_CONTENTS_MAX: usize = 4096;
/// Messages in one answer of the engine.
pub const MESSAGES_PER_ANSWER_MAX: usize = 500;
