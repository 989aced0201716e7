// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON-RPC 2.0 in lines: reading them within a bound, and the few shapes of an envelope.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

use crate::fault::Fault;

/// The longest line, in bytes: an answer with 50 of the largest texts, escaped, fits.
pub(crate) const LINE_LENGTH_MAX: usize = 16 * 1024 * 1024;

/// The codes of JSON-RPC 2.0, section 5.1, and one for what a command came to.
pub(crate) const PARSE_ERROR: i32 = -32_700;
pub(crate) const INVALID_REQUEST: i32 = -32_600;
pub(crate) const METHOD_NOT_FOUND: i32 = -32_601;
pub(crate) const INVALID_PARAMS: i32 = -32_602;
pub(crate) const COMMAND_FAILED: i32 = -32_000;

/// A request as it comes in. Everything is checked by hand, so that each mistake has its own code.
#[derive(Debug, Deserialize)]
pub(crate) struct Incoming {
    #[serde(default)]
    pub(crate) jsonrpc: Value,
    #[serde(default)]
    pub(crate) id: Option<Value>,
    #[serde(default)]
    pub(crate) method: Value,
    #[serde(default)]
    pub(crate) params: Option<Value>,
}

/// An answer or a notification, as it goes out and comes in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub(crate) jsonrpc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ErrorObject>,
}

/// The error of an answer. `data` is the [`Fault`] where a command failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorObject {
    pub(crate) code: i32,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Fault>,
}

impl Outgoing {
    fn empty() -> Self {
        Self {
            jsonrpc: "2.0".to_owned(),
            id: None,
            method: None,
            params: None,
            result: None,
            error: None,
        }
    }

    pub(crate) fn result(id: Value, result: Value) -> Self {
        Self {
            id: Some(id),
            result: Some(result),
            ..Self::empty()
        }
    }

    pub(crate) fn fault(id: Value, fault: Fault) -> Self {
        let message = fault.code.as_str().to_owned();
        let error = ErrorObject {
            code: COMMAND_FAILED,
            message,
            data: Some(fault),
        };
        Self {
            id: Some(id),
            error: Some(error),
            ..Self::empty()
        }
    }

    pub(crate) fn error(id: Value, code: i32, message: &str) -> Self {
        let error = ErrorObject {
            code,
            message: message.to_owned(),
            data: None,
        };
        Self {
            id: Some(id),
            error: Some(error),
            ..Self::empty()
        }
    }

    pub(crate) fn notification(method: &str, params: Value) -> Self {
        Self {
            method: Some(method.to_owned()),
            params: Some(params),
            ..Self::empty()
        }
    }
}

/// Reads one line without its end onto `line`; `None` at the end of the stream. Cancellation safe:
/// what was read stays in `line`.
///
/// # Errors
/// Of the stream; `InvalidData` for a line that is too long.
pub(crate) async fn read_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    line: &mut Vec<u8>,
) -> std::io::Result<Option<()>> {
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            // A line without its end is not a line: its writer has died.
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        line.extend(available.iter().take(taken));
        let consumed = taken.saturating_add(usize::from(end.is_some()));
        reader.consume(consumed);
        if line.len() > LINE_LENGTH_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        if end.is_some() {
            return Ok(Some(()));
        }
    }
}

/// Writes one object as a line.
///
/// # Errors
/// Of the stream.
pub(crate) async fn write_line<W: AsyncWrite + Unpin, T: Serialize>(
    writer: &mut W,
    object: &T,
) -> std::io::Result<()> {
    let mut line = zeroize::Zeroizing::new(serde_json::to_vec(object)?);
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_split_and_unfinished_ones_dropped() {
        let mut reader = tokio::io::BufReader::with_capacity(2, &b"one\n\ntwo\nhal"[..]);
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line).await.unwrap().is_some() {
            lines.push(String::from_utf8(core::mem::take(&mut line)).unwrap());
        }
        assert_eq!(lines, ["one", "", "two"]);
    }

    #[test]
    fn a_fault_travels_as_the_data_of_an_error() {
        let fault = Fault::new(crate::fault::Code::KeyChanged).about("bob");
        let json = serde_json::to_string(&Outgoing::fault(7.into(), fault.clone())).unwrap();
        let again: Outgoing = serde_json::from_str(&json).unwrap();
        assert_eq!(again.error.and_then(|error| error.data), Some(fault));
    }
}
