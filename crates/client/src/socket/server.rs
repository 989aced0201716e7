// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The listening side: connections of this user only, calls side by side, notifications between.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::UnixListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::notices;
use super::service::Service;
use crate::api::wire::{self, Incoming, Outgoing};
use crate::api::{Call, METHODS, Notice};
use crate::fault::{Code, Fault, Outcome};
use crate::platform;

/// Calls of one connection that are answered side by side.
const CALLS_MAX: usize = 16;
/// How long an ending host waits for calls under way, in milliseconds.
const LAST_CALLS_MS: u64 = 2_000;

/// The socket, open until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Listens at `path`. The caller holds the profile's lock, so a socket that is there already is
    /// one that a dead host left behind.
    pub(crate) fn listen(path: PathBuf, service: Arc<Service>) -> Outcome<Self> {
        let unusable = |error: std::io::Error| {
            Fault::new(Code::FolderUnusable)
                .about(path.display().to_string())
                .because(error)
        };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unusable(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(unusable)?;
        platform::private_socket(&path).map_err(unusable)?;
        let (ending, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, service, ended));
        Ok(Self {
            path,
            ending,
            tasks,
        })
    }

    /// Serves one more connection: the one of this process itself.
    pub(crate) fn adopt(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        service: Arc<Service>,
    ) {
        self.tasks
            .spawn(serve(stream, service, self.ending.subscribe()));
    }

    /// Takes no more calls, waits for those under way, and closes.
    pub(crate) async fn close(mut self) {
        let _ = std::fs::remove_file(&self.path);
        self.ending.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, service: Arc<Service>, mut ending: watch::Receiver<bool>) {
    let ended = ending.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = until(&mut ending) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of descriptors, most likely: not at once again.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                };
                // The folder keeps others out already; root, who gets in everywhere, is not served.
                if stream.peer_cred().is_ok_and(|peer| peer.uid() == platform::user()) {
                    connections.spawn(serve(stream, Arc::clone(&service), ended.clone()));
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send,
    service: Arc<Service>,
    mut ending: watch::Receiver<bool>,
) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    let mut calls: JoinSet<Outgoing> = JoinSet::new();
    let mut watching = None;
    let mut reading = None;
    loop {
        let outgoing = tokio::select! {
            biased;
            () = until(&mut ending) => break,
            Some(done) = calls.join_next(), if !calls.is_empty() => done.ok(),
            told = notices::next(&mut watching) => {
                if told == Err(RecvError::Closed) {
                    watching = None;
                }
                Some(notification(&notices::translate(told, &service).await))
            }
            read = wire::read_line(&mut reader, &mut line), if calls.len() < CALLS_MAX => {
                let Ok(Some(())) = read else { return };
                let text = zeroize::Zeroizing::new(core::mem::take(&mut line));
                match understand(&text) {
                    Ok((id, Call::Watch {})) => {
                        watching = Some(service.watch());
                        Some(Outgoing::result(id, Value::Null))
                    }
                    Ok((id, Call::Unread { .. })) if !service.reads(&mut reading) => {
                        Some(Outgoing::fault(id, Code::ReaderBusy.into()))
                    }
                    Ok((id, call)) => {
                        let service = Arc::clone(&service);
                        calls.spawn(async move {
                            match service.answer(call).await {
                                Ok(result) => Outgoing::result(id, result),
                                Err(fault) => Outgoing::fault(id, fault),
                            }
                        });
                        None
                    }
                    Err(error) => Some(*error),
                }
            }
        };
        if let Some(outgoing) = outgoing
            && wire::write_line(&mut writer, &outgoing).await.is_err()
        {
            return;
        }
    }
    let goodbye = if service.is_locked() {
        Notice::Locked
    } else {
        Notice::Ending
    };
    // Whoever asked before the end gets an answer if there is one soon. The goodbye comes first: a watcher
    // that took a `lock` for a crash would take the host's place.
    let last = async {
        wire::write_line(&mut writer, &notification(&goodbye)).await?;
        while let Some(done) = calls.join_next().await {
            if let Ok(outgoing) = done {
                wire::write_line(&mut writer, &outgoing).await?;
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(LAST_CALLS_MS), last).await;
}

/// Completes when the socket is to be closed, or was dropped.
async fn until(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

fn notification(notice: &Notice) -> Outgoing {
    Outgoing::notification("notice", serde_json::to_value(notice).unwrap_or_default())
}

/// Reads a request; or says what is wrong with it, in the words of JSON-RPC 2.0.
fn understand(line: &[u8]) -> Result<(Value, Call), Box<Outgoing>> {
    let error = |id: Value, code: i32, message: &str| Box::new(Outgoing::error(id, code, message));
    let incoming: Incoming = serde_json::from_slice(line)
        .map_err(|_| error(Value::Null, wire::PARSE_ERROR, "parse error"))?;
    let id = incoming.id.unwrap_or(Value::Null);
    let Value::String(method) = incoming.method else {
        return Err(error(id, wire::INVALID_REQUEST, "invalid request"));
    };
    if incoming.jsonrpc != "2.0" || !(id.is_string() || id.is_number()) {
        return Err(error(id, wire::INVALID_REQUEST, "invalid request"));
    }
    if !METHODS.contains(&method.as_str()) {
        return Err(error(id, wire::METHOD_NOT_FOUND, "method not found"));
    }
    let params = incoming
        .params
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let call = serde_json::json!({ "method": method, "params": params });
    match serde_json::from_value(call) {
        Ok(call) => Ok((id, call)),
        Err(_) => Err(error(id, wire::INVALID_PARAMS, "invalid params")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> i32 {
        understand(line.as_bytes())
            .err()
            .unwrap()
            .error
            .unwrap()
            .code
    }

    #[test]
    fn each_mistake_has_the_code_of_json_rpc() {
        assert_eq!(code("{"), wire::PARSE_ERROR);
        assert_eq!(code("1"), wire::PARSE_ERROR);
        assert_eq!(code("{}"), wire::INVALID_REQUEST);
        assert_eq!(
            code(r#"{"jsonrpc":"1.0","id":1,"method":"status"}"#),
            wire::INVALID_REQUEST
        );
        assert_eq!(
            code(r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#),
            wire::INVALID_REQUEST
        );
        assert_eq!(
            code(r#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#),
            wire::METHOD_NOT_FOUND
        );
        let wrong = r#"{"jsonrpc":"2.0","id":1,"method":"messages.send","params":{"x":1}}"#;
        assert_eq!(code(wrong), wire::INVALID_PARAMS);
    }

    #[test]
    fn every_method_is_understood() {
        let line = r#"{"jsonrpc":"2.0","id":"a","method":"status"}"#;
        assert!(matches!(
            understand(line.as_bytes()),
            Ok((Value::String(_), Call::Status {}))
        ));
        for method in METHODS {
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
            if let Err(error) = understand(line.as_bytes()) {
                assert_eq!(error.error.unwrap().code, wire::INVALID_PARAMS, "{method}");
            }
        }
    }
}
