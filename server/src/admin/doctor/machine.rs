//! The machine: open files, ports, certificates.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use super::Report;
use crate::{
    admin::health,
    config::{
        Config,
        listeners::{Listen, ListenerSettings},
    },
};
use thng_pubsub_transport::{admin_socket::Status, tls};

/// Files that a server has open besides its connections.
const FILES_BESIDE: u64 = 100;

/// Time in which a certificate should be made anew.
const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

pub(super) fn check(report: &mut Report, settings: &Config, server: Option<&Status>) {
    open_files(report, settings, server);
    match server {
        Some(server) => listeners(report, server),
        None => ports(report, settings),
    }
    for (chain, key) in settings.listeners.tls_cert.iter().zip(&settings.listeners.tls_key) {
        certificate(report, chain, key);
    }
}

/// Each connection takes one.
fn open_files(report: &mut Report, settings: &Config, server: Option<&Status>) {
    // A server raises its limit to the hard one.
    let here = || rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let (limit, connections, whose) = match server {
        Some(server) => (server.open_files_max, server.connections_max, "the server's"),
        None => {
            (here(), u64::try_from(settings.connections.connections_max).unwrap_or(u64::MAX), "this shell's")
        }
    };
    let needed = connections.saturating_add(FILES_BESIDE);
    match limit {
        Some(limit) if limit < needed => report.warning(
            "open files",
            format!("{whose} limit is {limit}, --connections-max is {connections}"),
            format!(
                "ulimit -n {needed}, LimitNOFILE={needed} in a systemd unit, or a smaller --connections-max"
            ),
        ),
        Some(limit) => {
            report.ok("open files", format!("{whose} limit is {limit}, for {connections} connections"))
        }
        None => report.ok("open files", format!("{whose} are without a limit")),
    }
}

/// What a running server says that it listens on.
fn listeners(report: &mut Report, server: &Status) {
    for (name, address) in &server.listeners {
        let at: Option<SocketAddr> = address.parse().ok().filter(|_| name == "http");
        match at.map(health::probe) {
            None => report.ok("ports", format!("--{name}: the server listens on {address}")),
            Some(Ok(())) => report.ok("ports", format!("--{name}: the server serves on {address}")),
            Some(Err(error)) => report.problem(
                "ports",
                format!("--{name}: {error:#}"),
                "look into the server's log, and for a firewall on this machine",
            ),
        }
    }
}

/// Whether a server could listen on its configured addresses.
fn ports(report: &mut Report, settings: &Config) {
    let ListenerSettings { http, mqtt, https, mqtts, .. } = &settings.listeners;
    let listens = [("http", http.listen), ("mqtt", *mqtt), ("https", *https), ("mqtts", *mqtts)];
    for (name, listen) in listens {
        let Listen::At(address) = listen else { continue };
        match TcpListener::bind(address) {
            Ok(_) => report.ok("ports", format!("--{name}: {address} is free")),
            Err(error) => {
                let advice = match error.kind() {
                    io::ErrorKind::AddrInUse => "another program is there: stop it, or choose another port",
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 need a right: choose a higher one, or give the server CAP_NET_BIND_SERVICE"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "this machine has no such address: choose one that it has"
                    }
                    _ => "choose another address",
                };
                report.problem("ports", format!("--{name}: {address}: {error}"), advice);
            }
        }
    }
}

fn certificate(report: &mut Report, chain: &Path, key: &Path) {
    let place = chain.display();
    let ends = match tls::look_at(chain, key) {
        Ok(ends) => ends,
        Err(error) => return report.problem("tls", format!("{error:#}"), "give files that belong together"),
    };
    match ends.duration_since(tls::now()) {
        Err(_) => report.problem("tls", format!("{place} has expired"), "put a new certificate in its place"),
        Ok(left) if left < ENDS_SOON => report.warning(
            "tls",
            format!("{place} expires in {} days", left.as_secs() / (24 * 3600)),
            "put a new certificate in its place; a running server takes it by itself",
        ),
        Ok(left) => {
            report.ok("tls", format!("{place} is valid for {} days more", left.as_secs() / (24 * 3600)));
        }
    }
}
