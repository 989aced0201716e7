// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How this profile reaches servers: over which transport, through which proxy.

use std::sync::Arc;
use std::time::Duration;

use waxwing_proto::limits;
use waxwing_transport::Dialer;
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::quic::{DialerSettings, QuicDialer};
use waxwing_transport::race::{Network, RaceDialer, TransportChoice};
use waxwing_transport::tcp::{Proxy, TcpDialer, TcpDialerSettings};

use crate::fault::{Code, Fault, Outcome};
use crate::platform;

/// The shortest attempt to connect that `--timeout` can ask for.
const CONNECT_MS_MIN: u32 = 250;

/// What was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Dialing {
    transport: TransportChoice,
    proxy: Option<Proxy>,
    constant_packets: bool,
    timeout: Option<Duration>,
}

impl Dialing {
    /// `asked` goes before `configured`. A proxy carries TCP alone, and nothing goes beside it: with
    /// one `auto` means TCP, and QUIC is refused. Packets of one length are there over QUIC alone: with
    /// them `auto` means QUIC, and TCP is refused.
    pub(crate) fn new(
        (asked, configured): (Option<TransportChoice>, Option<TransportChoice>),
        proxy: Option<Proxy>,
        constant_packets: bool,
        timeout: Option<Duration>,
    ) -> Outcome<Self> {
        let need_quic = |asked: String| Err(Fault::new(Code::ConstantPacketsNeedQuic).about(asked));
        let transport = match (asked.or(configured).unwrap_or_default(), &proxy) {
            (TransportChoice::Quic, Some(proxy)) => {
                return Err(Fault::new(Code::QuicThroughProxy).about(proxy.to_string()));
            }
            (_, Some(proxy)) if constant_packets => return need_quic(proxy.to_string()),
            (TransportChoice::Tcp, None) if constant_packets => return need_quic("tcp".to_owned()),
            (TransportChoice::Auto, None) if constant_packets => TransportChoice::Quic,
            (TransportChoice::Auto, Some(_)) => TransportChoice::Tcp,
            (choice, _) => choice,
        };
        Ok(Self {
            transport,
            proxy,
            constant_packets,
            timeout,
        })
    }

    /// The choice, as a background process is told it.
    pub(crate) const fn transport(&self) -> TransportChoice {
        self.transport
    }

    /// Makes the dialer of an engine's host.
    pub(super) fn dialer(&self) -> Box<dyn Dialer> {
        match self.transport {
            TransportChoice::Quic => Box::new(self.quic()),
            TransportChoice::Tcp => Box::new(self.tcp()),
            TransportChoice::Auto => Box::new(RaceDialer::new(
                Box::new(self.quic()),
                Box::new(self.tcp()),
                Arc::new(SystemClock::new()),
                Arc::new(|| {
                    let [ipv4, ipv6] = platform::own_addresses();
                    Network { ipv4, ipv6 }
                }),
            )),
        }
    }

    fn quic(&self) -> QuicDialer {
        QuicDialer::new(DialerSettings {
            connect_timeout_ms: self.connect_timeout_ms(),
            constant_packets: self.constant_packets,
            ..DialerSettings::default()
        })
    }

    fn tcp(&self) -> TcpDialer {
        let settings = TcpDialerSettings {
            connect_timeout_ms: self.connect_timeout_ms(),
            proxy: self.proxy.clone(),
            ..TcpDialerSettings::default()
        };
        TcpDialer::new(settings, Arc::new(SystemEntropy))
    }

    /// One attempt; the keeper of the connection makes others.
    fn connect_timeout_ms(&self) -> u32 {
        let most = limits::CONNECT_TIMEOUT_MS;
        self.timeout.map_or(most, |timeout| {
            let asked = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
            asked.clamp(CONNECT_MS_MIN, most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file_and_a_proxy_before_both() {
        let proxy: Proxy = "socks5://127.0.0.1:9050".parse().unwrap();
        let choose = |asked, configured, proxy| {
            Dialing::new((asked, configured), proxy, false, None)
                .map(|dialing| dialing.transport())
                .map_err(|fault| fault.code)
        };
        use TransportChoice::{Auto, Quic, Tcp};
        assert_eq!(choose(None, None, None), Ok(Auto));
        assert_eq!(choose(None, Some(Tcp), None), Ok(Tcp));
        assert_eq!(choose(Some(Quic), Some(Tcp), None), Ok(Quic));
        let proxied = |asked| choose(asked, None, Some(proxy.clone()));
        assert_eq!(proxied(None), Ok(Tcp));
        assert_eq!(proxied(Some(Tcp)), Ok(Tcp));
        assert_eq!(proxied(Some(Quic)), Err(Code::QuicThroughProxy));
    }

    #[test]
    fn packets_of_one_length_go_over_quic_or_not_at_all() {
        let proxy: Proxy = "socks5://127.0.0.1:9050".parse().unwrap();
        let choose = |asked, proxy| {
            Dialing::new((asked, None), proxy, true, None)
                .map(|dialing| dialing.transport())
                .map_err(|fault| fault.code)
        };
        use TransportChoice::{Auto, Quic, Tcp};
        for asked in [None, Some(Auto), Some(Quic)] {
            assert_eq!(choose(asked, None), Ok(Quic));
        }
        let refused = Err(Code::ConstantPacketsNeedQuic);
        assert_eq!(choose(Some(Tcp), None), refused);
        assert_eq!(choose(None, Some(proxy)), refused);
    }
}
