//! TLS in front of a transport: the handshake, in the connection's own task and within a time limit.
//!
//! - [`certificates`]: which certificate a client is shown, and how another replaces it while connections go on
//! - [`local`]: an authority and a certificate for development, where none was given
//!
//! The transports do not know whether they are behind TLS.

mod certificates;
mod local;

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{ServerConfig, crypto::ring};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub use certificates::{CertificateSource, Certificates, check, look_at};

use super::{accept::AcceptedConnection, client_reports::ConnectionReports};
use thng_pubsub_broker::clock::Clock;

/// Key exchanges, ciphers and signatures: ring's, since it builds with a C compiler and nothing else.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The time of day, as certificates have it.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(Clock::System.now_ms().unsigned_abs())
}

/// What a TLS listener needs.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    protocol: &'static str,
    limit: Duration,
    reports: ConnectionReports,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tls").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// The first byte of a TLS client: the type of a handshake record. [RFC 8446, 5.1]
const HANDSHAKE: u8 = 0x16;

/// What a browser or `curl` shows of a plain request on a TLS port.
const PLAIN_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 47\r\nConnection: close\r\n\r\nThis port speaks HTTPS: use https:// or wss://.";

/// How long a client without TLS may take to read that.
const LINGER: Duration = Duration::from_secs(1);

/// How a handshake ended that was none.
enum Failure {
    NotTls(TcpStream),
    Late,
    Broken(io::Error),
}

impl Tls {
    /// TLS 1.2 and 1.3 with these certificates. `alpn` is what the listener's protocol is called there; where it is
    /// empty, whatever a client offers is passed over.
    ///
    /// # Errors
    /// None in practice: the provider has ciphers for both versions.
    pub fn new(
        certificates: Arc<Certificates>,
        (protocol, alpn): (&'static str, &[&str]),
        limit: Duration,
        reports: ConnectionReports,
    ) -> anyhow::Result<Self> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        // Clients that come back skip the signature, which is most of what a handshake costs.
        config.ticketer = ring::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), protocol, limit, reports })
    }

    /// The stream inside, or nothing where the peer did not get that far.
    pub async fn handshake(
        &self,
        stream: TcpStream,
        admitted: &AcceptedConnection,
    ) -> Option<TlsStream<TcpStream>> {
        let peer = admitted.peer;
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(admitted.timeout(self.limit), self.shake(stream)) => shaken.unwrap_or(Err(Failure::Late)),
            // Handshakes that have not ended are dropped.
            () = admitted.stop.cancelled() => return None,
        };
        let failure = match shaken {
            Ok(shaken) => return Some(shaken),
            Err(failure) => failure,
        };
        let (reason, sentence) = match &failure {
            Failure::Late => ("tls_timeout", "the TLS handshake took too long (--connect-timeout-s)".into()),
            Failure::NotTls(_) => ("not_tls", "the peer speaks no TLS on this port".into()),
            Failure::Broken(error) => ("tls_handshake", explain(error)),
        };
        if let Some(suppressed) = self.reports.refused(self.protocol, peer, reason, &sentence) {
            tracing::info!(protocol = self.protocol, %peer, reason, suppressed, "no TLS connection: {sentence}");
        }
        if let Failure::NotTls(stream) = failure
            && self.protocol == "https"
        {
            // Best effort: a client that does not take it in time gets none. Boxed, to keep every connection's task small.
            let _ = tokio::time::timeout(LINGER, Box::pin(say_https(stream))).await;
        }
        None
    }

    async fn shake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(0) => return Err(Failure::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) if first[0] != HANDSHAKE => return Err(Failure::NotTls(stream)),
            Ok(_) => {}
            Err(error) => return Err(Failure::Broken(error)),
        }
        self.acceptor.accept(stream).await.map_err(Failure::Broken)
    }
}

/// Answers a plain request, and waits until the peer has taken the answer.
async fn say_https(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_REQUEST).await?;
    stream.shutdown().await?;
    // A socket that is closed with something unread is reset, and then some systems forget the answer too.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
}

/// The reason of a failed handshake, with advice for the two common ones.
fn explain(error: &io::Error) -> String {
    use rustls::{AlertDescription, Error};
    let hint = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        )) => {
            ". The client does not trust the certificate: give it the authority's, such as that of GET /client.pem, and \
             call the server by a name that the certificate has"
        }
        Some(Error::PeerIncompatible(_)) => ". The client is too old: TLS 1.2 and 1.3 are spoken here",
        _ if error.kind() == io::ErrorKind::UnexpectedEof => ". The peer hung up before it was done",
        _ => "",
    };
    format!("{error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_answer_to_a_plain_request_is_what_it_says() {
        let text = std::str::from_utf8(PLAIN_REQUEST).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn a_client_that_does_not_trust_us_gets_advice() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        assert!(explain(&io::Error::new(io::ErrorKind::InvalidData, alert)).contains("/client.pem"));
    }
}
