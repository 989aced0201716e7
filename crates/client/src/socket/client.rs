// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The asking side: one call at a time, notices kept in between.

use std::collections::VecDeque;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadHalf, WriteHalf};
use tokio::net::UnixStream;

use crate::api::wire::{self, Outgoing};
use crate::api::{self, Call, Notice, objects};
use crate::fault::{Code, Fault, Outcome};
use crate::platform;

/// Anything that carries lines both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to the host, in this process or another.
pub(crate) struct Client {
    reader: BufReader<ReadHalf<Box<dyn Stream>>>,
    writer: WriteHalf<Box<dyn Stream>>,
    line: Vec<u8>,
    last_id: u64,
    notices: VecDeque<Notice>,
    /// Whether the host has said that it was locked.
    locked: bool,
}

impl Client {
    /// Over a stream.
    pub(crate) fn over(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader: BufReader::new(reader),
            writer,
            line: Vec::new(),
            last_id: 0,
            notices: VecDeque::new(),
            locked: false,
        }
    }

    /// Connects to a host's socket; `None` when nobody listens there.
    pub(crate) async fn connect(path: &Path) -> Outcome<Option<Self>> {
        let Ok(stream) = UnixStream::connect(path).await else {
            return Ok(None);
        };
        // A socket of somebody else at this place would be told the user's messages.
        if !stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == platform::user())
        {
            return Err(Fault::new(Code::FolderUnusable).about(path.display().to_string()));
        }
        Ok(Some(Self::over(Box::new(stream))))
    }

    /// Makes sure that the host is of this version; `None` when it ends just now.
    pub(crate) async fn greet(mut self) -> Outcome<Option<(Self, objects::Host)>> {
        match self
            .call(&Call::Hello {
                version: api::VERSION,
            })
            .await
        {
            Ok(host) => Ok(Some((self, host))),
            Err(fault) if matches!(fault.code, Code::HostLost | Code::Locked) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Makes a call and waits for its answer.
    pub(crate) async fn call<T: DeserializeOwned>(&mut self, call: &Call) -> Outcome<T> {
        self.last_id = self.last_id.saturating_add(1);
        let id = self.last_id;
        let mut request = serde_json::to_value(call).map_err(|_| Fault::bug("a call"))?;
        if let Value::Object(fields) = &mut request {
            fields.insert("jsonrpc".to_owned(), "2.0".into());
            fields.insert("id".to_owned(), id.into());
        }
        if wire::write_line(&mut self.writer, &request).await.is_err() {
            // The host has closed; its goodbye, which says why, has come already.
            while let Ok(outgoing) = self.read().await {
                self.keep(outgoing);
            }
            return Err(self.lost());
        }
        loop {
            let outgoing = self.read().await?;
            if outgoing.id.as_ref() != Some(&Value::from(id)) {
                self.keep(outgoing);
                continue;
            }
            if let Some(error) = outgoing.error {
                return Err(error
                    .data
                    .unwrap_or_else(|| Fault::new(Code::Bug).because(error.message)));
            }
            return serde_json::from_value(outgoing.result.unwrap_or_default())
                .map_err(|_| Fault::bug("an answer"));
        }
    }

    /// Asks for notices.
    pub(crate) async fn watch(&mut self) -> Outcome {
        self.call(&Call::Watch {}).await
    }

    /// The next notice. Cancellation safe.
    pub(crate) async fn notice(&mut self) -> Outcome<Notice> {
        loop {
            match self.notices.pop_front() {
                Some(Notice::Ending | Notice::Locked) => return Err(self.lost()),
                Some(notice) => return Ok(notice),
                None => {
                    let outgoing = self.read().await?;
                    self.keep(outgoing);
                }
            }
        }
    }

    async fn read(&mut self) -> Outcome<Outgoing> {
        match wire::read_line(&mut self.reader, &mut self.line).await {
            Ok(Some(())) => {}
            _ => return Err(self.lost()),
        }
        let line = core::mem::take(&mut self.line);
        serde_json::from_slice(&line).map_err(|_| Fault::bug("a line of the host"))
    }

    fn keep(&mut self, outgoing: Outgoing) {
        let notice = outgoing
            .params
            .and_then(|params| serde_json::from_value(params).ok());
        if let (Some("notice"), Some(notice)) = (outgoing.method.as_deref(), notice) {
            self.locked |= notice == Notice::Locked;
            self.notices.push_back(notice);
        }
    }

    /// What the end of the connection means.
    fn lost(&self) -> Fault {
        if self.locked {
            Code::Locked.into()
        } else {
            Code::HostLost.into()
        }
    }
}
