// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration: `waxwingd.toml` in the data folder. Unknown keys are refused, so that a
//! misspelt one is not silently without effect.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use waxwing_proto::{Host, limits};
use waxwing_storage::embedded::files::EngineKind;
use waxwing_transport::{Elsewhere, Transport};

use crate::cli::PlaceArgs;
use crate::failure::Failure;
use crate::{platform, text};

/// The port where nothing else is said.
pub(crate) const PORT_DEFAULT: u16 = 4747;

/// A transport that a server can offer, as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Offer {
    Quic,
    Tcp,
}

impl Offer {
    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Quic => Transport::Quic,
            Self::Tcp => Transport::Tcp,
        }
    }
}

/// Ports that are tried when a free one is looked for.
const PORTS_TRIED_MAX: usize = 20;

/// What an operator decides, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration {
    /// The address and port to listen on, UDP for QUIC and TCP for TCP.
    pub(crate) listen: SocketAddr,
    /// What is listened with: `quic`, `tcp` or both.
    #[serde(default = "transports_default")]
    pub(crate) transports: Vec<Offer>,
    /// Whether every packet that goes out over QUIC has the same length.
    #[serde(default)]
    pub(crate) constant_packets: bool,
    /// The host name in links and in `name@host`; absent: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The port in links, where it is not the one to listen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public_port: Option<u16>,
    /// `HOST:PORT` of the same server with the same key, where clients go while this one is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) elsewhere: Option<String>,
    /// Whether people register without an invite.
    #[serde(default)]
    pub(crate) open_registration: bool,
    /// Whether callers are limited in how often they call.
    #[serde(default = "rate_limits_default")]
    pub(crate) rate_limits: bool,
    /// How long a message waits for a device that does not come.
    #[serde(default = "retention_days_default")]
    pub(crate) retention_days: u32,
    /// What keeps the rows of the store.
    #[serde(default = "engine_default")]
    engine: String,
}

fn transports_default() -> Vec<Offer> {
    vec![Offer::Quic, Offer::Tcp]
}

const fn retention_days_default() -> u32 {
    limits::RETENTION_DAYS
}

fn engine_default() -> String {
    EngineKind::default().name().to_owned()
}

const fn rate_limits_default() -> bool {
    true
}

impl Configuration {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let configuration: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| before.matches('\n').count().saturating_add(1));
            text::config_syntax(line, error.message())
        })?;
        configuration.check()?;
        Ok(configuration)
    }

    /// The file's text.
    pub(crate) fn to_text(&self) -> Result<String, Failure> {
        let values = toml::to_string(self).map_err(|error| text::bug(&error.to_string()))?;
        Ok(format!("{}{values}", text::CONFIG_HEADER))
    }

    fn check(&self) -> Result<(), Failure> {
        if let Some(name) = &self.name {
            let _: Host = name
                .parse()
                .map_err(|_| text::config_value("name", text::HOST_SYNTAX))?;
        }
        self.elsewhere()?;
        self.engine()?;
        let count = |offer| self.transports.iter().filter(|it| **it == offer).count();
        if self.transports.is_empty() || count(Offer::Quic) > 1 || count(Offer::Tcp) > 1 {
            return Err(text::config_value("transports", text::TRANSPORTS_RANGE));
        }
        if self.listen.port() == 0 {
            return Err(text::config_value("listen", text::PORT_NOT_ZERO));
        }
        if self.public_port == Some(0) {
            return Err(text::config_value("public_port", text::PORT_NOT_ZERO));
        }
        if !(1..=365).contains(&self.retention_days) {
            return Err(text::config_value("retention_days", text::RETENTION_RANGE));
        }
        Ok(())
    }

    /// The configuration of a new server. A port 0 becomes a free port, which then stays: links
    /// carry it.
    pub(crate) fn create(place: &PlaceArgs) -> Result<Self, Failure> {
        let (name, public_port) = match &place.name {
            Some(name) => {
                let (host, port) = parse_name(name)?;
                (Some(host), port)
            }
            None => (None, None),
        };
        let listen = match &place.listen {
            Some(listen) => parse_listen(listen)?,
            // Without a name nobody else could reach it: then it serves this machine only.
            None if name.is_none() => SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)),
            None => SocketAddr::from((platform::any_address(), PORT_DEFAULT)),
        };
        let configuration = Self {
            listen: with_free_port(listen)?,
            transports: transports_default(),
            constant_packets: false,
            name,
            public_port,
            elsewhere: None,
            open_registration: false,
            rate_limits: true,
            retention_days: limits::RETENTION_DAYS,
            engine: engine_default(),
        };
        configuration.check()?;
        Ok(configuration)
    }

    /// The configuration with what the command line says for this run. Port 0 means the port that
    /// was chosen when the server was made.
    pub(crate) fn overridden(mut self, place: &PlaceArgs) -> Result<Self, Failure> {
        if let Some(name) = &place.name {
            let (host, port) = parse_name(name)?;
            self.name = Some(host);
            self.public_port = port;
        }
        if let Some(listen) = &place.listen {
            let listen = parse_listen(listen)?;
            self.listen = if listen.port() == 0 {
                SocketAddr::new(listen.ip(), self.listen.port())
            } else {
                listen
            };
        }
        self.check()?;
        Ok(self)
    }

    /// The host that links name.
    pub(crate) fn public_host(&self) -> Result<Host, Failure> {
        let host = match &self.name {
            Some(name) => name.clone(),
            None if self.listen.ip().is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            None => self.listen.ip().to_string(),
        };
        host.parse()
            .map_err(|_| text::config_value("name", text::HOST_SYNTAX))
    }

    /// Where clients go while this server is stopped.
    pub(crate) fn elsewhere(&self) -> Result<Option<Elsewhere>, Failure> {
        let Some(place) = &self.elsewhere else {
            return Ok(None);
        };
        let wrong = || text::config_value("elsewhere", text::ELSEWHERE_SYNTAX);
        let (host, port) = parse_name(place).map_err(|_| wrong())?;
        let host = host.parse().map_err(|_| wrong())?;
        let port = port.ok_or_else(wrong)?;
        Ok(Some(Elsewhere { host, port }))
    }

    /// What keeps the rows of the store.
    pub(crate) fn engine(&self) -> Result<EngineKind, Failure> {
        EngineKind::from_name(&self.engine)
            .ok_or_else(|| text::config_value("engine", text::ENGINE_NAMES))
    }

    /// The names of the transports.
    pub(crate) fn transport_names(&self) -> Vec<&'static str> {
        let names = self.transports.iter();
        names.map(|offer| offer.transport().as_str()).collect()
    }

    /// The port that links name.
    pub(crate) fn public_port(&self) -> u16 {
        self.public_port.unwrap_or_else(|| self.listen.port())
    }

    /// Whether the links are good on this machine only.
    pub(crate) fn is_local(&self) -> bool {
        match &self.name {
            Some(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
            None => self.listen.ip().is_loopback() || self.listen.ip().is_unspecified(),
        }
    }
}

/// `ADDR:PORT`, `ADDR` or `:PORT`.
fn parse_listen(text: &str) -> Result<SocketAddr, Failure> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT_DEFAULT));
    }
    match text.strip_prefix(':').map(str::parse) {
        Some(Ok(port)) => Ok(SocketAddr::new(platform::any_address(), port)),
        _ => Err(text::listen_syntax(text)),
    }
}

/// `HOST`, `HOST:PORT` or `[IPv6]:PORT`.
fn parse_name(text: &str) -> Result<(String, Option<u16>), Failure> {
    let wrong = || text::name_syntax(text);
    let lower = text.to_ascii_lowercase();
    let (host, port) = if lower.parse::<IpAddr>().is_ok() {
        (lower.as_str(), None)
    } else {
        match lower.rsplit_once(':') {
            Some((host, port)) => {
                let port: u16 = port.parse().map_err(|_| wrong())?;
                (host, Some(port).filter(|port| *port != 0))
            }
            None => (lower.as_str(), None),
        }
    };
    let host = host.trim_matches(['[', ']']);
    let host: Host = host.parse().map_err(|_| wrong())?;
    if host.as_str().contains(':') && host.as_str().parse::<IpAddr>().is_err() {
        return Err(wrong());
    }
    Ok((host.as_str().to_owned(), port))
}

fn with_free_port(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let mut tried: usize = 0;
    loop {
        let failed = |error| text::bind_failed(listen, "UDP", &error);
        let free = platform::probe_udp(listen).map_err(failed)?;
        // The same port must be free for the other transport, too.
        match platform::probe_tcp(free) {
            Ok(_) => return Ok(free),
            Err(error) if tried >= PORTS_TRIED_MAX => {
                return Err(text::bind_failed(listen, "TCP", &error));
            }
            Err(_) => tried = tried.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(listen: Option<&str>, name: Option<&str>) -> PlaceArgs {
        PlaceArgs {
            listen: listen.map(str::to_owned),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn a_new_configuration_round_trips() {
        let made =
            Configuration::create(&place(Some("127.0.0.1:0"), Some("Home.Example:443"))).unwrap();
        assert_ne!(made.listen.port(), 0);
        assert_eq!(made.public_port(), 443);
        assert_eq!(made.public_host().unwrap().as_str(), "home.example");
        assert_eq!(
            Configuration::parse(&made.to_text().unwrap()).unwrap(),
            made
        );
    }

    #[test]
    fn both_transports_are_on_unless_the_file_says_otherwise() {
        let names = |text: &str| Configuration::parse(text).unwrap().transport_names();
        assert_eq!(names("listen = \"127.0.0.1:1\"\n"), ["quic", "tcp"]);
        let one = "listen = \"127.0.0.1:1\"\ntransports = [\"tcp\"]\n";
        assert_eq!(names(one), ["tcp"]);
        let constant = |text: &str| Configuration::parse(text).unwrap().constant_packets;
        assert!(!constant(one));
        assert!(constant(
            "listen = \"127.0.0.1:1\"\nconstant_packets = true\n"
        ));
    }

    #[test]
    fn without_a_name_it_serves_this_machine() {
        let made = Configuration::create(&place(None, None)).unwrap();
        assert!(made.listen.ip().is_loopback() && made.is_local());
        let made = Configuration::create(&place(None, Some("home.example"))).unwrap();
        assert!(made.listen.ip().is_unspecified() && !made.is_local());
    }

    #[test]
    fn port_0_keeps_the_port_that_links_carry() {
        let made = Configuration::create(&place(Some("127.0.0.1:0"), None)).unwrap();
        let again = made
            .clone()
            .overridden(&place(Some("127.0.0.1:0"), None))
            .unwrap();
        assert_eq!(again, made);
        let moved = made
            .overridden(&place(Some("127.0.0.1:5000"), None))
            .unwrap();
        assert_eq!(moved.listen.port(), 5000);
    }

    #[test]
    fn elsewhere_is_a_host_and_a_port() {
        let text = "listen = \"127.0.0.1:1\"\nelsewhere = \"second.example:47\"\n";
        let elsewhere = Configuration::parse(text).unwrap().elsewhere().unwrap();
        let elsewhere = elsewhere.unwrap();
        assert_eq!(elsewhere.host.as_str(), "second.example");
        assert_eq!(elsewhere.port, 47);
    }

    #[test]
    fn mistakes_are_refused_with_their_line() {
        let cases = [
            (
                "listen = \"127.0.0.1:1\"\nlisten_port = 3\n",
                "config_unreadable",
            ),
            ("listen = \"nowhere\"\n", "config_unreadable"),
            (
                "listen = \"127.0.0.1:1\"\nretention_days = 0\n",
                "config_value",
            ),
            ("listen = \"127.0.0.1:0\"\n", "config_value"),
            (
                "listen = \"127.0.0.1:1\"\ntransports = []\n",
                "config_value",
            ),
            (
                "listen = \"127.0.0.1:1\"\ntransports = [\"tcp\", \"tcp\"]\n",
                "config_value",
            ),
            (
                "listen = \"127.0.0.1:1\"\ntransports = [\"udp\"]\n",
                "config_unreadable",
            ),
            (
                "listen = \"127.0.0.1:1\"\nelsewhere = \"no.port\"\n",
                "config_value",
            ),
            (
                "listen = \"127.0.0.1:1\"\nname = \"not a host\"\n",
                "config_value",
            ),
            (
                "listen = \"127.0.0.1:1\"\nengine = \"leveldb\"\n",
                "config_value",
            ),
            ("", "config_unreadable"),
            ("[", "config_unreadable"),
        ];
        for (text, code) in cases {
            assert_eq!(Configuration::parse(text).unwrap_err().code, code, "{text}");
        }
        let failure = Configuration::parse(cases[0].0).unwrap_err();
        assert!(failure.what.contains("line 2"), "{}", failure.what);
    }

    #[test]
    fn names_and_addresses_have_their_grammar() {
        let name = |text: &str| parse_name(text).map_err(|failure| failure.code);
        assert_eq!(name("a.example"), Ok(("a.example".to_owned(), None)));
        assert_eq!(name("a.example:7"), Ok(("a.example".to_owned(), Some(7))));
        assert_eq!(
            name("[2001:db8::1]:7"),
            Ok(("2001:db8::1".to_owned(), Some(7)))
        );
        assert_eq!(name("2001:db8::1"), Ok(("2001:db8::1".to_owned(), None)));
        for bad in ["", "a b", "a:b", "a:99999", "a:b:c", "ä.example"] {
            assert_eq!(name(bad), Err("name_invalid"), "{bad}");
        }
        for good in ["127.0.0.1", "127.0.0.1:0", "[::1]:5", "[::1]", ":99"] {
            assert!(parse_listen(good).is_ok(), "{good}");
        }
        for bad in ["", "localhost", "1.2.3.4:x", ":"] {
            assert_eq!(
                parse_listen(bad).unwrap_err().code,
                "listen_invalid",
                "{bad}"
            );
        }
    }
}
