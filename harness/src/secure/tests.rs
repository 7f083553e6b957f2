use std::net::TcpListener;

use si_wire::{Error as WireError, Transport};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

fn keys(dir: &Path, own: &str, peer: &str) -> Keys {
    Keys::load(&dir.join(format!("{own}.key")), &dir.join(format!("{peer}.crt"))).unwrap()
}

fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    names.iter().for_each(|n| drop(keygen(&dir.path().join(n)).unwrap()));
    dir
}

/// Both ends of one attempt.
fn meet(client: Keys, server: Keys) -> (Result<TlsTransport>, Result<TlsTransport>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || server.accept("client", listener.accept().unwrap().0, TIMEOUT));
    let asked = client.connect("server", TcpStream::connect(address).unwrap(), TIMEOUT);
    (asked, served.join().unwrap())
}

#[test]
fn two_that_know_each_other_may_both_send_much_at_once() {
    let dir = folder(&["a", "b"]);
    let (mut a, mut b) = match meet(keys(dir.path(), "a", "b"), keys(dir.path(), "b", "a")) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => panic!("{:?} {:?}", a.err(), b.err()),
    };
    let n = 8 << 20; // far above what socket buffers hold
    let run = |t: &mut TlsTransport, fill: u8, expect: u8| {
        for part in [1, 70_000, n - 70_001] {
            t.send(vec![fill; part]).unwrap();
        }
        let mut buf = vec![0; n];
        let (first, rest) = buf.split_at_mut(3);
        t.recv(first).unwrap();
        t.recv(rest).unwrap();
        assert!(buf.iter().all(|x| *x == expect));
    };
    std::thread::scope(|s| {
        s.spawn(|| run(&mut a, 1, 2));
        run(&mut b, 2, 1);
    });
    b.send(vec![7; 100_000]).unwrap();
    drop(b);
    a.recv(&mut vec![0; 100_000]).unwrap();
    assert!(matches!(a.recv(&mut [0]), Err(WireError::Closed { .. })));
}

#[test]
fn the_bytes_on_the_socket_are_not_those_that_were_sent() {
    let dir = folder(&["a", "b"]);
    let (client, server) = (keys(dir.path(), "a", "b"), keys(dir.path(), "b", "a"));
    let [front, back] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let (at, behind) = (front.local_addr().unwrap(), back.local_addr().unwrap());
    // Between the two: a relay that keeps what it sees.
    let relay = std::thread::spawn(move || {
        let (mut from, mut to) = (front.accept().unwrap().0, TcpStream::connect(behind).unwrap());
        let (mut from_back, mut to_back) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut to_back, &mut from_back));
        let mut seen = Vec::new();
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut part) {
            seen.extend_from_slice(&part[..n]);
            to.write_all(&part[..n]).unwrap();
        }
        seen
    });
    let served = std::thread::spawn(move || {
        let mut t = server.accept("client", back.accept().unwrap().0, TIMEOUT).unwrap();
        let mut buf = [0; 64];
        t.recv(&mut buf).unwrap();
        buf
    });
    let mut t = client.connect("server", TcpStream::connect(at).unwrap(), TIMEOUT).unwrap();
    t.send(vec![b'x'; 64]).unwrap();
    assert_eq!(served.join().unwrap(), [b'x'; 64]);
    drop(t);
    let seen = relay.join().unwrap();
    assert!(seen.len() > 64 && !seen.windows(8).any(|w| w == [b'x'; 8]));
}

#[test]
fn another_certificate_is_refused_on_either_side() {
    let dir = folder(&["a", "b", "stranger"]);
    let k = |own, peer| keys(dir.path(), own, peer);
    // The server is not whom the client expects.
    let (client, server) = meet(k("a", "b"), k("stranger", "a"));
    assert!(client.is_err() && server.is_err());
    // The client is not whom the server expects: it learns that from the first thing it reads.
    let (client, server) = meet(k("stranger", "b"), k("b", "a"));
    assert!(server.is_err());
    assert!(client.and_then(|mut c| Ok(c.recv(&mut [0])?)).is_err());
    // A certificate is public: without its key it is worth nothing.
    let stolen = dir.path().join("stolen.key");
    let [key, certificate] = ["stranger.key", "a.crt"].map(|f| fs::read_to_string(dir.path().join(f)).unwrap());
    let key_alone = key.split_inclusive("-----END PRIVATE KEY-----").next().unwrap();
    fs::write(&stolen, format!("{key_alone}\n{certificate}")).unwrap();
    let refused = Keys::load(&stolen, &dir.path().join("b.crt")).err().map(|e| format!("{e:#}")).unwrap_or_default();
    assert!(refused.contains("cannot be used"), "{refused}");
}

#[test]
fn silence_and_garbage_end_a_handshake() {
    let dir = folder(&["a", "b"]);
    let server = keys(dir.path(), "b", "a");
    let attempt = |said: &[u8], timeout: Duration| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stranger = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stranger.write_all(said).unwrap();
        let refused = server.accept("client", listener.accept().unwrap().0, timeout).err();
        format!("{:#}", refused.expect("refused"))
    };
    assert!(attempt(b"", Duration::from_millis(50)).contains("no end of the TLS handshake"));
    assert!(attempt(b"GET / HTTP/1.1\r\n\r\n", TIMEOUT).contains("TLS handshake"));
    assert!(attempt(&[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], Duration::from_millis(50)).contains("TLS handshake"));
}

#[test]
fn key_files_are_private_kept_and_checked() {
    let dir = folder(&["a"]);
    let path = |n: &str| dir.path().join(n);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(path("a.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(keygen(&path("a")).unwrap_err().to_string().contains("never overwritten"));
    fs::write(path("empty"), "").unwrap();
    let refused = |own: &str, peer: &str, expect: &str| {
        let e = format!("{:#}", Keys::load(&path(own), &path(peer)).err().expect("refused"));
        assert!(e.contains(expect), "{e}");
    };
    refused("none", "a.crt", "cannot read");
    refused("a.crt", "a.crt", "no private key");
    refused("a.key", "empty", "no certificate");
    refused("a.key", "a.crt", "this party's own");
}
