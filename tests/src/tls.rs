//! TLS towards the server: whom a client trusts, certificates of the tests' own, and the first message of a handshake
//! as bytes.
//!
//! What comes out of [`Trust::connect`] is a [`Raw`] as any other, so that every client of the harness speaks through it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};
use tempfile::TempDir;

use crate::link::{Raw, Stream};
use crate::rest::Rest;
use crate::server::{Launch, Server};
use crate::wait::WAIT_MAX;

/// What a client of TLS knows and wants: whose certificates it takes, and by which name it asks for the server.
#[derive(Debug, Clone)]
pub struct Trust {
    verifier: Arc<dyn ServerCertVerifier>,
    config: ClientConfig,
    name: ServerName<'static>,
}

impl Trust {
    /// Takes what this authority has signed for `localhost`; its certificate is PEM.
    ///
    /// # Panics
    /// When it is no certificate.
    #[must_use]
    #[track_caller]
    pub fn of(authority: &str) -> Trust {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(authority.as_bytes()).expect("it is PEM");
        roots.add(certificate).expect("it is a certificate");
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build();
        Trust::by(verifier.expect("there is an authority"))
    }

    /// Takes the development certificate of a server, whose authority it has from `/client.pem`.
    #[must_use]
    #[track_caller]
    pub fn in_the(server: &Server) -> Trust {
        Trust::of(&client_pem(server))
    }

    /// Takes every certificate: for those who want to see which one is shown.
    #[must_use]
    pub fn blind() -> Trust {
        Trust::by(Arc::new(Blind(provider())))
    }

    fn by(verifier: Arc<dyn ServerCertVerifier>) -> Trust {
        let config = config(&verifier, rustls::DEFAULT_VERSIONS);
        Trust { verifier, config, name: name("localhost") }
    }

    /// Asks for the server by another name, or by an address.
    #[must_use]
    #[track_caller]
    pub fn named(self, host: &str) -> Trust {
        Trust { name: name(host), ..self }
    }

    /// Speaks these versions only.
    #[must_use]
    pub fn speaking(self, versions: &[&'static SupportedProtocolVersion]) -> Trust {
        Trust { config: config(&self.verifier, versions), ..self }
    }

    /// Offers these protocols (ALPN).
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Trust {
        self.config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Connects to a TLS port of the server.
    ///
    /// # Panics
    /// When the handshake fails.
    #[must_use]
    #[track_caller]
    pub fn connect(&self, to: SocketAddr) -> Raw {
        self.try_connect(to).unwrap_or_else(|error| panic!("the TLS handshake failed: {error}"))
    }

    /// Connects to a TLS port that may refuse, or whose certificate may not be trusted.
    ///
    /// # Errors
    /// What the handshake failed with.
    #[track_caller]
    pub fn try_connect(&self, to: SocketAddr) -> std::io::Result<Raw> {
        let Stream::Plain(mut tcp) = Raw::connect(to).into_stream() else { unreachable!("it is plain") };
        tcp.set_read_timeout(Some(WAIT_MAX)).expect("a timeout can be set");
        let mut connection = self.begun();
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Raw::on(Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))))
    }

    /// What such a client sends first.
    #[must_use]
    pub fn hello(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.begun().write_tls(&mut bytes).expect("memory takes everything");
        bytes
    }

    fn begun(&self) -> ClientConnection {
        let config = Arc::new(self.config.clone());
        ClientConnection::new(config, self.name.clone()).expect("the settings fit together")
    }
}

/// The certificate that a client is shown who asks for this name, or for an address, which is no name (SNI).
#[must_use]
#[track_caller]
pub fn shown(to: SocketAddr, host: &str) -> Vec<u8> {
    let raw = Trust::blind().named(host).connect(to);
    let chain = raw.tls().peer_certificates().expect("a server shows a certificate");
    chain.first().expect("a chain has a certificate").to_vec()
}

/// What `/client.pem` is.
#[must_use]
#[track_caller]
pub fn client_pem(server: &Server) -> String {
    let answer = Rest::new(server.http(), None).send("GET", "/client.pem", &[], None);
    answer.assert_status(200);
    answer.text().to_owned()
}

/// A ClientHello of a version before 1.2 (`0x0301` is TLS 1.0, `0x0302` is 1.1), with the suite that all of them had to
/// know [RFC 4346, 7.4.1.2 and 9].
#[must_use]
pub fn old_hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    // No session, one cipher suite (TLS_RSA_WITH_3DES_EDE_CBC_SHA), no compression.
    body.extend([0, 0, 2, 0x00, 0x0a, 1, 0]);
    let mut record = vec![0x16];
    record.extend(version.to_be_bytes());
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// An authority that signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, for those who trust it: PEM.
    pub pem: String,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// It alone, as PEM.
    pub chain: String,
    /// Its key, as PEM.
    pub key: String,
    /// The certificate as a client is shown it.
    pub der: Vec<u8>,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When there are no random numbers.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Authority {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names and addresses.
    #[must_use]
    pub fn signs(&self, names: &[&str]) -> Certificate {
        self.signs_for(names, &KeyPair::generate().expect("a key can be made"))
    }

    /// As [`Authority::signs`], for a key that is there already.
    #[must_use]
    pub fn signs_for(&self, names: &[&str], key: &KeyPair) -> Certificate {
        self.signed(params(names), key)
    }

    /// A certificate that has run out.
    #[must_use]
    pub fn signs_expired(&self, names: &[&str]) -> Certificate {
        let mut params = params(names);
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        self.signed(params, &KeyPair::generate().expect("a key can be made"))
    }

    fn signed(&self, params: CertificateParams, key: &KeyPair) -> Certificate {
        let signed = params.signed_by(key, &self.issuer).expect("an authority can sign");
        Certificate { chain: signed.pem(), key: key.serialize_pem(), der: signed.der().to_vec() }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names are ASCII")
}

/// A certificate and its key as the files that a server is given.
#[derive(Debug)]
pub struct Files {
    folder: TempDir,
}

impl Files {
    /// New files with this certificate and its key.
    #[must_use]
    #[track_caller]
    pub fn holding(certificate: &Certificate) -> Files {
        let files = Files { folder: tempfile::tempdir().expect("a temporary directory can be made") };
        files.replace(certificate);
        files
    }

    /// Overwrites both, one after the other, as programs that renew certificates do.
    #[track_caller]
    pub fn replace(&self, certificate: &Certificate) {
        write(&self.chain(), &certificate.chain);
        write(&self.key(), &certificate.key);
    }

    /// The file of the certificate.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    /// The file of its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("private.key")
    }

    /// Settings with TLS listeners that show this certificate.
    #[must_use]
    pub fn launch(&self) -> Launch {
        Files::launch_all(&[self])
    }

    /// Settings with TLS listeners that show these certificates.
    #[must_use]
    pub fn launch_all(all: &[&Files]) -> Launch {
        let list = |path: fn(&Files) -> PathBuf| {
            let paths: Vec<String> = all.iter().map(|files| path(files).display().to_string()).collect();
            paths.join(",")
        };
        let (chains, keys) = (list(Files::chain), list(Files::key));
        Launch::new().with_tls().flag("--tls-cert", &chains).flag("--tls-key", &keys)
    }
}

#[track_caller]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(
    verifier: &Arc<dyn ServerCertVerifier>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("ring has ciphers for these versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier))
        .with_no_client_auth()
}

#[track_caller]
fn name(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned()).expect("a name or an address")
}

/// Looks at no certificate. That the server has its key is still shown.
#[derive(Debug)]
struct Blind(Arc<CryptoProvider>);

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
