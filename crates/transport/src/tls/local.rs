//! An authority and a certificate of our own, for development: so that TLS can be tried with one download.
//!
//! The authority stays as long as its files do, since clients have its certificate. The server's certificate is renewed
//! when it expires, or when the machine has another name. Both keys are readable by their owner only.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{certificates::info, now};
use thng_pubsub_broker::durable_file;

/// The authority's certificate, which clients are given.
pub(super) const AUTHORITY: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority.key";
/// The server's certificate and its key.
pub(super) const CHAIN: &str = "server.pem";
pub(super) const KEY: &str = "server.key";

/// How long the authority and what it signs are valid. Browsers take no certificate for longer than 398 days.
const AUTHORITY_DAYS: i64 = 3650;
const CERTIFICATE_DAYS: i64 = 397;

/// What is left when a certificate is made again.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes what is missing or runs out soon, and says where the authority's certificate is.
///
/// # Errors
/// The folder cannot be written, or its authority cannot be read.
pub(super) fn ensure(folder: &Path) -> anyhow::Result<PathBuf> {
    let authority = folder.join(AUTHORITY);
    let names = names();
    if authority.is_file() && is_good(folder, &names) {
        return Ok(authority);
    }
    make_folder(folder)?;
    let key = match fs::read_to_string(folder.join(AUTHORITY_KEY)) {
        Ok(pem) if authority.is_file() => KeyPair::from_pem(&pem).with_context(|| {
            format!(
                "{}: delete the folder to have another authority made",
                folder.join(AUTHORITY_KEY).display()
            )
        })?,
        _ => make_authority(folder)?,
    };
    // Of the issuer only its name and key go into what it signs, and both are those of the file.
    let issuer = Issuer::new(authority_params()?, key);
    let own_key = KeyPair::generate()?;
    let certificate = server_params(names)?.signed_by(&own_key, &issuer)?;
    // The key first: a certificate without its key would be refused, and the old pair would be gone.
    write(&folder.join(KEY), &own_key.serialize_pem(), 0o600)?;
    write(&folder.join(CHAIN), &certificate.pem(), 0o644)?;
    Ok(authority)
}

/// Whether what is there can be shown, for some time still.
fn is_good(folder: &Path, names: &[String]) -> bool {
    let known = fs::read(folder.join(CHAIN)).ok().filter(|_| folder.join(KEY).is_file());
    let info = known
        .and_then(|pem| CertificateDer::from_pem_slice(&pem).ok())
        .and_then(|certificate| info(&certificate).ok());
    info.is_some_and(|info| {
        info.ends > now() + RENEWED_BEFORE && names.iter().all(|name| info.names.contains(name))
    })
}

/// What people call this machine from here.
fn names() -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let is_name = host.split('.').all(|label| {
        !label.is_empty() && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
    });
    if is_name && !names.contains(&host) {
        names.push(host);
    }
    names
}

fn make_authority(folder: &Path) -> anyhow::Result<KeyPair> {
    let key = KeyPair::generate()?;
    let certificate = authority_params()?.self_signed(&key)?;
    write(&folder.join(AUTHORITY_KEY), &key.serialize_pem(), 0o600)?;
    write(&folder.join(AUTHORITY), &certificate.pem(), 0o644)?;
    Ok(key)
}

fn authority_params() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "thng-pubsub development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_DAYS)?;
    Ok(params)
}

fn server_params(names: Vec<String>) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "thng-pubsub");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, CERTIFICATE_DAYS)?;
    Ok(params)
}

/// From yesterday on, for clients whose clock is behind.
fn valid_for(params: &mut CertificateParams, days: i64) -> anyhow::Result<()> {
    let today = jiff::Timestamp::try_from(now())?.to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(today.yesterday()?);
    params.not_after = day(today.checked_add(jiff::Span::new().days(days - 1))?);
    Ok(())
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {} for TLS certificates", folder.display()))
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    durable_file::write(path, text.as_bytes(), mode)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a certificate for these names into the folder, which is good for so many days.
    fn put(folder: &Path, names: &[String], days: i64) {
        let key = KeyPair::generate().expect("a key");
        let mut params = server_params(names.to_vec()).expect("names");
        valid_for(&mut params, days).expect("days");
        let certificate = params.self_signed(&key).expect("a certificate");
        write(&folder.join(KEY), &key.serialize_pem(), 0o600).expect("a file");
        write(&folder.join(CHAIN), &certificate.pem(), 0o644).expect("a file");
    }

    #[test]
    fn an_expiring_or_misnamed_certificate_is_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let chain = || fs::read(folder.join(CHAIN)).expect("a certificate");
        let authority = || fs::read(folder.join(AUTHORITY)).expect("an authority");
        ensure(folder).expect("a folder that can be written");
        let (first, trusted) = (chain(), authority());
        ensure(folder).expect("a folder that can be written");
        assert_eq!(chain(), first, "what is good stays");

        let names = names();
        for (names, days, is_good) in
            [(&names[..], 60, true), (&names[..], 29, false), (&names[1..], 60, false)]
        {
            put(folder, names, days);
            let before = chain();
            ensure(folder).expect("a folder that can be written");
            assert_eq!(chain() == before, is_good, "{names:?} for {days} days");
            assert_eq!(authority(), trusted, "clients have its certificate");
        }
    }
}
