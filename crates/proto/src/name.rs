// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Account names, hosts and addresses (`alice@example.org`).

use core::fmt;
use core::str::FromStr;

use crate::{WireError, limits};

/// An account's name on its server: `[a-z0-9][a-z0-9._-]{1,31}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        // IDN-32.
        let error = WireError::Syntax { field: "name" };
        let (first, rest) = text.as_bytes().split_first().ok_or(error)?;
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = |byte: &u8| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-');
        let length = text.len();
        if (limits::NAME_LENGTH_MIN..=limits::NAME_LENGTH_MAX).contains(&length)
            && alphanumeric(first)
            && rest.iter().all(inner)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(error)
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name or IP address of a server, lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

impl Host {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':')
        };
        if !text.is_empty() && text.len() <= limits::HOST_LENGTH_MAX && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WireError::Syntax { field: "host" })
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `name@host`: how people write an account down. It identifies nobody by itself; the account key does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The name on the server.
    pub name: AccountName,
    /// The server's host name.
    pub host: Host,
}

impl FromStr for Address {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let (name, host) = text
            .split_once('@')
            .ok_or(WireError::Syntax { field: "address" })?;
        Ok(Self {
            name: name.parse()?,
            host: host.parse()?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [IDN-32].
    #[test]
    fn names_follow_their_grammar() {
        for good in ["al", "0x", "alice", "a.b_c-d", &"a".repeat(32)] {
            assert!(good.parse::<AccountName>().is_ok(), "{good}");
        }
        for bad in ["", "a", ".ab", "Alice", "al ice", "älice", &"a".repeat(33)] {
            assert!(bad.parse::<AccountName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_round_trip() {
        let address: Address = "alice@home.example".parse().unwrap();
        assert_eq!(address.to_string(), "alice@home.example");
        assert!("alice".parse::<Address>().is_err());
        assert!("alice@a@b".parse::<Address>().is_err());
    }
}
