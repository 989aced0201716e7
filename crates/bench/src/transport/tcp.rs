// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `bench tcp`: the RPC layer over TLS over TCP against plain tokio-rustls with the same provider, key
//! exchange and raw key, the same frame sizes and acknowledgements, in the same run.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use waxwing_transport::tcp::bare;

use super::child::{Child, Kind};
use super::ours::{self, announce, any_port, identity};
use super::{
    CONNECTIONS, IDLE_CONNECTIONS, MESSAGE_SIZE, MESSAGES, Sample, UPLOAD_SIZE, UPLOADS,
    UPLOADS_AT_A_TIME, Work, allow_descriptors, cpu, measure, runtime, share, time,
};
use crate::pairs::{PAIRS, alternate};
use crate::report::Figure;

const AGAINST: &str = "plain tokio-rustls, same provider, sizes and pattern";
/// The size of the frame that the RPC layer makes of a message: its header, tags, lengths and a
/// position.
const FRAME_SIZE: usize = MESSAGE_SIZE + 16;
const ACKNOWLEDGEMENT_SIZE: usize = 8;
/// The first byte of a connection says what it is.
const SUBSCRIBE: u8 = 1;
const UPLOAD: u8 = 2;
/// An idle connection must not cost a server more, in KiB.
const IDLE_KIB_MAX: f64 = 12.0;
/// Connections of the heavy run.
const HEAVY: [u32; 2] = [5_000, 10_000];

/// Plain tokio-rustls: runs until its standard input ends.
pub(super) async fn serve(window: usize) -> Result<()> {
    let acceptor = TlsAcceptor::from(bare::server(&identity()?)?);
    let listener = TcpListener::bind(any_port()).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                if let Ok(stream) = acceptor.accept(stream).await {
                    // A client that goes away is no failure.
                    let _ = serve_connection(stream.into(), window).await;
                }
            });
        }
    });
    announce(port).await
}

async fn serve_connection(mut stream: TlsStream<TcpStream>, window: usize) -> Result<()> {
    let acknowledgement = [0; ACKNOWLEDGEMENT_SIZE];
    if stream.read_u8().await? == UPLOAD {
        let mut upload = vec![0; UPLOAD_SIZE];
        loop {
            stream.read_exact(&mut upload).await?;
            stream.write_all(&acknowledgement).await?;
            stream.flush().await?;
        }
    }
    // Of all connections: one that waits holds nothing.
    const FRAME: [u8; FRAME_SIZE] = [0xa5; FRAME_SIZE];
    let mut room = window;
    loop {
        for _ in 0..room {
            stream.write_all(&FRAME).await?;
        }
        stream.flush().await?;
        let mut acknowledgement = [0; ACKNOWLEDGEMENT_SIZE];
        stream.read_exact(&mut acknowledgement).await?;
        room = 1;
    }
}

struct Clients {
    runtime: Runtime,
    connections: Vec<TlsStream<TcpStream>>,
}

fn connect(port: u16, count: usize) -> Result<Clients> {
    let runtime = runtime()?;
    let connections = runtime.block_on(async {
        let connector = TlsConnector::from(bare::client(identity()?.key_pin())?);
        let mut connections = Vec::new();
        for _ in 0..count {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            let stream = connector.connect(bare::name()?, stream).await?;
            connections.push(stream.into());
        }
        anyhow::Ok(connections)
    })?;
    Ok(Clients {
        runtime,
        connections,
    })
}

fn stream(clients: Clients, messages: u32) -> Result<Work> {
    let each = share(messages, clients.connections.len())?;
    Ok(Box::new(move || {
        let Clients {
            runtime,
            connections,
        } = clients;
        let kept = runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for mut connection in connections {
                tasks.spawn(async move {
                    connection.write_u8(SUBSCRIBE).await?;
                    connection.flush().await?;
                    let mut frame = vec![0; FRAME_SIZE];
                    for _ in 0..each {
                        connection.read_exact(&mut frame).await?;
                        connection.write_all(&[0; ACKNOWLEDGEMENT_SIZE]).await?;
                        connection.flush().await?;
                    }
                    anyhow::Ok(connection)
                });
            }
            let mut kept = Vec::new();
            while let Some(done) = tasks.join_next().await {
                kept.push(done??);
            }
            anyhow::Ok(kept)
        })?;
        Ok(Box::new((kept, runtime)))
    }))
}

/// As many uploads are under way as there are lanes on the other side.
fn upload(clients: Clients, uploads: u32) -> Result<Work> {
    Ok(Box::new(move || {
        let Clients {
            runtime,
            mut connections,
        } = clients;
        let halves = runtime.block_on(async {
            let mut connection = connections.pop().context("no connection")?;
            connection.write_u8(UPLOAD).await?;
            let (reads, writes) = split(connection);
            let room = Arc::new(tokio::sync::Semaphore::new(UPLOADS_AT_A_TIME));
            let writing = tokio::spawn(write_uploads(writes, uploads, Arc::clone(&room)));
            let reads = read_answers(reads, uploads, &room).await?;
            anyhow::Ok((reads, writing.await??))
        })?;
        Ok(Box::new((halves, runtime)))
    }))
}

async fn write_uploads(
    mut writes: WriteHalf<TlsStream<TcpStream>>,
    uploads: u32,
    room: Arc<tokio::sync::Semaphore>,
) -> Result<WriteHalf<TlsStream<TcpStream>>> {
    let upload = vec![0xa5; UPLOAD_SIZE];
    for _ in 0..uploads {
        room.acquire().await?.forget();
        writes.write_all(&upload).await?;
        writes.flush().await?;
    }
    Ok(writes)
}

async fn read_answers(
    mut reads: ReadHalf<TlsStream<TcpStream>>,
    uploads: u32,
    room: &tokio::sync::Semaphore,
) -> Result<ReadHalf<TlsStream<TcpStream>>> {
    for _ in 0..uploads {
        reads.read_exact(&mut [0; ACKNOWLEDGEMENT_SIZE]).await?;
        room.add_permits(1);
    }
    Ok(reads)
}

/// Measures and compares.
///
/// # Errors
/// One of the programs failed.
pub(crate) fn run(is_heavy: bool) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (window, names) in STREAMS {
        figures.extend(streams(window, names)?);
    }
    let samples = pairs(1, |kind, port| match kind {
        Kind::OursTcp => ours::upload_of(ours::connect_tcp(port, 1)?, UPLOADS),
        _ => upload(connect(port, 1)?, UPLOADS),
    })?;
    figures.push(named(time("tcp.upload_1mb_time", &samples, UPLOADS)).with_bar(1.0 / 0.9));
    figures.push(idle_memory("tcp.idle_memory", IDLE_CONNECTIONS)?);
    if is_heavy {
        let names = ["tcp.idle_memory_5k", "tcp.idle_memory_10k"];
        for (name, count) in names.into_iter().zip(HEAVY) {
            figures.push(idle_memory(name, count)?);
        }
    }
    Ok(figures)
}

/// The figures of long-lived streams: the window of each, and their names.
pub(super) const STREAMS: [(usize, [&str; 2]); 2] = [
    (1, ["tcp.stream_w1_server_cpu", "tcp.stream_w1_time"]),
    (16, ["tcp.stream_w16_server_cpu", "tcp.stream_w16_time"]),
];

/// Our links over TCP against plain TLS.
pub(super) fn streams(
    window: usize,
    [cpu_name, time_name]: [&'static str; 2],
) -> Result<[Figure; 2]> {
    let samples = pairs(window, |kind, port| match kind {
        Kind::OursTcp => ours::stream_of(ours::connect_tcp(port, CONNECTIONS)?, MESSAGES),
        _ => stream(connect(port, CONNECTIONS)?, MESSAGES),
    })?;
    Ok([
        named(cpu(cpu_name, &samples, MESSAGES)).with_bar(1.15),
        named(time(time_name, &samples, MESSAGES)).with_bar(1.0 / 0.85),
    ])
}

/// Our links over QUIC against plain TLS over TCP: another transport, so there is no bar.
pub(super) fn quic_against_tls(
    window: usize,
    [cpu_name, time_name]: [&'static str; 2],
) -> Result<[Figure; 2]> {
    let sample = |kind| {
        measure(kind, window, |kind, port| match kind {
            Kind::Ours => ours::stream(port, CONNECTIONS, MESSAGES),
            _ => stream(connect(port, CONNECTIONS)?, MESSAGES),
        })
    };
    let samples = (0..PAIRS)
        .map(|_| Ok((sample(Kind::Ours)?, sample(Kind::BareTcp)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok([
        named(cpu(cpu_name, &samples, MESSAGES)),
        named(time(time_name, &samples, MESSAGES)),
    ])
}

/// The same figure, against the program of this file.
fn named(mut figure: Figure) -> Figure {
    figure.against = AGAINST;
    figure
}

fn pairs(window: usize, work: impl Fn(Kind, u16) -> Result<Work>) -> Result<Vec<(Sample, Sample)>> {
    let sample = |kind| measure(kind, window, &work);
    (0..PAIRS)
        .map(|_| Ok((sample(Kind::OursTcp)?, sample(Kind::BareTcp)?)))
        .collect()
}

/// What holds connections open that do nothing: ours are devices with a delivery stream.
fn hold(kind: Kind, port: u16, count: u32) -> Result<Box<dyn std::any::Any>> {
    let count = usize::try_from(count)?;
    if kind == Kind::OursTcp {
        return ours::wait_for_deliveries(ours::connect_tcp(port, count)?);
    }
    let mut clients = connect(port, count)?;
    clients.runtime.block_on(async {
        for connection in &mut clients.connections {
            connection.write_u8(SUBSCRIBE).await?;
            connection.flush().await?;
            connection.read_exact(&mut [0; FRAME_SIZE]).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(Box::new(clients))
}

/// Server memory for each idle connection. The window is one message, which stays unacknowledged.
fn idle_memory(name: &'static str, count: u32) -> Result<Figure> {
    allow_descriptors(count)?;
    let sample = |kind| -> Result<f64> {
        let server = Child::start(kind, 1)?;
        // What the first connections allocate for good is not counted.
        let warm = hold(kind, server.port(), 20)?;
        let before = server.resident_kib()?;
        let held = hold(kind, server.port(), count)?;
        let after = server.resident_kib()?;
        drop((warm, held));
        if after < before {
            bail!("the server's memory shrank: {before} to {after} KiB");
        }
        Ok((after - before) / f64::from(count))
    };
    let samples = alternate(|| sample(Kind::OursTcp), || sample(Kind::BareTcp))?;
    let mut figure = Figure::from_pairs(name, "KiB", AGAINST, samples).with_goal(8.6);
    figure.holds = Some(figure.value <= IDLE_KIB_MAX);
    Ok(figure)
}
