//! `health`: asks `/health` of a running server over plain HTTP, so that a container needs no other program for it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use super::output::say;
use crate::config::{administration::Health, listeners::Listen};

/// How long each step may take.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read: its head says it all.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// Asks, and fails where the server does not serve.
///
/// # Errors
/// A sentence.
pub(super) fn ask(health: &Health) -> anyhow::Result<()> {
    let address = match (&health.url, health.http.listen) {
        (Some(url), _) => resolve(url)?,
        (None, Listen::At(address)) => address,
        (None, Listen::Off) => bail!("--http is `off`: say with --url where the server is asked"),
    };
    probe(address)?;
    say(&format!("{address} serves"));
    Ok(())
}

/// Where a URL such as `http://127.0.0.1:8080` leads.
fn resolve(url: &str) -> anyhow::Result<SocketAddr> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("--url {url}: it begins with http://, as the health of a server is asked on its --http port");
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    ensure!(matches!(path, "" | "health"), "--url {url}: it is the server's, without a path");
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:80") };
    let mut addresses = host.to_socket_addrs().with_context(|| format!("--url {url}: no such host"))?;
    addresses.next().with_context(|| format!("--url {url}: the host has no address"))
}

/// Asks the server at an address.
///
/// # Errors
/// A sentence that says what it answered instead.
pub(super) fn probe(address: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(address);
    let mut stream = TcpStream::connect_timeout(&address, WAIT_MAX)
        .with_context(|| format!("no server answers at {address}: is it running, and is --http right?"))?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    let mut head = Vec::new();
    stream
        .write_all(format!("GET /health HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
        .and_then(|()| stream.take(ANSWER_BYTES_MAX).read_to_end(&mut head))
        .with_context(|| format!("{address} does not answer"))?;
    let head = String::from_utf8_lossy(&head);
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("503") => bail!("the server at {address} cannot deliver right now: its log says why"),
        Some(status) if head.starts_with("HTTP/1.") => {
            bail!("{address} answers {status}: is this the HTTP port of the server?")
        }
        _ => bail!("{address} does not speak HTTP: is this the HTTP port of the server?"),
    }
}

/// Where a server that listens on all addresses is reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let here = match address.ip() {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    SocketAddr::new(here, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_a_port_and_nothing_else() {
        for (url, address) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080/health", "127.0.0.1:8080"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("http://[::1]:81", "[::1]:81"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(resolve(url).expect(url).to_string(), address, "{url}");
        }
        for none in ["127.0.0.1:8080", "https://127.0.0.1", "http://127.0.0.1/x", "http://", "http://:x"] {
            assert!(resolve(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        let reached = |address: &str| reachable(address.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(reached("[::]:1"), "[::1]:1");
        assert_eq!(reached("192.0.2.1:1"), "192.0.2.1:1");
    }
}
