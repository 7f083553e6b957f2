//! A transport over one TCP connection, with a writer thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Error, Result, Transport};

/// How often a connection attempt is repeated while the peer is not there yet (local).
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// One TCP connection. Nagle's algorithm is off: the protocols flush when they turn to reading.
///
/// Bytes handed over are queued without bound and written by a thread, so sending never waits for the peer. Dropping
/// the transport writes what is queued and then closes the sending half.
pub struct TcpTransport {
    peer: String,
    stream: TcpStream,
    queue: Option<Sender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    write_error: Arc<Mutex<Option<std::io::Error>>>,
    timeout: Duration,
}

impl TcpTransport {
    /// Connects to `address`, trying again until `timeout` has passed, for the peer may start later than we do.
    ///
    /// # Errors
    /// If the peer never listens, or the system refuses.
    pub fn connect(peer: &str, address: SocketAddr, timeout: Duration) -> Result<Self> {
        Self::new(peer, Self::dial(peer, address, timeout)?, timeout)
    }

    /// As [`Self::connect`], without a transport around the socket.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn dial(peer: &str, address: SocketAddr, timeout: Duration) -> Result<TcpStream> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(stream),
                Err(source) if start.elapsed() >= timeout => {
                    let what = format!(
                        "{peer} does not answer at {address} after {} s (is it running, and does it listen there?)",
                        timeout.as_secs()
                    );
                    return Err(Error::Io { what, source });
                }
                Err(_) => std::thread::sleep(RETRY_EVERY),
            }
        }
    }

    /// Waits for one connection until `timeout` has passed.
    ///
    /// # Errors
    /// If nobody connects in time, or the system refuses.
    pub fn accept(peer: &str, listener: &TcpListener, timeout: Duration) -> Result<Self> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| Error::Io { what, source }
        };
        listener.set_nonblocking(true).map_err(io("listening socket"))?;
        let start = Instant::now();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(io("accepted socket"))?;
                    return Self::new(peer, stream, timeout);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if start.elapsed() >= timeout {
                        return Err(Error::Timeout {
                            peer: format!("{peer} (waiting for it to connect)"),
                            waited: timeout,
                        });
                    }
                    std::thread::sleep(RETRY_EVERY.min(Duration::from_millis(2)));
                }
                Err(source) => return Err(Error::Io { what: format!("waiting for {peer} to connect"), source }),
            }
        }
    }

    /// Wraps a connected socket; `timeout` bounds every wait for the peer.
    ///
    /// # Errors
    /// If the system refuses the socket options or the writer thread.
    pub fn new(peer: &str, stream: TcpStream, timeout: Duration) -> Result<Self> {
        let io = |source| Error::Io { what: format!("socket to {peer}"), source };
        stream.set_nodelay(true).map_err(io)?;
        stream.set_read_timeout(Some(timeout)).map_err(io)?;
        stream.set_write_timeout(Some(timeout)).map_err(io)?;
        let out = stream.try_clone().map_err(io)?;
        let (queue, jobs) = channel();
        let write_error = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&write_error);
        let writer = std::thread::Builder::new()
            .name(format!("write-{peer}"))
            .spawn(move || write_all(out, &jobs, &slot))
            .map_err(io)?;
        Ok(Self { peer: peer.to_owned(), stream, queue: Some(queue), writer: Some(writer), write_error, timeout })
    }

    /// Bounds every further wait for the peer by `timeout`, in place of the limit that was set for connecting.
    ///
    /// # Errors
    /// If the system refuses the socket options.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<()> {
        let io = |source| Error::Io { what: format!("socket to {}", self.peer), source };
        self.stream.set_read_timeout(Some(timeout)).map_err(io)?;
        self.stream.set_write_timeout(Some(timeout)).map_err(io)?;
        self.timeout = timeout;
        Ok(())
    }

    /// The socket, to set and read its options.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn broken(&self) -> Error {
        match self.write_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(source) => Error::Io { what: format!("sending to {}", self.peer), source },
            None => Error::Closed { peer: self.peer.clone() },
        }
    }
}

/// Reads what a socket has, at least one byte, waiting for it no longer than the socket's timeout, which is `waited`.
///
/// # Errors
/// [`Error::Timeout`], [`Error::Closed`] if the peer has hung up, [`Error::Io`] for anything else.
pub fn read_some(mut socket: impl Read, buf: &mut [u8], peer: &str, waited: Duration) -> Result<usize> {
    let peer = || peer.to_owned();
    loop {
        let error = match socket.read(buf) {
            Ok(0) => return Err(Error::Closed { peer: peer() }),
            Ok(n) => return Ok(n),
            Err(e) => e,
        };
        return Err(match error.kind() {
            ErrorKind::Interrupted => continue,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout { peer: peer(), waited },
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Error::Closed { peer: peer() }
            }
            _ => Error::Io { what: format!("receiving from {}", peer()), source: error },
        });
    }
}

fn write_all(mut out: TcpStream, jobs: &Receiver<Vec<u8>>, slot: &Mutex<Option<std::io::Error>>) {
    for bytes in jobs {
        if let Err(e) = out.write_all(&bytes) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            return; // dropping the receiver makes every later send fail
        }
    }
    // The peer must see the end of the stream; that it is already gone is no error of ours.
    let _ = out.shutdown(Shutdown::Write);
}

impl Transport for TcpTransport {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        match &self.queue {
            Some(q) => q.send(bytes).map_err(|_| self.broken()),
            None => Err(self.broken()),
        }
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            filled += read_some(&mut self.stream, &mut buf[filled..], &self.peer, self.timeout)?;
        }
        Ok(())
    }

    fn peer(&self) -> &str {
        &self.peer
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(w) = self.writer.take() {
            let _ = w.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(timeout: Duration) -> (TcpTransport, TcpTransport) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || TcpTransport::connect("server", address, timeout).unwrap());
        let server = TcpTransport::accept("client", &listener, timeout).unwrap();
        (client.join().unwrap(), server)
    }

    #[test]
    fn both_may_send_much_at_once() {
        let (mut a, mut b) = pair(Duration::from_secs(20));
        let n = 32 << 20; // far above what socket buffers hold
        let run = |t: &mut TcpTransport, fill: u8, expect: u8| {
            t.send(vec![fill; n]).unwrap();
            let mut buf = vec![0; n];
            t.recv(&mut buf).unwrap();
            assert!(buf.iter().all(|&x| x == expect));
        };
        std::thread::scope(|s| {
            s.spawn(|| run(&mut a, 1, 2));
            run(&mut b, 2, 1);
        });
    }

    #[test]
    fn a_closed_peer_and_a_silent_peer_are_told_apart() {
        let (mut a, b) = pair(Duration::from_millis(50));
        assert!(matches!(a.recv(&mut [0]), Err(Error::Timeout { .. })));
        drop(b);
        assert!(matches!(a.recv(&mut [0]), Err(Error::Closed { .. })));
    }

    #[test]
    fn the_limit_for_waiting_can_be_changed() {
        let (mut a, _b) = pair(Duration::from_secs(60));
        a.set_timeout(Duration::from_millis(50)).unwrap();
        assert!(matches!(a.recv(&mut [0]), Err(Error::Timeout { waited, .. }) if waited.as_millis() == 50));
    }

    #[test]
    fn what_was_sent_before_closing_arrives() {
        let (mut a, mut b) = pair(Duration::from_secs(10));
        b.send(vec![7; 1 << 20]).unwrap();
        drop(b);
        let mut buf = vec![0; 1 << 20];
        a.recv(&mut buf).unwrap();
        assert_eq!(buf[buf.len() - 1], 7);
        assert!(matches!(a.recv(&mut [0]), Err(Error::Closed { .. })));
    }

    #[test]
    fn nobody_there_is_an_error_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let short = Duration::from_millis(60);
        assert!(matches!(TcpTransport::accept("client", &listener, short), Err(Error::Timeout { .. })));
        drop(listener);
        assert!(matches!(TcpTransport::connect("server", address, short), Err(Error::Io { .. })));
    }
}
