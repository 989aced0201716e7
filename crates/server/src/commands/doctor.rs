// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `doctor`: checks what a server needs, with and without a server that runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use waxwing_proto::limits;
use waxwing_storage::embedded::logged::Verification;
use waxwing_transport::{KeyExchange, quic};

use super::Scene;
use crate::admin::{self, Order, Reply};
use crate::config::{Configuration, Offer};
use crate::failure::{Exit, Failure};
use crate::text::{self, answers, doctor as words};
use crate::{logging, platform};

/// Less free space than this is a problem.
const FREE_DISK_BYTES_MIN: u64 = 100 * 1024 * 1024;
/// This program was written after this day: a clock before it is wrong.
const DAY_MIN: u32 = 20_750;

enum Verdict {
    Good,
    /// Worth a look; the server works.
    Doubtful(Failure),
    Bad(Failure),
}

struct Check {
    name: &'static str,
    finding: String,
    verdict: Verdict,
}

impl Check {
    fn new(name: &'static str, result: Result<String, Failure>) -> Self {
        match result {
            Ok(finding) => Self {
                name,
                finding,
                verdict: Verdict::Good,
            },
            Err(failure) => Self {
                name,
                finding: failure.what.clone(),
                verdict: Verdict::Bad(failure),
            },
        }
    }

    fn doubtful_instead(mut self) -> Self {
        if let Verdict::Bad(failure) = self.verdict {
            self.verdict = Verdict::Doubtful(failure);
        }
        self
    }
}

pub(super) fn run(scene: &Scene) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    let runtime = super::serve::runtime()?;
    let checks = runtime.block_on(examine(scene));
    let mut bad = 0_usize;
    let (mut lines, mut values) = (String::new(), Vec::new());
    for check in &checks {
        let (mark, word, cure) = match &check.verdict {
            Verdict::Good => ("ok     ", "ok", None),
            Verdict::Doubtful(cure) => ("warning", "warning", Some(cure)),
            Verdict::Bad(cure) => ("FAILED ", "failed", Some(cure)),
        };
        if matches!(check.verdict, Verdict::Bad(_)) {
            bad = bad.saturating_add(1);
        }
        lines.push_str(&answers::check(mark, check.name, &check.finding, cure));
        values.push(json!({
            "name": check.name,
            "verdict": word,
            "finding": check.finding,
            "code": cure.map(|cure| cure.code),
            "hint": cure.map(|cure| cure.next.iter().map(|hint| hint.command.clone()).collect::<Vec<_>>()),
        }));
    }
    let value: Value = json!({ "v": 1, "type": "doctor", "failed": bad, "checks": values });
    scene.output.result(&lines, &value)?;
    if bad == 0 {
        Ok(())
    } else {
        Err(text::doctor_found(bad))
    }
}

async fn examine(scene: &Scene) -> Vec<Check> {
    let folder = &scene.folder;
    let mut checks = Vec::new();
    let configuration = folder.configuration();
    checks.push(Check::new(
        "configuration",
        match &configuration {
            Ok(_) => Ok(folder.config_path().display().to_string()),
            Err(failure) => Err(failure.clone()),
        },
    ));
    checks.push(clock());
    checks.push(udp_buffers());
    checks.push(open_files());
    let Ok(configuration) = configuration else {
        return checks;
    };
    checks.push(Check::new(
        "permissions",
        folder
            .check_private()
            .map(|()| folder.path().display().to_string()),
    ));
    checks.push(Check::new(
        "server key",
        folder.server_key().map(|key| match key.next_pin_hex() {
            None => key.pin_hex(),
            Some(next) => format!("{}; prepared: {next}", key.pin_hex()),
        }),
    ));
    checks.push(disk(scene));
    checks.extend(set_aside(scene));
    checks.push(name(&configuration));
    checks.push(key_exchange());
    checks.extend(server(scene, &configuration).await);
    checks
}

fn clock() -> Check {
    let today = platform::today();
    let result = if today < DAY_MIN {
        Err(words::clock_wrong(&text::date(today)))
    } else {
        Ok(text::date(today))
    };
    Check::new("clock", result)
}

fn udp_buffers() -> Check {
    let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let result = match quic::granted_buffers() {
        Ok(granted) => {
            let (receive, send) = (count(granted.receive_bytes), count(granted.send_bytes));
            if granted.is_limited() {
                let wanted = count(quic::SOCKET_BUFFER_BYTES);
                Err(words::udp_buffers_small(receive.min(send), wanted))
            } else {
                Ok(words::udp_buffers(receive, send))
            }
        }
        Err(error) => Err(text::bug(&error.to_string())),
    };
    Check::new("UDP buffers", result).doubtful_instead()
}

fn open_files() -> Check {
    // As the server does when it starts.
    let _raised = platform::raise_descriptors();
    let (allowed, wanted) = (platform::connections_allowed(), limits::CONNECTIONS_MAX);
    let result = if allowed < wanted {
        Err(words::open_files_few(allowed, wanted))
    } else {
        Ok(words::open_files(allowed))
    };
    Check::new("open files", result).doubtful_instead()
}

fn disk(scene: &Scene) -> Check {
    let path = scene.folder.path();
    let result = match platform::free_disk_bytes(path) {
        Ok(free) if free < FREE_DISK_BYTES_MIN => Err(words::disk_small(path, free)),
        Ok(free) => Ok(words::free(free)),
        Err(error) => Err(text::folder_failed(path, &error)),
    };
    Check::new("disk", result)
}

/// Tables that did not open once: they are a sign of a disk that fails.
fn set_aside(scene: &Scene) -> Option<Check> {
    let aside = scene.folder.set_aside();
    let found = aside.last()?;
    let result = Err(words::set_aside(&scene.folder.store_path().join(found)));
    Some(Check::new("tables", result).doubtful_instead())
}

fn name(configuration: &Configuration) -> Check {
    let result = configuration.public_host().and_then(|host| {
        if configuration.is_local() {
            Err(words::local_only(host.as_str()))
        } else {
            Ok(words::reached_at(
                host.as_str(),
                configuration.public_port(),
                &protocols(configuration),
            ))
        }
    });
    Check::new("name", result).doubtful_instead()
}

/// What the server offers to everybody who connects.
fn key_exchange() -> Check {
    let offered = quic::key_exchanges();
    let result = if offered == [KeyExchange::X25519MlKem768.as_str()] {
        Ok(words::key_exchange(&offered.join(", ")))
    } else {
        Err(text::bug(words::CLASSICAL_OFFERED))
    };
    Check::new("key exchange", result)
}

/// What the connections of the running server have agreed on.
fn connected(connections: &BTreeMap<String, u64>) -> Check {
    let hybrid = KeyExchange::X25519MlKem768.as_str();
    let result = if connections.keys().all(|name| name == hybrid) {
        Ok(words::connected(connections))
    } else {
        Err(text::bug(words::CLASSICAL_OFFERED))
    };
    Check::new("connections", result)
}

/// Asks the server that runs, or else tries port and store.
async fn server(scene: &Scene, configuration: &Configuration) -> Vec<Check> {
    let folder = &scene.folder;
    match admin::ask(folder, &Order::Status).await {
        Ok(Some(Reply::Status {
            accounts,
            transports,
            connections,
        })) => {
            let names: Vec<&str> = transports.iter().map(String::as_str).collect();
            return vec![
                Check::new("server", Ok(words::runs(accounts))),
                Check::new("transports", Ok(words::offered(&names))),
                connected(&connections),
            ];
        }
        Ok(Some(Reply::StoreFailed { code })) => {
            return vec![Check::new("server", Err(text::store_failed_there(&code)))];
        }
        Ok(Some(_)) => return vec![Check::new("server", Err(text::bug(words::OTHER_VERSION)))],
        Err(failure) => return vec![Check::new("server", Err(failure))],
        Ok(None) => {}
    }
    let _lock = match folder.lock() {
        Ok(Some(lock)) => lock,
        Ok(None) => {
            return vec![Check::new(
                "server",
                Err(text::server_silent(folder.path())),
            )];
        }
        Err(failure) => return vec![Check::new("server", Err(failure))],
    };
    let listen = configuration.listen;
    let port = configuration
        .transports
        .iter()
        .try_for_each(|offer| {
            let (probed, protocol) = match offer {
                Offer::Quic => (platform::probe_udp(listen), "UDP"),
                Offer::Tcp => (platform::probe_tcp(listen), "TCP"),
            };
            let probed = probed.map(|_| ());
            probed.map_err(|error| text::bind_failed(listen, protocol, &error))
        })
        .map(|()| words::port_free(&listen.to_string(), &protocols(configuration)));
    let offered = words::offered(&configuration.transport_names());
    let store = store(scene, configuration).await;
    vec![
        Check::new("server", Ok(words::DOES_NOT_RUN.to_owned())),
        Check::new("transports", Ok(offered)),
        Check::new("port", port),
        Check::new("store", store),
    ]
}

/// Reads every record of the store, and opens it where none is damaged: an opening serves what is whole, and
/// says no more than the log of the server does.
async fn store(scene: &Scene, configuration: &Configuration) -> Result<String, Failure> {
    let folder = &scene.folder;
    let verified = folder.verify_store(configuration)?;
    // Tables that are refused are made anew by the opening.
    let verified = Verification {
        tables_refused: false,
        ..verified
    };
    if !verified.is_whole() {
        return Err(words::store_damaged(folder.path()));
    }
    let opened = folder.open_store(configuration).await;
    opened.map(|_| words::STORE_OPENS.to_owned())
}

/// The protocols of the port.
fn protocols(configuration: &Configuration) -> String {
    let names = configuration.transports.iter().map(|offer| match offer {
        Offer::Quic => "UDP",
        Offer::Tcp => "TCP",
    });
    names.collect::<Vec<_>>().join(" and ")
}

impl Failure {
    /// A finding that is no failure of a command.
    pub(crate) fn finding(code: &'static str, what: String) -> Self {
        Self::new(code, Exit::User, what)
    }
}
