//! How the connections between two parties come about: who may, in which order, and until when.
//!
//! A connection counts only after it was opened: by TLS where strangers could reach us, and by a greeting that says which of
//! the party's connections it is. Whoever fails at either is turned away, and the party goes on waiting for its peer.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use si_wire::{Error as WireError, TcpTransport, Transport};

use crate::secure::{Keys, TlsTransport, needs_no_keys};

/// First bytes of every connection (agreement): a stranger is told apart from a party.
const MAGIC: [u8; 8] = *b"si-run/1";

/// The greeting: [`MAGIC`] and the connection's number.
const GREETING_BYTES: usize = MAGIC.len() + 4;

/// How long a connection may take until it is opened (local): a stranger that says nothing is turned away then.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Connections that may be about to be opened at once (local): more are strangers, and wait their turn.
const OPENING_AT_ONCE: usize = 16;

/// How often is looked for new connections (local).
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A connection to the peer.
pub(crate) enum Connection {
    /// As it is: within one machine, or between namespaces that nobody else is in.
    Plain(TcpTransport),
    /// Authenticated and encrypted.
    Tls(TlsTransport),
}

impl Connection {
    /// Bounds every wait for the peer.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) -> si_wire::Result<()> {
        match self {
            Self::Plain(t) => t.set_timeout(timeout),
            Self::Tls(t) => t.set_timeout(timeout),
        }
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(t) => t.stream(),
            Self::Tls(t) => t.stream(),
        }
    }

    /// For a channel.
    pub(crate) fn boxed(self) -> Box<dyn Transport> {
        match self {
            Self::Plain(t) => Box::new(t),
            Self::Tls(t) => Box::new(t),
        }
    }

    fn transport(&mut self) -> &mut dyn Transport {
        match self {
            Self::Plain(t) => t,
            Self::Tls(t) => t,
        }
    }
}

/// Refuses to be without keys where strangers are.
///
/// # Errors
/// If the address is not this machine's own and there are no keys.
pub(crate) fn ensure_private(address: &SocketAddr, keys: Option<&Keys>) -> Result<()> {
    ensure!(
        keys.is_some() || needs_no_keys(address),
        "{address} is not within this machine: a party needs --key and --peer there, which `bench keygen` makes, so that it \
         serves no strangers and nobody listens"
    );
    Ok(())
}

/// The client's side of one connection, the server's number `index`.
///
/// # Errors
/// If the server does not answer in time, is another, or takes the connection for another.
pub(crate) fn connect(address: SocketAddr, index: u32, keys: Option<&Keys>, timeout: Duration) -> Result<Connection> {
    let mut connection = match keys {
        None => Connection::Plain(TcpTransport::connect("server", address, timeout)?),
        Some(keys) => {
            let refused = || {
                format!("{address} is not the server whose certificate was given with --peer, or it does not know ours")
            };
            Connection::Tls(keys.connect("server", dial(address, timeout)?, timeout).with_context(refused)?)
        }
    };
    connection.set_timeout(timeout)?;
    let mine = greeting(index);
    let transport = connection.transport();
    let mut theirs = [0; GREETING_BYTES];
    let said = transport.send(mine.to_vec()).and_then(|()| transport.recv(&mut theirs));
    match said {
        // With TLS 1.3 the server judges our certificate after we have judged its own.
        Err(WireError::Closed { .. } | WireError::Malformed { .. }) if keys.is_some() => {
            bail!("the server at {address} turned us away: does it have our certificate, as its --peer?")
        }
        other => other?,
    }
    let their_index = read_greeting("server", &theirs)?;
    ensure!(
        their_index == index,
        "the server takes connection {index} for its connection {their_index}: start both parties from the same job file"
    );
    Ok(connection)
}

/// A connection to an address at which somebody may listen only later, as `TcpTransport::connect`.
fn dial(address: SocketAddr, timeout: Duration) -> Result<TcpStream> {
    TcpTransport::dial("server", address, timeout).map_err(Into::into)
}

/// All `count` connections of the client, in order. Strangers are turned away and named on standard error.
///
/// # Errors
/// If the client does not come in time, or opens other connections than these.
pub(crate) fn accept(
    listener: &TcpListener,
    count: u32,
    keys: Option<&Keys>,
    timeout: Duration,
) -> Result<Vec<Connection>> {
    listener.set_nonblocking(true).context("listening socket")?;
    let until = Instant::now() + timeout;
    let (tell, opened) = channel();
    let mut opening = 0;
    let mut found: BTreeMap<u32, Connection> = BTreeMap::new();
    while found.len() < count as usize {
        if opening < OPENING_AT_ONCE
            && let Some((stream, from)) = next(listener)?
        {
            let (tell, keys) = (tell.clone(), keys.cloned());
            // In a thread of its own: a silent stranger holds up nobody.
            std::thread::spawn(move || {
                let _ = tell.send((from, open(stream, keys.as_ref()))); // nobody waits for it any more
            });
            opening += 1;
            continue;
        }
        opening -= admit(&opened, count, &mut found)?;
        if Instant::now() >= until {
            return Err(
                WireError::Timeout { peer: "client (waiting for it to connect)".into(), waited: timeout }.into()
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(found.into_values().collect())
}

/// A connection as opened, with the number that the greeting gives it.
type Opened = (SocketAddr, Result<(u32, Connection)>);

/// Takes in those that were opened, answers them, and turns the others away. Returns how many there were.
fn admit(opened: &Receiver<Opened>, count: u32, found: &mut BTreeMap<u32, Connection>) -> Result<usize> {
    let mut seen = 0;
    while let Ok((from, result)) = opened.try_recv() {
        seen += 1;
        match result {
            Err(why) => eprintln!("turned away {from}: {}", format!("{why:#}").replace('\n', " ")),
            Ok((index, mut connection)) => {
                ensure!(
                    index < count && !found.contains_key(&index),
                    "the client opens connection {index} where connections 0 to {} are expected, once each: start both \
                     parties from the same job file",
                    count - 1
                );
                connection.transport().send(greeting(index).to_vec())?;
                found.insert(index, connection);
            }
        }
    }
    Ok(seen)
}

fn next(listener: &TcpListener) -> Result<Option<(TcpStream, SocketAddr)>> {
    match listener.accept() {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        // Gone before it was accepted, or no descriptors left for the moment: the next may do.
        Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e).context("waiting for the client to connect"),
    }
}

/// Opens a connection that somebody made to us, up to the greeting.
fn open(stream: TcpStream, keys: Option<&Keys>) -> Result<(u32, Connection)> {
    stream.set_nonblocking(false).context("accepted socket")?;
    let mut connection = match keys {
        None => Connection::Plain(TcpTransport::new("client", stream, OPEN_WITHIN)?),
        Some(keys) => Connection::Tls(keys.accept("client", stream, OPEN_WITHIN)?),
    };
    connection.set_timeout(OPEN_WITHIN)?;
    let mut theirs = [0; GREETING_BYTES];
    connection.transport().recv(&mut theirs)?;
    Ok((read_greeting("client", &theirs)?, connection))
}

fn greeting(index: u32) -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    bytes[MAGIC.len()..].copy_from_slice(&index.to_le_bytes());
    bytes
}

fn read_greeting(peer: &str, bytes: &[u8; GREETING_BYTES]) -> Result<u32> {
    let (magic, index) = bytes.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(anyhow!(
            "whoever is there as the {peer} does not speak this program's protocol (it began with {:?}): is the address \
             right, and the build the same?",
            String::from_utf8_lossy(magic)
        ));
    }
    Ok(u32::from_le_bytes([index[0], index[1], index[2], index[3]]))
}
