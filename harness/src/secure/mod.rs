//! The channel between two machines: TLS 1.3 in which each party shows a certificate and accepts one other, which it was
//! given beforehand. Nobody else's is accepted, whoever signed it, so a party serves no strangers.

mod transport;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, ServerConnection, SignatureScheme,
};

pub(crate) use transport::TlsTransport;

/// Name in every certificate (agreement): the pin tells parties apart, not the name.
const SUBJECT: &str = "party.invalid";

/// What a party needs to know the other, and to be known.
#[derive(Clone)]
pub(crate) struct Keys {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Keys {
    /// From the party's own file, with its private key and its certificate, and the other's certificate.
    ///
    /// # Errors
    /// If a file cannot be read, does not hold what it should, or key and certificate do not belong together.
    pub(crate) fn load(own: &Path, peer: &Path) -> Result<Self> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let (own_pem, peer_pem) = (read(own)?, read(peer)?);
        let advice = "`bench keygen` makes such files";
        let key = PrivateKeyDer::from_pem_slice(&own_pem)
            .with_context(|| format!("no private key in {}: {advice}", own.display()))?;
        let certificate = |pem: &[u8], path: &Path| {
            CertificateDer::from_pem_slice(pem)
                .with_context(|| format!("no certificate in {}: {advice}", path.display()))
        };
        let (mine, theirs) = (certificate(&own_pem, own)?, certificate(&peer_pem, peer)?);
        ensure!(mine != theirs, "{} is this party's own certificate, not the other's", peer.display());

        let provider = Arc::new(ring::default_provider());
        let pinned = Arc::new(Pinned { certificate: theirs, algorithms: provider.signature_verification_algorithms });
        let unfit = || format!("{}: its key and certificate cannot be used", own.display());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous() // as is all that does not ask an authority; the pin is narrower
            .with_custom_certificate_verifier(Arc::clone(&pinned) as Arc<dyn ServerCertVerifier>)
            .with_client_auth_cert(vec![mine.clone()], key.clone_key())
            .with_context(unfit)?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(pinned)
            .with_single_cert(vec![mine], key)
            .with_context(unfit)?;
        server.send_tls13_tickets = 0; // every connection proves both identities anew
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// Opens the channel on a connection that we made.
    ///
    /// # Errors
    /// If the other end is not the peer, or there is no agreement within `timeout`.
    pub(crate) fn connect(&self, peer: &str, stream: TcpStream, timeout: Duration) -> Result<TlsTransport> {
        let name = ServerName::try_from(SUBJECT).context("the name in certificates")?;
        let tls = ClientConnection::new(Arc::clone(&self.client), name)?;
        shake_hands(peer, tls.into(), stream, timeout)
    }

    /// Opens the channel on a connection that was made to us.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(crate) fn accept(&self, peer: &str, stream: TcpStream, timeout: Duration) -> Result<TlsTransport> {
        let tls = ServerConnection::new(Arc::clone(&self.server))?;
        shake_hands(peer, tls.into(), stream, timeout)
    }
}

fn shake_hands(peer: &str, mut tls: Connection, stream: TcpStream, timeout: Duration) -> Result<TlsTransport> {
    let mut io = Deadline { stream: &stream, until: Instant::now() + timeout };
    while tls.is_handshaking() {
        tls.complete_io(&mut io).map_err(|e| match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                anyhow::anyhow!("no end of the TLS handshake within {} s", timeout.as_secs())
            }
            _ => anyhow::Error::new(e).context("the TLS handshake"),
        })?;
    }
    Ok(TlsTransport::new(peer, tls, stream, timeout)?)
}

/// A socket until a moment, however slowly the other end drips.
struct Deadline<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Deadline<'_> {
    fn left(&self) -> std::io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Deadline<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buf)
    }
}

impl Write for Deadline<'_> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Accepts one certificate, byte for byte, whose private key the other end must prove to hold.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        if *shown == self.certificate {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn check_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// `bench keygen`: makes `NAME.key`, to be kept, and `NAME.crt`, for the other party. Returns both paths.
///
/// # Errors
/// If one of them is there already, or cannot be written.
pub(crate) fn keygen(name: &Path) -> Result<[PathBuf; 2]> {
    if name.file_name().is_none() {
        bail!("'{}' names no file", name.display());
    }
    let with = |ending: &str| PathBuf::from(format!("{}.{ending}", name.display()));
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let certificate = rcgen::CertificateParams::new(vec![SUBJECT.to_owned()])?.self_signed(&key)?.pem();
    let paths = [with("key"), with("crt")];
    write_new(&paths[0], &format!("{}{certificate}", key.serialize_pem()), 0o600)?;
    write_new(&paths[1], &certificate, 0o644)?;
    Ok(paths)
}

/// A file that was not there, readable as `mode` says from the start.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let file = options.open(path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!("{} is there already: keys are never overwritten", path.display()),
        _ => anyhow::Error::new(e).context(format!("cannot write {}", path.display())),
    });
    file?.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether a party may be without keys at this address: nobody else can reach it.
pub(crate) fn needs_no_keys(address: &SocketAddr) -> bool {
    address.ip().is_loopback() || si_netem::is_own_namespace()
}

#[cfg(test)]
mod tests;
