// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `up`, `serve` and `init`: makes a server and runs it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use waxwing_relay::{InProcessWakeBus, Rates, Relay, Seams, Settings};
use waxwing_storage::StoreError;
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::{Elsewhere, Listener};

use super::Scene;
use crate::admin::{self, NewInvite, Reply};
use crate::cli::{InviteArgs, PlaceArgs, ServeArgs, UpArgs};
use crate::config::Configuration;
use crate::failure::Failure;
use crate::folder::{Folder, ServerStore};
use crate::operator::{Operator, server_link};
use crate::platform::{self, ShutdownSignals};
use crate::server_key::ServerKey;
use crate::text::{self, answers};
use crate::{logging, qr, tickets};

/// How long an ending server may take to finish what it accepted.
const DRAIN_TIME_MAX: Duration = Duration::from_millis(4_500);
/// How long the runtime may take to stop its threads after that.
const STOP_TIME_MAX: Duration = Duration::from_millis(300);
/// Registrations that the invite of `up` allows, where the command line says nothing.
const USES_OF_UP: u32 = 10;

/// A runtime for commands and for the server.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| text::runtime_failed(&error))
}

pub(super) fn init(scene: &Scene, place: &PlaceArgs) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    let folder = &scene.folder;
    if folder.is_initialised() {
        return Err(text::already_initialised(folder.path()));
    }
    let configuration = folder.initialise(place)?;
    let key = folder.server_key()?;
    let server = key.address(&configuration)?;
    let facts = answers::ServerFacts {
        folder: folder.path().display().to_string(),
        data_option: &scene.data_option,
        configuration: &configuration,
        key_pin: key.pin_hex(),
        server_link: server_link(&server)?,
    };
    let mut value = facts_json(&facts);
    if let Some(object) = value.as_object_mut() {
        object.insert("type".to_owned(), "initialised".into());
    }
    scene.output.result(&answers::initialised(&facts), &value)
}

pub(super) fn up(scene: &Scene, args: UpArgs) -> Result<(), Failure> {
    let folder = &scene.folder;
    // The second one to come finds a configuration, so that a crash in between is harmless.
    let configuration = if folder.is_initialised() {
        folder.configuration()?.overridden(&args.serve.place)?
    } else {
        folder.initialise(&args.serve.place)?
    };
    run(
        scene,
        configuration,
        args.serve.allow_memory_inspection,
        Some(&args.invite),
    )
}

pub(super) fn serve(scene: &Scene, args: &ServeArgs) -> Result<(), Failure> {
    let configuration = scene.folder.configuration()?.overridden(&args.place)?;
    run(scene, configuration, args.allow_memory_inspection, None)
}

fn run(
    scene: &Scene,
    configuration: Configuration,
    allow_memory_inspection: bool,
    invite: Option<&InviteArgs>,
) -> Result<(), Failure> {
    logging::start(scene.output.quiet, scene.verbose);
    if allow_memory_inspection {
        scene.output.note(answers::MEMORY_WARNING);
    } else {
        platform::forbid_dumps().map_err(|error| text::dumps_not_forbidden(&error))?;
    }
    // Where it cannot be raised fewer connections are taken.
    if let Err(error) = platform::raise_descriptors() {
        tracing::warn!(%error, "the bound on open files cannot be raised");
    }
    let folder = &scene.folder;
    folder.check_private()?;
    let Some(_lock) = folder.lock()? else {
        return Err(text::folder_in_use(folder.path()));
    };
    let runtime = runtime()?;
    let ended = runtime.block_on(serve_until_signal(scene, &configuration, invite));
    runtime.shutdown_timeout(STOP_TIME_MAX);
    ended
}

async fn serve_until_signal(
    scene: &Scene,
    configuration: &Configuration,
    invite: Option<&InviteArgs>,
) -> Result<(), Failure> {
    let folder = &scene.folder;
    // Installed first: a signal that comes while the store opens ends the server in order.
    let mut signals = ShutdownSignals::install().map_err(|error| text::runtime_failed(&error))?;
    let key = folder.server_key()?;
    let tickets = tickets::open(&folder.tickets_path());
    let listener = key.listen(configuration, tickets.as_ref())?;
    let store = Arc::new(folder.open_store(configuration).await?);
    let socket = bind_admin_socket(folder)?;
    let relay = Relay::new(Arc::clone(&store), seams(), settings(configuration, &key));
    let operator = Operator::new(store, folder, configuration)?;
    let operator = Arc::new(operator.of_running(Arc::clone(relay.census())));
    let admin = tokio::spawn(admin::serve(socket, Arc::clone(&operator)));
    announce(scene, configuration, &key, &operator, invite).await?;

    let elsewhere = configuration.elsewhere()?;
    let serving = serve_relay(&relay, listener, &mut signals, elsewhere).await;
    admin.abort();
    let _ = std::fs::remove_file(folder.socket_path());
    serving.map_err(|error| text::store_failed(folder.path(), &error))?;
    scene.output.note(answers::STOPPED);
    Ok(())
}

/// Serves until a signal comes, then drains; a second signal, or too much time, ends the drain.
async fn serve_relay(
    relay: &Relay<ServerStore>,
    listener: Arc<dyn Listener>,
    signals: &mut ShutdownSignals,
    elsewhere: Option<Elsewhere>,
) -> Result<(), StoreError> {
    let mut serving = core::pin::pin!(relay.serve(listener));
    tokio::select! {
        biased;
        ended = &mut serving => return ended,
        () = signals.next() => {}
    }
    tracing::info!("draining");
    match elsewhere {
        Some(elsewhere) => relay.drain_to(elsewhere),
        None => relay.drain(),
    }
    tokio::select! {
        biased;
        ended = &mut serving => ended,
        () = signals.next() => Ok(()),
        () = tokio::time::sleep(DRAIN_TIME_MAX) => Ok(()),
    }
}

fn seams() -> Seams {
    Seams {
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy),
        wake_bus: Arc::new(InProcessWakeBus::default()),
    }
}

fn settings(configuration: &Configuration, key: &ServerKey) -> Settings {
    Settings {
        key_pins: key.key_pins(),
        open_registration: configuration.open_registration,
        rates: if configuration.rate_limits {
            Rates::default()
        } else {
            Rates::unlimited()
        },
    }
}

fn bind_admin_socket(folder: &Folder) -> Result<tokio::net::UnixListener, Failure> {
    let path = folder.socket_path();
    if path.as_os_str().len() > platform::SOCKET_PATH_LENGTH_MAX {
        return Err(text::socket_path_too_long(&path));
    }
    platform::bind_private_socket(&path).map_err(|error| text::folder_failed(folder.path(), &error))
}

/// Says that the server is ready, and with `up` hands out an invite.
async fn announce(
    scene: &Scene,
    configuration: &Configuration,
    key: &ServerKey,
    operator: &Operator,
    invite: Option<&InviteArgs>,
) -> Result<(), Failure> {
    let invite = match invite {
        None => None,
        Some(args) => Some(new_invite(scene, operator, args).await?),
    };
    let facts = answers::ServerFacts {
        folder: scene.folder.path().display().to_string(),
        data_option: &scene.data_option,
        configuration,
        key_pin: key.pin_hex(),
        server_link: server_link(operator.server())?,
    };
    let mut value = facts_json(&facts);
    if let Some(object) = value.as_object_mut() {
        object.insert("type".to_owned(), "ready".into());
        object.insert("pid".to_owned(), std::process::id().into());
        object.insert(
            "invite".to_owned(),
            invite.as_ref().map(|invite| invite.link.as_str()).into(),
        );
    }
    let terminal = scene.output.is_terminal();
    let image = invite
        .as_ref()
        .filter(|_| terminal)
        .and_then(|invite| qr::draw(&invite.link));
    scene.output.result(
        &answers::ready(&facts, invite.as_ref(), image.as_deref()),
        &value,
    )
}

async fn new_invite(
    scene: &Scene,
    operator: &Operator,
    args: &InviteArgs,
) -> Result<NewInvite, Failure> {
    match operator
        .perform(&super::invite::order(args, USES_OF_UP))
        .await
    {
        Reply::NewInvite(invite) => Ok(invite),
        Reply::StoreFailed { code } => {
            tracing::error!(code, "no invite could be stored");
            Err(text::store_failed(
                scene.folder.path(),
                &StoreError::Stopped,
            ))
        }
        _ => Err(text::bug("the reply does not fit the order")),
    }
}

fn facts_json(facts: &answers::ServerFacts<'_>) -> Value {
    json!({
        "v": 1,
        "listen": facts.configuration.listen.to_string(),
        "port": facts.configuration.listen.port(),
        "transports": facts.configuration.transport_names(),
        "host": facts.configuration.public_host().map(|host| host.as_str().to_owned()).ok(),
        "public_port": facts.configuration.public_port(),
        "server": facts.server_link,
        "key_pin": facts.key_pin,
        "data": facts.folder,
    })
}
