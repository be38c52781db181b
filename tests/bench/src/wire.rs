//! A proxy below HTTP: passes bytes on, can make every way last longer, and counts what passes.

use crate::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A counting, delaying proxy. Dropping it ends it.
pub struct Wire {
    port: u16,
    counted: Arc<Mutex<Counted>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Counted {
    connections: usize,
    trips: Vec<Trip>,
    requests: Vec<(Instant, String)>,
    rows: usize,
    bytes: usize,
}

/// A way there and back on one connection: to open it, or from the first byte that the client sends to the last one that
/// comes back before it sends more.
struct Trip {
    connection: usize,
    began: Instant,
    /// When the client has the answer; `None` while there is none.
    ended: Option<Instant>,
}

impl Counted {
    /// The connection's last trip.
    fn last(&mut self, connection: usize) -> Option<&mut Trip> {
        self.trips.iter_mut().rev().find(|trip| trip.connection == connection)
    }

    fn sent(&mut self, connection: usize, bytes: usize) {
        self.bytes += bytes;
        if self.last(connection).is_none_or(|trip| trip.ended.is_some()) {
            self.trips.push(Trip { connection, began: Instant::now(), ended: None });
        }
    }

    fn answered(&mut self, connection: usize, bytes: usize, one_way: Duration) {
        self.bytes += bytes;
        if let Some(trip) = self.last(connection) {
            trip.ended = Some(Instant::now() + one_way);
        }
    }
}

impl Wire {
    /// Starts a proxy in front of a port of this machine; every byte takes `one_way` longer.
    pub async fn start(upstream: u16, one_way: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let counted = Arc::new(Mutex::new(Counted::default()));
        let shared = counted.clone();
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let began = Instant::now();
                let mut counted = lock(&shared);
                counted.connections += 1;
                let connection = counted.connections;
                counted.trips.push(Trip { connection, began, ended: Some(began + 2 * one_way) });
                tokio::spawn(connect(client, connection, upstream, one_way, shared.clone()));
            }
        });
        Ok(Self { port, counted, server })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections since the start or the last [`forget`](Self::forget).
    pub fn connections(&self) -> usize {
        lock(&self.counted).connections
    }

    /// Requests: method and path, and when each began.
    pub fn requests(&self) -> Vec<(Instant, String)> {
        lock(&self.counted).requests.clone()
    }

    /// The trips that have ended: from when to when each was under way.
    pub fn trips(&self) -> Vec<(Instant, Instant)> {
        lock(&self.counted).trips.iter().filter_map(|trip| Some((trip.began, trip.ended?))).collect()
    }

    /// Table rows in answers.
    pub fn rows(&self) -> usize {
        lock(&self.counted).rows
    }

    /// Bytes both ways, headers included.
    pub fn bytes(&self) -> usize {
        lock(&self.counted).bytes
    }

    /// Begins counting anew.
    pub fn forget(&self) {
        *lock(&self.counted) = Counted::default();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(counted: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many of these trips were made one after the other: the most of which no two were under way at the same time.
pub fn sequential(mut trips: Vec<(Instant, Instant)>) -> usize {
    trips.sort_by_key(|(_, ended)| *ended);
    let (mut count, mut last) = (0, None);
    for (began, ended) in trips {
        if last.is_none_or(|last| began >= last) {
            (count, last) = (count + 1, Some(ended));
        }
    }
    count
}

async fn connect(client: TcpStream, connection: usize, upstream: u16, one_way: Duration, counted: Arc<Mutex<Counted>>) {
    // The way to open a connection and back.
    if !one_way.is_zero() {
        tokio::time::sleep(2 * one_way).await;
    }
    let Ok(service) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    let _ = (client.set_nodelay(true), service.set_nodelay(true));
    let ((from_client, to_client), (from_service, to_service)) = (client.into_split(), service.into_split());
    let mut requests = Lines::default();
    let mut rows = Rows::default();
    let there = {
        let counted = counted.clone();
        pump(from_client, to_service, one_way, move |bytes| {
            let mut counted = lock(&counted);
            counted.sent(connection, bytes.len());
            requests.read(bytes, |line| counted.requests.push((Instant::now(), line)));
        })
    };
    let back = pump(from_service, to_client, one_way, move |bytes| {
        let mut counted = lock(&counted);
        counted.answered(connection, bytes.len(), one_way);
        counted.rows += rows.read(bytes);
    });
    tokio::join!(there, back);
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, one_way: Duration, mut see: impl FnMut(&[u8])) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            see(&buffer[..count]);
            if sender.send((Instant::now() + one_way, buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            if !one_way.is_zero() {
                tokio::time::sleep_until(due.into()).await;
            }
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// Finds the lines that begin a request. Those within a batch name a whole address, not a path.
#[derive(Default)]
struct Lines(Vec<u8>);

/// How many bytes of a line are kept: no request line is longer than half of it.
const LONGEST: usize = 16 * 1024;

impl Lines {
    fn read(&mut self, bytes: &[u8], mut found: impl FnMut(String)) {
        for byte in bytes {
            if *byte != b'\n' {
                // A body's last line has no end: what counts is what follows it.
                if self.0.len() == LONGEST {
                    self.0.drain(..LONGEST / 2);
                }
                self.0.push(*byte);
                continue;
            }
            let line = self.0.strip_suffix(b" HTTP/1.1\r").and_then(|line| std::str::from_utf8(line).ok());
            if let Some((method, target)) = line.and_then(|line| line.rsplit_once(' '))
                && let Some(path) = target.split('?').next().filter(|path| path.starts_with('/'))
            {
                let method = method.rsplit(|c: char| !c.is_ascii_uppercase()).next().unwrap_or_default();
                found(format!("{method} {path}"));
            }
            self.0.clear();
        }
    }
}

/// Counts a column that every row has once.
#[derive(Default)]
struct Rows(usize);

impl Rows {
    fn read(&mut self, bytes: &[u8]) -> usize {
        const COLUMN: &[u8] = b"\"RowKey\":";
        let mut found = 0;
        for byte in bytes {
            self.0 = if *byte == COLUMN[self.0] { self.0 + 1 } else { usize::from(*byte == COLUMN[0]) };
            if self.0 == COLUMN.len() {
                (self.0, found) = (0, found + 1);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_bodies_and_from_the_parts_of_a_batch() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for bytes in [
            &b"POST /account/Leads?x=1 HT"[..],
            b"TP/1.1\r\ncontent-length: 11\r\n\r\n{\"a\":\"b c\"}GET /account/Leads() HTTP/1.1\r\n\r\n",
            b"POST /account/$batch HTTP/1.1\r\n\r\nPUT http://127.0.0.1/account/Leads() HTTP/1.1\r\n",
        ] {
            lines.read(bytes, |line| found.push(line));
        }
        assert_eq!(found, ["POST /account/Leads", "GET /account/Leads()", "POST /account/$batch"]);
    }

    #[test]
    fn trips_at_the_same_time_count_once() {
        let start = Instant::now();
        let trip = |from: u64, to: u64| (start + Duration::from_millis(from), start + Duration::from_millis(to));
        let one = [trip(0, 20), trip(21, 41), trip(42, 64)];
        let other = [trip(1, 21), trip(22, 42), trip(43, 63), trip(66, 86)];
        assert_eq!((sequential(one.to_vec()), sequential(other.to_vec())), (3, 4));
        assert_eq!((sequential([&one[..], &other].concat()), sequential(Vec::new())), (4, 0));
    }

    #[tokio::test]
    async fn a_connection_has_a_trip_for_its_opening_and_one_for_each_exchange() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Wire::start(service.local_addr().unwrap().port(), Duration::ZERO).await.unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", wire.port())).await.unwrap();
        let (mut service, _) = service.accept().await.unwrap();
        for _ in 0..2 {
            // Both halves of a question belong to one trip, and so do those of an answer.
            for _ in 0..2 {
                client.write_all(b"half").await.unwrap();
                service.read_exact(&mut [0; 4]).await.unwrap();
            }
            for _ in 0..2 {
                service.write_all(b"half").await.unwrap();
                client.read_exact(&mut [0; 4]).await.unwrap();
            }
        }
        assert_eq!((wire.connections(), wire.trips().len(), wire.bytes()), (1, 3, 32));
    }

    #[test]
    fn rows_are_counted_across_reads() {
        let mut rows = Rows::default();
        assert_eq!(rows.read(b"{\"value\":[{\"PartitionKey\":\"p\",\"Row"), 0);
        assert_eq!(rows.read(b"Key\":\"1\"},{\"RowKey\":\"2\"}]}"), 2);
    }
}
