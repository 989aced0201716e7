// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What commands came to, in words.

use crate::api::objects::{
    Contact, Device, DevicesChanged, Message, Receipts, Sent, State, Status,
};
use crate::console::{Console, Tone};
use crate::display;
use crate::fault::{Code, Fault};
use crate::text::{self, faults};

/// How far a message is.
pub(crate) const fn state(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::OnServer => "sent",
        State::Delivered => "delivered",
        State::Read => "read",
        State::Received => "received",
    }
}

/// What became of a `send`.
pub(crate) fn sent(sent: &Sent) -> String {
    let to = display::line(&sent.to);
    match (sent.state, sent.held) {
        (State::Queued, None | Some(Code::Unreachable)) => format!("queued for {to}"),
        (State::Queued, Some(code)) => {
            format!("queued for {to}: {}", held(code, &sent.to))
        }
        _ => format!("sent to {to}"),
    }
}

/// What keeps messages for a contact in the outbox, in words.
fn held(code: Code, contact: &str) -> String {
    let what = faults::explain(&Fault::new(code).about(contact), &[]).what;
    // An alarm's words begin so; here the rest says it.
    what.strip_prefix("not sent: ").unwrap_or(&what).to_owned()
}

/// The outbox in one line for each contact that something waits for.
fn outbox(status: &Status) -> Vec<[String; 2]> {
    let mut rows = vec![["outbox".to_owned(), status.outbox.to_string()]];
    for waiting in &status.waiting {
        let contact = waiting.contact.as_deref().map(display::line);
        let whom = contact.unwrap_or_else(|| "your other devices".to_owned());
        let why = match waiting.held {
            Some(code) => held(code, waiting.contact.as_deref().unwrap_or("yourself")),
            None => "on the way".to_owned(),
        };
        rows.push([
            String::new(),
            format!("{} for {whom}: {why}", waiting.contents),
        ]);
    }
    rows
}

/// A message as a line, or as several with the later ones indented. What this device itself says about
/// the conversation begins with an asterisk in the place of a writer: nobody can write that.
pub(crate) fn message(message: &Message, console: &Console) -> String {
    let time = message
        .sent_at
        .get(..16)
        .unwrap_or_default()
        .replace('T', " ");
    let time = console.tint(Tone::Faint, &time);
    let writer = if message.from.own {
        "you".to_owned()
    } else {
        display::line(&message.from.name)
    };
    let conversation = display::line(&message.chat.name);
    if let Some(devices) = message.devices {
        return format!("{time}  * {}", devices_changed(&conversation, devices));
    }
    if let Some(count) = message.missing {
        return format!(
            "{time}  * {}",
            missing(&writer, &conversation, message, count)
        );
    }
    let body = match &message.body {
        Some(body) => display::lines(body, "    "),
        None => NEEDS_NEWER_VERSION.to_owned(),
    };
    let mark = if message.from.own {
        format!(" [{}]", state(message.state))
    } else if message.chat.request {
        " (request)".to_owned()
    } else if message.from.verified {
        String::new()
    } else {
        " (unverified)".to_owned()
    };
    let conversation = if message.from.own {
        format!(" > {conversation}")
    } else {
        String::new()
    };
    let head = console.tint(Tone::Strong, &format!("{writer}{conversation}"));
    format!("{time}  {head}{mark}: {body}")
}

/// That somebody asked to write, and what can be done about it.
pub(crate) fn request(name: &str, console: &Console) -> String {
    let command = |what: &str| text::shell(&console.command(&["contacts", what, name]));
    format!(
        "note: {} asks to write to you.  accept: {}  refuse: {}",
        display::line(name),
        command("accept"),
        command("block"),
    )
}

/// What stands in a conversation where the contact's devices changed.
fn devices_changed(contact: &str, devices: DevicesChanged) -> String {
    let number = |count: u32| match count {
        1 => "1 device".to_owned(),
        count => format!("{count} devices"),
    };
    let DevicesChanged {
        added,
        removed,
        listed,
    } = devices;
    let what = match (added, removed) {
        (added, 0) => format!("{} more", number(added)),
        (0, removed) => format!("{} fewer", number(removed)),
        (added, removed) => format!("{} more and {} fewer", number(added), number(removed)),
    };
    let verb = if listed == 1 { "reads" } else { "read" };
    format!("{contact} has {what}: {} {verb} along now", number(listed))
}

/// What stands in the place of contents that have not come.
fn missing(writer: &str, conversation: &str, message: &Message, count: u64) -> String {
    let messages = match count {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    };
    let whose = if message.from.own {
        format!("from you to {conversation}")
    } else {
        format!("from {writer}")
    };
    let verb = if count == 1 { "is" } else { "are" };
    format!("{messages} {whose} {verb} missing here: lost, or still on the way")
}

/// Which receipts this device sends.
pub(crate) fn receipts(settings: &Receipts) -> String {
    let switch = |on: bool| if on { "on" } else { "off" };
    format!(
        "delivered  {}\nread       {}\nalone      {}",
        switch(settings.delivered),
        switch(settings.read),
        switch(settings.on_their_own)
    )
}

/// That an account was closed, and what is left of it.
pub(crate) fn closed(address: &str, folder: &str) -> String {
    format!(
        "closed: {} is deleted on its server.\n\
         what you wrote and received can still be read here, until you remove {}",
        display::line(address),
        display::line(folder)
    )
}

const NEEDS_NEWER_VERSION: &str = "[this needs a newer version of waxwing to be shown; it is kept]";

/// Contacts as a table.
pub(crate) fn contacts(contacts: &[Contact], console: &Console) -> String {
    if contacts.is_empty() {
        return "no contacts yet".to_owned();
    }
    let rows: Vec<[String; 3]> = contacts
        .iter()
        .map(|contact| {
            [
                display::line(&contact.name),
                display::line(&contact.address),
                marks(contact),
            ]
        })
        .collect();
    table(&rows, console)
}

/// What is to be known about a contact beside its name.
fn marks(contact: &Contact) -> String {
    let mut marks = vec![
        if contact.verified {
            "verified"
        } else {
            "unverified"
        }
        .to_owned(),
    ];
    if contact.address_claimed && !contact.address.is_empty() {
        marks.push("address as it calls itself".to_owned());
    }
    if contact.request {
        marks.push("request".to_owned());
    }
    if contact.blocked {
        marks.push("blocked".to_owned());
    }
    if let Some(alarm) = contact.alarm {
        marks.push(format!("ALARM {}", alarm.as_str()));
    }
    marks.join(", ")
}

/// One contact in a sentence.
pub(crate) fn contact(contact: &Contact) -> String {
    format!(
        "{}  {}  {}",
        display::line(&contact.name),
        display::line(&contact.address),
        marks(contact)
    )
}

/// Devices as a table.
pub(crate) fn devices(devices: &[Device], console: &Console) -> String {
    let rows: Vec<[String; 3]> = devices
        .iter()
        .map(|device| {
            let this = if device.this_device {
                "this device"
            } else {
                ""
            };
            [device.id.clone(), device.created.clone(), this.to_owned()]
        })
        .collect();
    table(&rows, console)
}

/// The profile in lines.
pub(crate) fn status(status: &Status, console: &Console) -> String {
    let link = match (status.online, status.link_error) {
        (true, _) => console.tint(Tone::Good, "online"),
        (false, Some(code)) => {
            let why = faults::explain(&Fault::new(code), &[]).what;
            format!("{}: {why}", console.tint(Tone::Bad, "offline"))
        }
        (false, None) => "offline".to_owned(),
    };
    let store = if status.protected {
        "sealed with a passphrase".to_owned()
    } else {
        console.tint(Tone::Bad, "NOT PROTECTED: the key lies beside the store")
    };
    let account = match &status.account {
        Some(_) => display::line(&status.address),
        None => "none yet".to_owned(),
    };
    let mut rows = vec![
        ["profile".to_owned(), status.profile.clone()],
        ["account".to_owned(), account],
    ];
    if status.account.is_some() {
        rows.push([
            "device".to_owned(),
            status.device.clone().unwrap_or_default(),
        ]);
        rows.push([
            "server".to_owned(),
            format!("{}, {link}", display::line(&status.server)),
        ]);
        rows.push([
            "transport".to_owned(),
            status.transport.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
        rows.push([
            "key exchange".to_owned(),
            status
                .key_exchange
                .clone()
                .unwrap_or_else(|| "-".to_owned()),
        ]);
        rows.push([
            "server link".to_owned(),
            status.server_link.clone().unwrap_or_default(),
        ]);
        rows.extend(outbox(status));
        rows.push(["requests".to_owned(), status.requests.to_string()]);
        rows.push(["alarms".to_owned(), status.alarms.to_string()]);
        rows.push([
            "manifest".to_owned(),
            format!("version {}", status.manifest_version),
        ]);
        if status.unopenable > 0 {
            let counted = format!(
                "{} that no key here opens: forged, damaged, or of sessions that are gone",
                status.unopenable
            );
            rows.push(["envelopes".to_owned(), counted]);
        }
    }
    rows.push(["store".to_owned(), store]);
    rows.push([
        "key held by".to_owned(),
        match status.host.as_str() {
            "background" => "a background process, until `waxwing lock`".to_owned(),
            _ => "a running command".to_owned(),
        },
    ]);
    table(&rows, console)
}

/// Columns; in plain output separated by tabs, so that programs can cut them.
fn table<const N: usize>(rows: &[[String; N]], console: &Console) -> String {
    let mut widths = [0_usize; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(unicode_width::UnicodeWidthStr::width(cell.as_str()));
        }
    }
    let line = |row: &[String; N]| {
        if console.plain {
            return row.join("\t");
        }
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let own = unicode_width::UnicodeWidthStr::width(cell.as_str());
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(own).saturating_add(2)));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What comes after registering. A passphrase that is asked for by every command is a reason to give up.
pub(crate) fn next_steps(protected: bool, console: &Console) -> String {
    let command = |arguments: &[&str]| text::shell(&console.command(arguments));
    let mut steps = format!(
        "show others how to reach you:   {}\nadd somebody by their link:     {} LINK\nread what arrives:              {}",
        command(&["contacts", "qr"]),
        command(&["contacts", "add"]),
        command(&["receive", "--follow"]),
    );
    if protected {
        steps.push_str("\ngive the passphrase just once:  ");
        steps.push_str(&command(&["unlock", "--for", "8h"]));
    }
    steps
}
