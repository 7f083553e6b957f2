//! A transport over TLS: as `si_wire::TcpTransport`, with the bytes encrypted on their way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::Connection;
use si_wire::{Error, Result, Transport, read_some};

/// What one read takes from the socket at most (local).
const READ_BYTES: usize = 64 << 10;

/// One connection. A thread encrypts and writes, so sending never waits for the peer; it alone writes to the socket, so
/// records leave in the order in which they were sealed.
pub(crate) struct TlsTransport {
    peer: String,
    stream: TcpStream,
    tls: Arc<Mutex<Connection>>,
    /// Bytes to be sent; empty ones have the thread send what TLS itself has to say.
    queue: Option<Sender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    write_error: Arc<Mutex<Option<std::io::Error>>>,
    timeout: Duration,
    raw: Vec<u8>,
    /// What was decrypted and not yet asked for, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
}

impl TlsTransport {
    /// Takes over a connection after its handshake; `timeout` bounds every wait for the peer.
    pub(super) fn new(peer: &str, tls: Connection, stream: TcpStream, timeout: Duration) -> Result<Self> {
        let io = |source| Error::Io { what: format!("socket to {peer}"), source };
        stream.set_nodelay(true).map_err(io)?;
        let out = stream.try_clone().map_err(io)?;
        let (queue, jobs) = channel();
        let (tls, write_error) = (Arc::new(Mutex::new(tls)), Arc::new(Mutex::new(None)));
        let (sealing, slot) = (Arc::clone(&tls), Arc::clone(&write_error));
        let writer = std::thread::Builder::new()
            .name(format!("write-{peer}"))
            .spawn(move || write_all(out, &sealing, &jobs, &slot))
            .map_err(io)?;
        let mut new = Self {
            peer: peer.to_owned(),
            stream,
            tls,
            queue: Some(queue),
            writer: Some(writer),
            write_error,
            timeout,
            raw: vec![0; READ_BYTES],
            plain: Vec::new(),
            taken: 0,
        };
        new.set_timeout(timeout)?;
        // Bytes that came with the end of the handshake.
        new.open(0)?;
        Ok(new)
    }

    /// As `TcpTransport::set_timeout`.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) -> Result<()> {
        let io = |source| Error::Io { what: format!("socket to {}", self.peer), source };
        self.stream.set_read_timeout(Some(timeout)).map_err(io)?;
        self.stream.set_write_timeout(Some(timeout)).map_err(io)?;
        self.timeout = timeout;
        Ok(())
    }

    /// The socket, to read its options.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Decrypts the first `n` bytes of `raw`.
    fn open(&mut self, n: usize) -> Result<()> {
        let malformed = |why: String| Error::Malformed { peer: self.peer.clone(), what: "TLS record", why };
        let mut tls = lock(&self.tls);
        let mut rest = &self.raw[..n];
        loop {
            if !rest.is_empty() {
                tls.read_tls(&mut rest).map_err(|e| malformed(e.to_string()))?;
            }
            let state = tls.process_new_packets().map_err(|e| malformed(e.to_string()))?;
            let start = self.plain.len();
            self.plain.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut self.plain[start..]).map_err(|e| malformed(e.to_string()))?;
            if rest.is_empty() {
                break;
            }
        }
        if tls.wants_write() {
            let _ = self.queue.as_ref().map(|q| q.send(Vec::new())); // its failure is seen by the next send
        }
        Ok(())
    }

    fn broken(&self) -> Error {
        match lock(&self.write_error).take() {
            Some(source) => Error::Io { what: format!("sending to {}", self.peer), source },
            None => Error::Closed { peer: self.peer.clone() },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_all(
    mut out: TcpStream,
    tls: &Mutex<Connection>,
    jobs: &Receiver<Vec<u8>>,
    slot: &Mutex<Option<std::io::Error>>,
) {
    let mut sealed = Vec::new();
    let mut send = |seal: &mut dyn FnMut(&mut Connection) -> std::io::Result<usize>| {
        sealed.clear();
        let taken = {
            let mut tls = lock(tls);
            let taken = seal(&mut tls)?;
            while tls.wants_write() {
                tls.write_tls(&mut sealed)?;
            }
            taken
        };
        out.write_all(&sealed).map(|()| taken)
    };
    for bytes in jobs {
        let mut rest = &bytes[..];
        loop {
            let sent = send(&mut |tls| tls.writer().write(rest));
            match sent {
                Ok(taken) => rest = &rest[taken..],
                Err(e) => {
                    *lock(slot) = Some(e);
                    return; // dropping the receiver makes every later send fail
                }
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    // The peer must see that the end is meant; that it is already gone is no error of ours.
    let _ = send(&mut |tls| {
        tls.send_close_notify();
        Ok(0)
    });
    let _ = out.shutdown(Shutdown::Write);
}

impl Transport for TlsTransport {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        match &self.queue {
            Some(q) => q.send(bytes).map_err(|_| self.broken()),
            None => Err(self.broken()),
        }
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        loop {
            let n = (self.plain.len() - self.taken).min(buf.len() - filled);
            buf[filled..filled + n].copy_from_slice(&self.plain[self.taken..self.taken + n]);
            (self.taken, filled) = (self.taken + n, filled + n);
            if self.taken == self.plain.len() {
                self.plain.clear();
                self.taken = 0;
            }
            if filled == buf.len() {
                return Ok(());
            }
            let n = read_some(&self.stream, &mut self.raw, &self.peer, self.timeout)?;
            self.open(n)?;
        }
    }

    fn peer(&self) -> &str {
        &self.peer
    }
}

impl Drop for TlsTransport {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(w) = self.writer.take() {
            let _ = w.join();
        }
    }
}
