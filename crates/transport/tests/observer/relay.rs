// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who stands between: passes everything on and keeps a copy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A datagram, or what one read of a TCP connection gave.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// Who the client is, in the order of their first words over this relay.
    pub(crate) client: usize,
    pub(crate) is_to_server: bool,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Record = Arc<Mutex<Vec<Recorded>>>;

fn keep(record: &Record, client: usize, is_to_server: bool, bytes: &[u8]) {
    let bytes = bytes.to_vec();
    record.lock().unwrap().push(Recorded {
        client,
        is_to_server,
        bytes,
    });
}

/// Passes datagrams on to `server`; gives where it is, and what it records.
pub(crate) async fn udp(server: SocketAddr) -> (SocketAddr, Record) {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let at = front.local_addr().unwrap();
    let record = Record::default();
    let kept = Arc::clone(&record);
    tokio::spawn(async move {
        let mut clients: HashMap<SocketAddr, (usize, Arc<UdpSocket>)> = HashMap::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let (size, from) = front.recv_from(&mut buffer).await.unwrap();
            if !clients.contains_key(&from) {
                let number = clients.len();
                let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                back.connect(server).await.unwrap();
                clients.insert(from, (number, Arc::clone(&back)));
                let (front, kept) = (Arc::clone(&front), Arc::clone(&kept));
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    while let Ok(size) = back.recv(&mut buffer).await {
                        keep(&kept, number, false, &buffer[..size]);
                        // A client that is gone takes nothing.
                        let _ = front.send_to(&buffer[..size], from).await;
                    }
                });
            }
            let (number, back) = &clients[&from];
            keep(&kept, *number, true, &buffer[..size]);
            let _ = back.send(&buffer[..size]).await;
        }
    });
    (at, record)
}

/// The same for connections over TCP.
pub(crate) async fn tcp(server: SocketAddr) -> (SocketAddr, Record) {
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = front.local_addr().unwrap();
    let record = Record::default();
    let kept = Arc::clone(&record);
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((client, _)) = front.accept().await {
            let server = TcpStream::connect(server).await.unwrap();
            let ((up, down), (from_server, to_server)) = (client.into_split(), server.into_split());
            for (mut read, mut write, is_to_server) in
                [(up, to_server, true), (from_server, down, false)]
            {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    while let Ok(size @ 1..) = read.read(&mut buffer).await {
                        keep(&kept, number, is_to_server, &buffer[..size]);
                        if write.write_all(&buffer[..size]).await.is_err() {
                            return;
                        }
                    }
                });
            }
            number += 1;
        }
    });
    (at, record)
}
