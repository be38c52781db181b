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
    requests: Vec<(Instant, String)>,
    rows: usize,
    bytes: usize,
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
                lock(&shared).connections += 1;
                tokio::spawn(connect(client, upstream, one_way, shared.clone()));
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

async fn connect(client: TcpStream, upstream: u16, one_way: Duration, counted: Arc<Mutex<Counted>>) {
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
            counted.bytes += bytes.len();
            requests.read(bytes, |line| counted.requests.push((Instant::now(), line)));
        })
    };
    let back = pump(from_service, to_client, one_way, move |bytes| {
        let mut counted = lock(&counted);
        counted.bytes += bytes.len();
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
    fn rows_are_counted_across_reads() {
        let mut rows = Rows::default();
        assert_eq!(rows.read(b"{\"value\":[{\"PartitionKey\":\"p\",\"Row"), 0);
        assert_eq!(rows.read(b"Key\":\"1\"},{\"RowKey\":\"2\"}]}"), 2);
    }
}
