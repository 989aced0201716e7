// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a proxy is, as a user writes it down.

use core::fmt;
use core::str::FromStr;
use std::net::{Ipv6Addr, SocketAddr};

use waxwing_proto::Host;

/// The port of SOCKS where none is named (IANA).
const PORT_DEFAULT: u16 = 1080;
/// The only kind there is. With `socks5h` the proxy resolves names, as it does here always.
const SCHEMES: [&str; 2] = ["socks5://", "socks5h://"];

/// A SOCKS5 proxy (RFC 1928).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    host: Host,
    port: u16,
}

/// The text is not `socks5://HOST:PORT`. Credentials cannot be given: this side makes its own, so
/// that the proxy keeps connections apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a proxy is written socks5://HOST:PORT, without a user name and a password")]
pub struct ProxySyntax;

impl Proxy {
    /// The proxy at `host` and `port`.
    #[must_use]
    pub const fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// A name or an address. A name is resolved by this machine.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Proxy {
    type Err = ProxySyntax;

    fn from_str(text: &str) -> Result<Self, ProxySyntax> {
        let place = SCHEMES
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(ProxySyntax)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        let host = |text: &str| text.parse::<Host>().map_err(|_| ProxySyntax);
        if let Ok(address) = place.parse::<SocketAddr>() {
            return Ok(Self::new(host(&address.ip().to_string())?, address.port()));
        }
        let inner = place
            .strip_prefix('[')
            .and_then(|place| place.strip_suffix(']'));
        if let Some(inner) = inner {
            let ip: Ipv6Addr = inner.parse().map_err(|_| ProxySyntax)?;
            return Ok(Self::new(host(&ip.to_string())?, PORT_DEFAULT));
        }
        let (name, port) = match place.split_once(':') {
            None => (place, PORT_DEFAULT),
            Some((name, port)) => (name, port.parse().map_err(|_| ProxySyntax)?),
        };
        if port == 0 {
            return Err(ProxySyntax);
        }
        Ok(Self::new(host(&name.to_ascii_lowercase())?, port))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_str();
        if host.contains(':') {
            write!(f, "socks5://[{host}]:{}", self.port)
        } else {
            write!(f, "socks5://{host}:{}", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_have_their_grammar() {
        for (text, expected) in [
            ("socks5://127.0.0.1:9050", "socks5://127.0.0.1:9050"),
            ("socks5h://localhost:9050/", "socks5://localhost:9050"),
            ("socks5://Proxy.Example", "socks5://proxy.example:1080"),
            ("socks5://[::1]:9050", "socks5://[::1]:9050"),
            ("socks5://[::1]", "socks5://[::1]:1080"),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), expected);
            assert_eq!(expected.parse(), Ok(proxy));
        }
        for text in [
            "",
            "127.0.0.1:9050",
            "http://127.0.0.1:9050",
            "socks5://",
            "socks5://a:b@127.0.0.1:9050",
            "socks5://host:0",
            "socks5://host:99999",
            "socks5://host:1:2",
        ] {
            assert_eq!(text.parse::<Proxy>(), Err(ProxySyntax), "{text}");
        }
    }
}
