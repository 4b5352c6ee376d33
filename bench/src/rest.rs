//! One REST call, by hand: the little that is needed before a measurement.
//!
//! No connection is kept, so that the server is as it would be without it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Posts a JSON document and returns the one that comes back.
///
/// # Errors
/// The server cannot be reached, or answers anything but a 2xx status with a JSON document.
pub(crate) fn post(http: SocketAddr, key: &str, path: &str, body: &str) -> anyhow::Result<Value> {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&http, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {http}\r\nAuthorization: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().with_context(|| format!("POST http://{http}{path}"))?;
    parse(&answer).with_context(|| format!("POST http://{http}{path}"))
}

fn parse(answer: &[u8]) -> anyhow::Result<Value> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("answered {status}: {body}");
    }
    serde_json::from_str(body).with_context(|| format!("the answer is not JSON: {body}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_behind_the_head_is_read() {
        let answer = parse(b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{\"id\":\"x\"}").unwrap();
        assert_eq!(answer["id"], "x");
    }

    #[test]
    fn a_refusal_is_shown_as_it_came() {
        let error = parse(b"HTTP/1.1 403 Forbidden\r\n\r\n{\"status\":403}").unwrap_err().to_string();
        assert!(error.contains("403: {\"status\":403}"), "{error}");
        assert!(parse(b"SSH-2.0").is_err());
    }
}
