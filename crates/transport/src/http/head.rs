//! The host of a request, as RFC 9112, 3.2 wants it, and the answer to a head that the HTTP library cannot read.

use std::{io, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, Version, header},
};
use thng_pubsub_protocol::payload::{ErrorCode, ErrorDocument};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{HEAD_BYTES_MAX, HEADERS_MAX, origin::Origin};
use crate::{Context, public_url::is_host};

/// How long a peer may take to read the answer to a head that was rejected.
const LINGER: Duration = Duration::from_secs(1);

/// Leaves one `Host` in the request, that of the target where the target has one.
///
/// # Errors
/// What is wrong with the host, as a sentence.
pub(super) fn settle_host(request: &mut Request) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err("The request has more than one Host header."),
        (None, None) if request.version() >= Version::HTTP_11 => {
            return Err("A request of HTTP/1.1 needs a Host header.");
        }
        (Some(host), None) if !host.is_empty() && !host.to_str().is_ok_and(is_host) => {
            return Err("The Host header is no name or address with an optional port.");
        }
        (Some(_) | None, None) => {}
    }
    let Some(authority) = request.uri().authority() else { return Ok(()) };
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let host = HeaderValue::try_from(host).map_err(|_| "The host of the request target cannot be read.")?;
    request.headers_mut().insert(header::HOST, host);
    Ok(())
}

/// A head that never became a request.
#[derive(Debug)]
pub(super) struct InvalidHead {
    code: ErrorCode,
    sentence: String,
    /// What the library would have answered: a status line and headers without a body.
    bare: Option<Vec<u8>>,
}

impl InvalidHead {
    /// What the library said of it. `bare` is its own answer, if it has one.
    pub(super) fn new(error: &hyper::Error, bare: Option<Vec<u8>>, is_slow: bool) -> Option<Self> {
        if is_slow {
            let sentence =
                "The head of the request did not come within the time that --connect-timeout-s allows.";
            return Some(Self { code: ErrorCode::REQUEST_TIMEOUT, sentence: sentence.into(), bare });
        }
        if error.is_parse_too_large() {
            let sentence = format!(
                "The head of the request is larger than {HEAD_BYTES_MAX} bytes, or has more than {HEADERS_MAX} headers."
            );
            return Some(Self { code: ErrorCode::HEAD_TOO_LARGE, sentence, bare });
        }
        if !error.is_parse() {
            return None;
        }
        let said = error.to_string();
        let hint = if error.is_parse_version_h2() {
            " This server speaks HTTP/1.1."
        } else if said.contains("URI") {
            " Percent-encode what a URL cannot contain: %3E for >, %3C for <, %22 for \", %20 for a space."
        } else {
            ""
        };
        let sentence = format!("The head of the request cannot be read: {said}.{hint}");
        Some(Self { code: ErrorCode::INVALID, sentence, bare })
    }

    /// Counts it, logs it, and answers it.
    pub(super) async fn answer<S>(self, context: &Context, mut stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let status = StatusCode::from_u16(self.code.status).unwrap_or(StatusCode::BAD_REQUEST);
        context.metrics.requests.with_label_values(&[status.as_str()]).inc();
        if let Some(suppressed) = context.refusal_log.admit() {
            tracing::info!(status = status.as_u16(), suppressed, "HTTP request rejected: {}", self.sentence);
        }
        let answer = self.to_bytes(status, context);
        // A peer that does not read it in time does without.
        let _ = tokio::time::timeout(LINGER, write_last(&mut stream, &answer)).await;
    }

    fn to_bytes(&self, status: StatusCode, context: &Context) -> Vec<u8> {
        // Its `moreInfo` stays a path: the host that was asked for is in the head.
        let body = ErrorDocument::new(self.code, vec![self.sentence.clone()]).to_json();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        Origin::unknown(&context.limits.allowed_origins).set_headers(&mut headers);
        let mut answer = format!("HTTP/1.1 {status}\r\n").into_bytes();
        // The library knows the date, and whether the connection closes.
        let bare = self.bare.as_deref().and_then(|bare| std::str::from_utf8(bare).ok()).unwrap_or_default();
        let date = bare.split("\r\n").find(|line| line.starts_with("date: "));
        let line = date.map(|date| format!("{date}\r\n")).unwrap_or_default();
        answer.extend_from_slice(line.as_bytes());
        answer.extend_from_slice(b"connection: close\r\n");
        for (name, value) in &headers {
            answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(body.as_bytes());
        answer
    }
}

/// Writes the last bytes of a connection, and waits until the peer has closed. A socket that is closed with unread bytes
/// is reset, and then some systems discard the answer too.
async fn write_last<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn settled(target: &str, hosts: &[&str], version: Version) -> Result<String, &'static str> {
        let mut request = Request::builder().uri(target).version(version);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let mut request = request.body(Body::empty()).expect("a request");
        settle_host(&mut request)?;
        let host = request.headers().get(header::HOST).map(|host| host.to_str().expect("text").to_owned());
        Ok(host.unwrap_or_default())
    }

    #[test]
    fn one_host_is_needed_and_the_target_has_the_last_word() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert_eq!(settled("/thngs", &["a:1"], new), Ok("a:1".into()));
        assert_eq!(settled("/thngs", &[""], new), Ok(String::new()));
        assert_eq!(settled("/thngs", &[], old), Ok(String::new()));
        assert_eq!(settled("http://u:p@b:2/thngs", &["a"], new), Ok("b:2".into()));
        assert!(settled("/thngs", &[], new).is_err());
        assert!(settled("http://b/thngs", &[], new).is_err());
        for version in [old, new] {
            assert!(settled("/thngs", &["a", "a"], version).is_err());
            assert!(settled("/thngs", &["a b"], version).is_err());
            assert!(settled("/thngs", &["a/b"], version).is_err());
            assert!(settled("/thngs", &["u@a"], version).is_err());
        }
    }
}
