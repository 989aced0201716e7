// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Through a SOCKS5 proxy, and through nothing else.

use std::collections::BTreeSet;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UdpSocket};

use super::*;

/// What a proxy has seen.
#[derive(Default)]
struct Seen {
    /// User and password of each connection.
    users: Vec<(String, String)>,
    /// Where to, as the client wrote it.
    targets: Vec<(String, u16)>,
    /// The ports from which the proxy went on.
    from: BTreeSet<u16>,
}

/// How a proxy behaves.
#[derive(Clone, Copy)]
struct Manner {
    /// The authentication method that it chooses.
    method: u8,
    /// What it says to a request.
    reply: u8,
}

const HELPFUL: Manner = Manner {
    method: 2,
    reply: 0,
};

/// A proxy that takes every name for the loopback interface. What it does is written after RFC 1928
/// and RFC 1929, not after this crate.
async fn proxy(manner: Manner) -> (Proxy, Arc<Mutex<Seen>>) {
    let listener = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(carry(stream, manner, Arc::clone(&log)));
        }
    });
    (format!("socks5://{at}").parse().unwrap(), seen)
}

async fn carry(mut stream: TcpStream, manner: Manner, log: Arc<Mutex<Seen>>) {
    assert_eq!(stream.read_u8().await.unwrap(), 5);
    let mut methods = vec![0; usize::from(stream.read_u8().await.unwrap())];
    stream.read_exact(&mut methods).await.unwrap();
    stream.write_all(&[5, manner.method]).await.unwrap();
    if manner.method == 2 {
        assert!(methods.contains(&2));
        assert_eq!(stream.read_u8().await.unwrap(), 1);
        let user = text(&mut stream).await;
        let password = text(&mut stream).await;
        log.lock().unwrap().users.push((user, password));
        stream.write_all(&[1, 0]).await.unwrap();
    } else if manner.method != 0 {
        return;
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..3], [5, 1, 0]);
    let target = match request[3] {
        1 => Ipv4Addr::from_bits(stream.read_u32().await.unwrap()).to_string(),
        3 => text(&mut stream).await,
        kind => panic!("address kind {kind}"),
    };
    let port = stream.read_u16().await.unwrap();
    log.lock().unwrap().targets.push((target, port));
    if manner.reply != 0 {
        let refusal = [5, manner.reply, 0, 1, 0, 0, 0, 0, 0, 0];
        return stream.write_all(&refusal).await.unwrap();
    }
    let mut onward = TcpStream::connect(loopback(port)).await.unwrap();
    let from = onward.local_addr().unwrap().port();
    log.lock().unwrap().from.insert(from);
    // Some proxies say where they are by a name.
    stream
        .write_all(&[5, 0, 0, 3, 2, b'm', b'e', 0, 0])
        .await
        .unwrap();
    let _ = copy_bidirectional(&mut stream, &mut onward).await;
}

async fn text(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; usize::from(stream.read_u8().await.unwrap())];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// TRN-50, TRN-51.
#[tokio::test]
async fn everything_goes_through_the_proxy_and_anonymous_links_are_kept_apart() {
    let listener = listener();
    let port = listener.local_address().unwrap().port();
    // Whoever sent a datagram to the server would be seen here.
    let datagrams = UdpSocket::bind(loopback(port)).await.unwrap();
    let (at, seen) = proxy(HELPFUL).await;
    let dialer = dialer(Some(at));
    let address = ServerAddress {
        // No resolver knows this name (RFC 6761): only the proxy can.
        host: "relay.test".parse().unwrap(),
        ..own_address(&listener)
    };
    let mut kept = Vec::new();
    for plane in [
        Plane::Account,
        Plane::Anonymous,
        Plane::Anonymous,
        Plane::Account,
    ] {
        let (ours, theirs) = tokio::join!(dialer.dial(&address, plane), listener.accept());
        let theirs = theirs.unwrap();
        let from = theirs.remote_address().port();
        tokio::spawn(serve(theirs));
        let connection = Connection::establish(ours.unwrap(), clock()).await.unwrap();
        assert!(connection.call(status(), 0).await.is_ok());
        assert!(
            seen.lock().unwrap().from.contains(&from),
            "a direct connection"
        );
        kept.push(connection);
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.from.len(), 4);
    assert_eq!(seen.targets, vec![("relay.test".to_owned(), port); 4]);
    let users: BTreeSet<_> = seen.users.iter().collect();
    assert_eq!(users.len(), 3, "one for the account, one for each other");
    assert_eq!(seen.users[0], seen.users[3]);
    assert_eq!(
        datagrams.try_recv(&mut [0; 10]).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[tokio::test]
async fn a_proxy_without_users_will_do() {
    let listener = listener();
    let manner = Manner {
        method: 0,
        reply: 0,
    };
    let dialer = dialer(Some(proxy(manner).await.0));
    let address = own_address(&listener);
    let (ours, theirs) = tokio::join!(dialer.dial(&address, Plane::Account), listener.accept());
    assert!(ours.is_ok() && theirs.is_some());
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_and_nothing_goes_beside_it() {
    let listener = listener();
    let address = own_address(&listener);
    for (manner, expected) in [
        (
            Manner {
                method: 0xff,
                reply: 0,
            },
            LinkError::ProxyRefused,
        ),
        (
            Manner {
                method: 2,
                reply: 1,
            },
            LinkError::ProxyRefused,
        ),
        (
            Manner {
                method: 2,
                reply: 2,
            },
            LinkError::ProxyRefused,
        ),
        (
            Manner {
                method: 2,
                reply: 4,
            },
            LinkError::NameNotResolved,
        ),
        (
            Manner {
                method: 2,
                reply: 5,
            },
            LinkError::Refused,
        ),
        (
            Manner {
                method: 2,
                reply: 6,
            },
            LinkError::TimedOut,
        ),
    ] {
        let dialer = dialer(Some(proxy(manner).await.0));
        let refused = dialer.dial(&address, Plane::Account).await;
        assert_eq!(refused.unwrap_err(), expected);
    }
    let nobody = format!("socks5://127.0.0.1:{}", {
        let gone = std::net::TcpListener::bind(loopback(0)).unwrap();
        gone.local_addr().unwrap().port()
    });
    let dialer = dialer(Some(nobody.parse().unwrap()));
    let refused = dialer.dial(&address, Plane::Account).await;
    assert_eq!(refused.unwrap_err(), LinkError::ProxyUnreachable);
    assert_eq!(listener.connections(), 0);
}
