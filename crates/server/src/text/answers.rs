// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What commands say when they succeed.

use core::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use waxwing_storage::embedded::logged::{Exported, Verification};

use super::{byte_count, date_and_time, folding, grouped};
use crate::admin::{ExportedCounts, ListedInvite, NewInvite};
use crate::config::Configuration;
use crate::disclosure::{Disclosure, Field};
use crate::failure::Failure;
use crate::grep::{FINDINGS_LISTED_MAX, Search};

pub(crate) const MEMORY_WARNING: &str =
    "warning: --allow-memory-inspection: other processes of this user can read the server's memory";
pub(crate) const STOPPED: &str = "stopped; everything that was acknowledged is kept";
pub(crate) const NOT_STORED: &str = "message text, senders, contacts, groups, IP addresses, phone numbers, \
     e-mail addresses, read state, any time finer than a day beside an account or an envelope";

/// Bytes of a stored value that the text for people shows.
const SHOWN_DIGITS_MAX: usize = 64;

/// What a server says about itself.
pub(crate) struct ServerFacts<'a> {
    pub(crate) folder: String,
    /// What hints carry so that they reach this folder.
    pub(crate) data_option: &'a str,
    pub(crate) configuration: &'a Configuration,
    pub(crate) key_pin: String,
    pub(crate) server_link: String,
}

/// The digits of a pin in groups of four, in two lines.
fn pin_lines(pin: &str) -> String {
    let mut text = String::new();
    for (place, digit) in pin.chars().enumerate() {
        if place > 0 && place % 32 == 0 {
            text.push_str("\n                ");
        } else if place > 0 && place % 4 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn facts_lines(facts: &ServerFacts<'_>) -> String {
    let configuration = facts.configuration;
    let host = configuration
        .public_host()
        .map_or_else(|_| String::new(), |host| host.to_string());
    let mut text = String::new();
    let _ = writeln!(
        text,
        "  name          {host}, port {} (UDP)",
        configuration.public_port()
    );
    let _ = writeln!(text, "  listens on    {}", configuration.listen);
    let _ = writeln!(text, "  data folder   {}", facts.folder);
    let _ = writeln!(text, "  key pin       {}", pin_lines(&facts.key_pin));
    let _ = writeln!(text, "  server link   {}", facts.server_link);
    if configuration.is_local() {
        text.push_str("  This server is for this machine only. For others: --name HOST\n");
    }
    text
}

pub(crate) fn ready(
    facts: &ServerFacts<'_>,
    invite: Option<&NewInvite>,
    image: Option<&str>,
) -> String {
    let mut text = format!("waxwingd serves.\n\n{}\n", facts_lines(facts));
    if let Some(invite) = invite {
        text.push_str(&new_invite(invite, image));
        text.push('\n');
    }
    let data = facts.data_option;
    let _ = writeln!(text, "  more invites           waxwingd invite new{data}");
    let _ = writeln!(
        text,
        "  what is stored         waxwingd disclose NAME{data}"
    );
    text.push_str("  stop                   Ctrl-C\n");
    text
}

pub(crate) fn initialised(facts: &ServerFacts<'_>) -> String {
    let (lines, data) = (facts_lines(facts), facts.data_option);
    format!("A server was made.\n\n{lines}\n  run it: waxwingd serve{data}\n")
}

fn until(expires_minute: Option<u32>) -> String {
    expires_minute.map_or_else(
        || "for ever".to_owned(),
        |minute| format!("until {}", date_and_time(minute)),
    )
}

fn uses(count: u32) -> String {
    if count == 1 {
        "1 registration".to_owned()
    } else {
        format!("{count} registrations")
    }
}

pub(crate) fn new_invite(invite: &NewInvite, image: Option<&str>) -> String {
    let mut text = format!(
        "Invite {}, for {}, {}:\n\n{}\n\n",
        invite.id,
        uses(invite.uses),
        until(invite.expires_minute),
        invite.link
    );
    if let Some(image) = image {
        text.push_str(image);
        text.push_str("\n\n");
    }
    let _ = writeln!(
        text,
        "  register: waxwing register {} --name NAME",
        invite.link
    );
    text
}

pub(crate) fn invites(invites: &[ListedInvite], data_option: &str) -> String {
    if invites.is_empty() {
        return format!("There are no invites. Make one: waxwingd invite new{data_option}\n");
    }
    let mut text = String::from("ID             USES LEFT   GOOD\n");
    for invite in invites {
        let good = if invite.expired {
            format!(
                "expired {}",
                date_and_time(invite.expires_minute.unwrap_or_default())
            )
        } else if invite.uses_left == 0 {
            "used up".to_owned()
        } else {
            until(invite.expires_minute)
        };
        let _ = writeln!(text, "{:12}   {:9}   {good}", invite.id, invite.uses_left);
    }
    text
}

pub(crate) fn revoked(id: &str) -> String {
    format!("Invite {id} is revoked. Accounts that were made with it stay.\n")
}

pub(crate) fn version(version: &str, protocol: &str) -> String {
    format!("waxwingd {version} (protocol {protocol})\n")
}

pub(crate) fn disclosure(disclosure: &Disclosure, data_option: &str) -> String {
    let rows: usize = disclosure.tables.iter().map(|table| table.rows.len()).sum();
    let mut text = format!(
        "Everything this server stores that is tied to account \"{}\"   ({} tables, {rows} rows)\n",
        disclosure.name,
        disclosure.tables.len()
    );
    for table in &disclosure.tables {
        let _ = writeln!(text, "\n{}   ({} rows)", table.table, table.rows.len());
        let fields = table.rows.iter().flatten();
        let width = fields.map(|field| field.field.len()).max().unwrap_or(0);
        let mut first = true;
        for group in folding::groups(table) {
            let is_folded = group.len() > folding::ROWS_LISTED_MAX;
            let blocks: Vec<Vec<(String, String)>> = if is_folded {
                vec![folding::fold(group)]
            } else {
                let listed = |row: &Vec<Field>| {
                    let lines = row.iter().map(|field| (field.field.clone(), shown(field)));
                    lines.collect()
                };
                group.iter().map(listed).collect()
            };
            for block in blocks {
                if !core::mem::take(&mut first) {
                    text.push('\n');
                }
                if is_folded {
                    let _ = writeln!(text, "  {} rows together:", group.len());
                }
                for (field, value) in block {
                    let _ = writeln!(text, "  {field:width$}   {value}");
                }
            }
        }
    }
    let _ = write!(
        text,
        "\nNot stored: {NOT_STORED}.\n\
         Envelopes are ciphertext; this server has no key to them.\n\
         Long values are cut and many rows are folded here; all of them: waxwingd disclose {} --json{data_option}\n",
        disclosure.name
    );
    text
}

pub(super) fn shown(field: &Field) -> String {
    match &field.value {
        Value::Null => "-".to_owned(),
        Value::String(digits) if field.kind == "bytes" && digits.len() > SHOWN_DIGITS_MAX => {
            let begin: String = digits.chars().take(16).collect();
            let count = u64::try_from(digits.len() / 2).unwrap_or(u64::MAX);
            format!("{} bytes, {begin}…", grouped(count))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(crate) fn verification(verified: &Verification) -> String {
    let log = &verified.log;
    let mut text = format!(
        "delivery log: {} whole records in {} segments ({}), {} checkpoints\n\
         tables: {} whole rows\n",
        grouped(log.records),
        grouped(log.segments),
        byte_count(log.bytes),
        grouped(log.checkpoints),
        grouped(verified.rows),
    );
    if let Some(journal) = &verified.journal {
        let _ = writeln!(
            text,
            "row journal: {} rows and {} batches since",
            grouped(journal.rows),
            grouped(journal.batches)
        );
    }
    if log.is_lost {
        text.push_str(
            "damaged: the delivery log has no checkpoint any more; no start can do without\n",
        );
    }
    for place in &log.damage {
        let _ = writeln!(
            text,
            "damaged: segment {:08x}, {} bytes at {}",
            place.segment, place.length, place.offset
        );
    }
    for (count, what) in [
        (log.damaged_checkpoints, "checkpoints"),
        (log.damaged_remembered, "files of remembered envelopes"),
        (log.unreadable, "envelopes that wait"),
        (
            log.not_read,
            "bytes of the log that the device does not read",
        ),
        (verified.damaged_rows, "rows of tables"),
        (
            verified.journal.map_or(0, |journal| journal.damaged),
            "parts of the row journal",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "damaged: {} {what}", grouped(count));
        }
    }
    if verified.tables_refused {
        text.push_str(
            "damaged: the tables cannot be read; the next start makes them anew from the row journal\n",
        );
    }
    if verified.is_whole() {
        text.push_str("nothing is damaged\n");
    }
    text
}

pub(crate) fn exported(file: &Path, counts: &ExportedCounts, data_option: &str) -> String {
    let mut text = format!(
        "{}: {} rows, {} mailboxes, {} envelopes\n",
        file.display(),
        grouped(counts.rows),
        grouped(counts.mailboxes),
        grouped(counts.envelopes),
    );
    if counts.damaged > 0 {
        let _ = writeln!(
            text,
            "left out: {} envelopes that are damaged; see `waxwingd{data_option} verify`",
            grouped(counts.damaged)
        );
    }
    text.push_str("It tells who has an account: keep it as you keep the data folder.\n");
    text
}

pub(crate) fn imported(counts: &Exported, data_option: &str) -> String {
    format!(
        "{} rows, {} mailboxes, {} envelopes.\n\
         Devices and keys of after the export are unknown to it.\n\
         next: waxwingd{data_option} serve\n",
        grouped(counts.rows),
        grouped(counts.mailboxes),
        grouped(counts.envelopes),
    )
}

pub(crate) fn key_prepared(link: &str, data_option: &str) -> String {
    format!(
        "The next key is made. Links that the server makes carry both keys from now on: {link}\n\
         Devices are told when they log in. Switch when every one was there once.\n\
         next: back up `server.key` and `next.key`, then waxwingd{data_option} serve\n"
    )
}

pub(crate) fn key_switched(link: &str, data_option: &str) -> String {
    format!(
        "The next key is the server's key, and the old one is deleted. Links: {link}\n\
         A device that was not there since the preparation is locked out and needs this link.\n\
         next: back up `server.key`, then waxwingd{data_option} serve\n"
    )
}

pub(crate) fn rebuilt(aside: &[String], data_option: &str) -> String {
    format!(
        "The tables were made anew. The ones before: {}, in `store`; delete them when all is well.\n\
         next: waxwingd{data_option} verify\n",
        aside.last().map_or("none", String::as_str)
    )
}

pub(crate) fn search(search: &Search) -> String {
    let mut text = format!(
        "{} {} in {} {}, {} ({} bytes) searched, as UTF-8, UTF-16, hex and base64\n",
        grouped(search.matches),
        if search.matches == 1 {
            "match"
        } else {
            "matches"
        },
        grouped(search.files),
        if search.files == 1 { "file" } else { "files" },
        byte_count(search.bytes),
        grouped(search.bytes),
    );
    for finding in &search.findings {
        let _ = writeln!(
            text,
            "  {}: byte {} ({})",
            finding.file.display(),
            finding.offset,
            finding.form
        );
    }
    if search.matches > u64::try_from(FINDINGS_LISTED_MAX).unwrap_or(u64::MAX) {
        text.push_str("  …\n");
    }
    text
}

pub(crate) fn fields(lines: &[&str]) -> String {
    let mut text = String::from("Every field that a server can store:\n\n");
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
    let _ = write!(text, "\nNot stored: {NOT_STORED}.\n");
    text
}

/// One line of `doctor`, and what to do where something is wrong.
pub(crate) fn check(mark: &str, name: &str, finding: &str, cure: Option<&Failure>) -> String {
    let mut text = format!("{mark} {name:14} {finding}\n");
    if let Some(cure) = cure {
        for line in cure.why.lines() {
            let _ = writeln!(text, "                     {line}");
        }
        for hint in &cure.next {
            let _ = writeln!(
                text,
                "                     {}:   {}",
                hint.label, hint.command
            );
        }
    }
    text
}
