//! The certificates of the TLS listeners: read from PEM files, chosen by the name that a client asks for (SNI), and
//! exchanged for new ones while connections go on.
//!
//! What cannot be used never replaces what can: it is refused with a sentence, and the old ones stay.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use parking_lot::RwLock;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;
use webpki::EndEntityCert;
use x509_cert::der::Decode as _;

use super::{local, now, provider};
use thng_pubsub_broker::metrics::Metrics;

/// Where certificates come from.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// PEM files, a chain and its private key each. The first pair is for clients that ask for no name or another.
    Files(Vec<(PathBuf, PathBuf)>),
    /// A folder in which an authority and a certificate of our own are made where they are missing.
    Local(PathBuf),
}

/// A chain with its key.
#[derive(Debug, Clone)]
struct Pair {
    certified: Arc<CertifiedKey>,
    info: CertificateInfo,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateInfo {
    /// The names and addresses that it is valid for.
    pub(super) names: Vec<String>,
    pub(super) ends: SystemTime,
}

/// What the TLS listeners show, now.
#[derive(Debug)]
pub struct Certificates {
    source: CertificateSource,
    current: RwLock<Arc<[Pair]>>,
    /// What [`Certificates::watch`] has seen of the files.
    stamps: parking_lot::Mutex<Vec<Stamp>>,
    metrics: Arc<Metrics>,
}

/// The identity of a file, the time of the last change of it or its permissions (seconds and nanoseconds), and its length.
/// A file that replaces another may be as old and as long, and an unreadable one may become readable. `None` is a
/// missing file.
type Stamp = Option<(u64, i64, i64, u64)>;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

impl Certificates {
    /// Reads them, or makes them.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn open(source: CertificateSource, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        if let CertificateSource::Local(folder) = &source {
            let authority = local::ensure(folder)?;
            tracing::warn!(
                authority = %authority.display(),
                "the TLS certificate is for development only, from an authority of our own: clients get it with \
                 `curl -O http://HOST:PORT/client.pem`. For others give --tls-cert and --tls-key"
            );
        }
        let stamps = stamps(&source);
        let pairs = load(&source)?;
        for pair in &*pairs {
            if pair.info.ends <= now() {
                tracing::error!(certificate = ?pair.info.names, "the certificate has expired: clients will refuse it");
            }
        }
        let opened = Self { source, current: RwLock::new(pairs), stamps: stamps.into(), metrics };
        opened.log_all();
        Ok(opened)
    }

    /// The certificate of the authority that signed ours, where we made it: PEM.
    pub fn authority(&self) -> Option<Vec<u8>> {
        match &self.source {
            CertificateSource::Local(folder) => fs::read(folder.join(local::AUTHORITY)).ok(),
            CertificateSource::Files(_) => None,
        }
    }

    /// Looks at the files now and then, and reads them when one has changed.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                if let CertificateSource::Local(folder) = &this.source
                    && let Err(error) = local::ensure(folder)
                {
                    tracing::error!("the certificate could not be renewed: {error:#}");
                }
                if stamps(&this.source) != *this.stamps.lock() {
                    this.reload();
                }
            });
            let _ = looked.await;
        }
    }

    /// Reads the files again. Open connections keep their certificates; new ones get what was read.
    pub fn reload(&self) {
        // Before the files: what changes while they are read is seen at the next look.
        let mut seen = self.stamps.lock();
        *seen = stamps(&self.source);
        let outcome = match load(&self.source).and_then(still_valid) {
            Ok(pairs) => {
                *self.current.write() = pairs;
                self.log_all();
                "taken"
            }
            Err(error) => {
                tracing::error!("the new TLS certificates are not used, the old ones stay: {error:#}");
                "refused"
            }
        };
        self.metrics.tls_reloads.with_label_values(&[outcome]).inc();
    }

    /// Says in the log and in the metrics what is shown now.
    fn log_all(&self) {
        let pairs = Arc::clone(&self.current.read());
        for pair in &*pairs {
            let ends = jiff::Timestamp::try_from(pair.info.ends).map(|ends| ends.to_string());
            tracing::info!(names = ?pair.info.names, ends = ends.unwrap_or_default(), "TLS certificate");
        }
        let first_end = pairs.iter().map(|pair| pair.info.ends).min();
        let seconds = first_end.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok());
        self.metrics.tls_certificate_expiry.set(seconds.map_or(0, |since| since.as_secs().cast_signed()));
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pairs = self.current.read();
        let server_name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fits = |pair: &&Pair| {
            let end = pair.certified.cert.first().and_then(|end| EndEntityCert::try_from(end).ok());
            match (&server_name, end) {
                (Some(server_name), Some(end)) => end.verify_is_valid_for_subject_name(server_name).is_ok(),
                _ => false,
            }
        };
        // One certificate is the usual case, and needs no look inside.
        let found = if pairs.len() > 1 { pairs.iter().find(fits) } else { None };
        found.or(pairs.first()).map(|pair| Arc::clone(&pair.certified))
    }
}

fn files(source: &CertificateSource) -> Vec<PathBuf> {
    match source {
        CertificateSource::Files(pairs) => {
            pairs.iter().flat_map(|(chain, key)| [chain.clone(), key.clone()]).collect()
        }
        CertificateSource::Local(folder) => vec![folder.join(local::CHAIN), folder.join(local::KEY)],
    }
}

fn stamps(source: &CertificateSource) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.ctime(), file.ctime_nsec(), file.len()))
    };
    files(source).into_iter().map(stamp).collect()
}

/// Reads all pairs.
///
/// # Errors
/// What is wrong with the first that cannot be used.
fn load(source: &CertificateSource) -> anyhow::Result<Arc<[Pair]>> {
    let files = files(source);
    files.chunks_exact(2).map(|pair| load_pair(&pair[0], &pair[1])).collect()
}

/// Whether these files can be used.
///
/// # Errors
/// What is wrong with the first that cannot, or that it has expired.
pub fn check(files: &[(PathBuf, PathBuf)]) -> anyhow::Result<()> {
    load(&CertificateSource::Files(files.to_vec())).and_then(still_valid).map(drop)
}

fn load_pair(chain_file: &Path, key_file: &Path) -> anyhow::Result<Pair> {
    let text = fs::read(chain_file).with_context(|| format!("cannot read {}", chain_file.display()))?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| anyhow::anyhow!("{} is no PEM file: {error}", chain_file.display()))?;
    let Some(end) = chain.first() else {
        bail!(
            "{} has no certificate: it should begin with `-----BEGIN CERTIFICATE-----`",
            chain_file.display()
        );
    };
    let info = info(end).with_context(|| format!("{}: its first certificate", chain_file.display()))?;
    let text = fs::read(key_file).with_context(|| format!("cannot read {}", key_file.display()))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        anyhow::anyhow!(
            "{} has no private key that can be read ({error}): it should be an unencrypted PEM file",
            key_file.display()
        )
    })?;
    let key = provider().key_provider.load_private_key(key).with_context(|| {
        format!("{}: only RSA, ECDSA (P-256, P-384) and Ed25519 keys can be used", key_file.display())
    })?;
    let certified = CertifiedKey::new(chain, key);
    let fits = !matches!(
        certified.keys_match(),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch))
    );
    ensure!(
        fits,
        "the key in {} is not that of the first certificate in {}: give the pair that belongs together, and the \
         server's own certificate first",
        key_file.display(),
        chain_file.display()
    );
    Ok(Pair { certified: Arc::new(certified), info })
}

/// Checks a chain and its key, which is never shown; returns when its first certificate ends.
///
/// # Errors
/// A sentence that names the file and what is wrong with it.
pub fn look_at(chain: &Path, key: &Path) -> anyhow::Result<SystemTime> {
    Ok(load_pair(chain, key)?.info.ends)
}

/// Refuses to exchange what works for what clients would not take.
fn still_valid(pairs: Arc<[Pair]>) -> anyhow::Result<Arc<[Pair]>> {
    match pairs.iter().find(|pair| pair.info.ends <= now()) {
        Some(pair) => bail!("the certificate of {:?} has expired", pair.info.names),
        None => Ok(pairs),
    }
}

/// What a certificate says of itself.
///
/// # Errors
/// It is no X.509 certificate.
pub(super) fn info(certificate: &CertificateDer<'_>) -> anyhow::Result<CertificateInfo> {
    use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
    let parsed = x509_cert::Certificate::from_der(certificate).context("is no X.509 certificate")?;
    let mut names = Vec::new();
    if let Ok(Some((_, alternatives))) = parsed.tbs_certificate.get::<SubjectAltName>() {
        for name in alternatives.0 {
            match name {
                GeneralName::DnsName(name) => names.push(name.to_string()),
                GeneralName::IpAddress(bytes) => names.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
    }
    Ok(CertificateInfo { names, ends: parsed.tbs_certificate.validity.not_after.to_system_time() })
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let either = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from));
    either.ok().map(|address| address.to_string())
}
