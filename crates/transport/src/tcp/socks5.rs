// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client's side of SOCKS5 (RFC 1928) with a user name and a password (RFC 1929).
//!
//! The name of the server goes to the proxy as it is, so that nobody near this machine learns it by
//! a look-up. User name and password carry no secret: they are a random tag by which the proxy can
//! keep connections apart.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::LinkError;

/// A tag, in bytes. Both names are its hexadecimal digits.
pub(super) const TAG_SIZE: usize = 16;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const AUTHENTICATION_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks the proxy at the other end of `stream` for a connection to `host`.
///
/// # Errors
/// [`LinkError::ProxyUnreachable`] when the proxy breaks off, [`LinkError::ProxyRefused`] when it
/// is none, wants other credentials or does not allow it; and what it says about the server:
/// [`LinkError::Refused`], [`LinkError::TimedOut`], [`LinkError::NameNotResolved`].
pub(super) async fn connect(
    stream: &mut TcpStream,
    host: &str,
    port: u16,
    tag: &[u8; TAG_SIZE],
) -> Result<(), LinkError> {
    let broken = |_| LinkError::ProxyUnreachable;
    // A proxy that knows no users may choose the first; then it cannot keep connections apart.
    stream
        .write_all(&[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD])
        .await
        .map_err(broken)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(broken)?;
    match chosen {
        [VERSION, NO_AUTHENTICATION] => {}
        [VERSION, USER_AND_PASSWORD] => {
            stream.write_all(&credentials(tag)?).await.map_err(broken)?;
            let mut accepted = [0; 2];
            stream.read_exact(&mut accepted).await.map_err(broken)?;
            if accepted != [AUTHENTICATION_VERSION, 0] {
                return Err(LinkError::ProxyRefused);
            }
        }
        _ => return Err(LinkError::ProxyRefused),
    }
    stream
        .write_all(&request(host, port)?)
        .await
        .map_err(broken)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    let [version, reply, _, kind] = answer;
    if version != VERSION {
        return Err(LinkError::ProxyRefused);
    }
    if let Some(error) = refusal(reply) {
        return Err(error);
    }
    // Where the proxy connects from is of no interest, but it stands before what follows.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await.map_err(broken)?),
        _ => return Err(LinkError::ProxyRefused),
    };
    let mut bound = [0; 255 + 2];
    let bound = bound
        .get_mut(..length.saturating_add(2))
        .unwrap_or_default();
    stream.read_exact(bound).await.map_err(broken)?;
    Ok(())
}

/// RFC 1929, section 2. Tor separates connections whose credentials differ.
fn credentials(tag: &[u8; TAG_SIZE]) -> Result<Vec<u8>, LinkError> {
    let name = HEXLOWER.encode(tag);
    let length = length(&name)?;
    let mut bytes = vec![AUTHENTICATION_VERSION, length];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(length);
    bytes.extend_from_slice(name.as_bytes());
    Ok(bytes)
}

/// RFC 1928, section 4.
fn request(host: &str, port: u16) -> Result<Vec<u8>, LinkError> {
    let mut bytes = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            bytes.push(IPV4);
            bytes.extend_from_slice(&ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            bytes.push(IPV6);
            bytes.extend_from_slice(&ip.octets());
        }
        Err(_) => {
            bytes.extend_from_slice(&[NAME, length(host)?]);
            bytes.extend_from_slice(host.as_bytes());
        }
    }
    bytes.extend_from_slice(&port.to_be_bytes());
    Ok(bytes)
}

fn length(text: &str) -> Result<u8, LinkError> {
    u8::try_from(text.len()).map_err(|_| LinkError::Settings("the server's name is too long"))
}

/// RFC 1928, section 6.
const fn refusal(reply: u8) -> Option<LinkError> {
    match reply {
        0 => None,
        // "Network unreachable" and "TTL expired".
        3 | 6 => Some(LinkError::TimedOut),
        // "Host unreachable": also the answer to a name that is not known.
        4 => Some(LinkError::NameNotResolved),
        5 => Some(LinkError::Refused),
        _ => Some(LinkError::ProxyRefused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_rfc() {
        assert_eq!(
            request("192.0.2.7", 443).unwrap(),
            [5, 1, 0, 1, 192, 0, 2, 7, 1, 187]
        );
        let name = request("a.example", 1).unwrap();
        assert_eq!(name, b"\x05\x01\x00\x03\x09a.example\x00\x01");
        assert_eq!(request("2001:db8::1", 1).unwrap().len(), 22);
        assert!(request(&"a".repeat(256), 1).is_err());
        let credentials = credentials(&[0xab; TAG_SIZE]).unwrap();
        assert_eq!(credentials.len(), 3 + 64);
        assert_eq!(credentials[..2], [1, 32]);
        assert_eq!(credentials[34], 32);
    }
}
