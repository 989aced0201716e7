// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration file, `config.toml`: the same keys for all profiles and for one.
//!
//! ```toml
//! passphrase_command = ["pass", "show", "waxwing"]
//!
//! [profiles.work]
//! passphrase_command = ["pass", "show", "waxwing-work"]
//! transport = "tcp"
//! proxy = "socks5://127.0.0.1:9050"
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use waxwing_transport::race::TransportChoice;
use waxwing_transport::tcp::Proxy;

use crate::fault::{Code, Fault, Outcome};

/// What can be configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// A command whose first line of output is the passphrase; it is run without a shell.
    pub(crate) passphrase_command: Option<Vec<String>>,
    /// How servers are reached: `auto`, `quic` or `tcp`.
    #[serde(default, deserialize_with = "parsed")]
    pub(crate) transport: Option<TransportChoice>,
    /// Where everything goes through.
    #[serde(default, deserialize_with = "parsed")]
    pub(crate) proxy: Option<Proxy>,
    /// Whether every packet has the same length, which takes QUIC.
    pub(crate) constant_packets: Option<bool>,
}

/// Reads a value that is written as a string with a grammar of its own.
fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: core::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(de::Error::custom)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    passphrase_command: Option<Vec<String>>,
    #[serde(default, deserialize_with = "parsed")]
    transport: Option<TransportChoice>,
    #[serde(default, deserialize_with = "parsed")]
    proxy: Option<Proxy>,
    constant_packets: Option<bool>,
    #[serde(default)]
    profiles: BTreeMap<String, Settings>,
}

/// The settings of a profile. A file that does not exist has none.
pub(crate) fn read(folder: &Path, profile: &str) -> Outcome<Settings> {
    let path = folder.join("config.toml");
    let invalid = |cause: String| {
        Fault::new(Code::ConfigInvalid)
            .about(path.display().to_string())
            .because(cause)
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(invalid(error.to_string())),
    };
    let mut file: File =
        toml::from_str(&text).map_err(|error| invalid(error.message().to_owned()))?;
    let own = file.profiles.remove(profile).unwrap_or_default();
    Ok(Settings {
        passphrase_command: own.passphrase_command.or(file.passphrase_command),
        transport: own.transport.or(file.transport),
        proxy: own.proxy.or(file.proxy),
        constant_packets: own.constant_packets.or(file.constant_packets),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_goes_before_the_rest_and_unknown_keys_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), "default").unwrap(), Settings::default());
        let path = folder.path().join("config.toml");
        let text = "passphrase_command = ['a']\n[profiles.work]\npassphrase_command = ['b', 'c']\n";
        std::fs::write(&path, text).unwrap();
        let command = |profile| {
            read(folder.path(), profile)
                .unwrap()
                .passphrase_command
                .unwrap()
        };
        assert_eq!(command("default"), ["a"]);
        assert_eq!(command("work"), ["b", "c"]);
        let text = "constant_packets = true\n[profiles.work]\nconstant_packets = false\n";
        std::fs::write(&path, text).unwrap();
        let constant = |profile| read(folder.path(), profile).unwrap().constant_packets;
        assert_eq!(constant("default"), Some(true));
        assert_eq!(constant("work"), Some(false));
        let text = "proxy = 'socks5://127.0.0.1:9050'\n[profiles.work]\ntransport = 'tcp'\n";
        std::fs::write(&path, text).unwrap();
        let work = read(folder.path(), "work").unwrap();
        assert_eq!(work.transport, Some(TransportChoice::Tcp));
        assert_eq!(work.proxy.unwrap().port(), 9050);
        assert_eq!(read(folder.path(), "default").unwrap().transport, None);
        for wrong in ["transport = 'udp'", "proxy = 'http://127.0.0.1:1'"] {
            std::fs::write(&path, wrong).unwrap();
            let fault = read(folder.path(), "default").unwrap_err();
            assert_eq!(fault.code, Code::ConfigInvalid, "{wrong}");
        }
        std::fs::write(&path, "passphrase = 'secret'\n").unwrap();
        let fault = read(folder.path(), "default").unwrap_err();
        assert_eq!(fault.code, Code::ConfigInvalid);
        assert!(!fault.cause.unwrap().contains("secret"));
    }
}
