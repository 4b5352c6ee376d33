//! Divides the descriptors that the system grants among connections, requests at the limit, and the server's own files.
//!
//! Every connection takes one descriptor. Without a division, connections take the last one too, and then the store
//! cannot open its files and no health check gets an answer.

use std::{fs, sync::Arc};

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use crate::config::Config;
use thng_pubsub_transport::accept::OpenFiles;

/// HTTP connections that are served when no other connection is accepted any more: health checks come in them, and an
/// operator who revokes a key.
const RESERVED_HTTP: usize = 16;

/// Descriptors that each connection to the database may still open: its log, the index of the log, a temporary file.
const PER_DATABASE_CONNECTION: usize = 3;

/// Descriptors for what is open for a moment: certificates that are read again, a folder that is synced, the
/// administrator's socket, connections that are accepted and refused.
const MOMENTARY: usize = 24;

/// What is open at the start where the system does not say it.
const OPEN_AT_START: usize = 64;

/// Raises the soft limit to the hard one: only programs that use `select` need it lower, and the server does not.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised: raise it with `ulimit -n`");
    }
}

/// The descriptors of connections, when everything that is open from the start is open.
///
/// # Errors
/// The limit leaves none.
pub(super) fn divide(config: &Config) -> anyhow::Result<OpenFiles> {
    let Some(limit) = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
    else {
        return Ok(unlimited());
    };
    // The writer has a connection too.
    let own = open_now() + PER_DATABASE_CONNECTION * (config.data.database_readers + 1) + MOMENTARY;
    let connections = limit.saturating_sub(own + RESERVED_HTTP);
    ensure!(
        connections > 0,
        "the limit of open files is {limit}, and the server needs {} without any connection: raise it with `ulimit -n`",
        own + RESERVED_HTTP
    );
    if connections < config.connections.connections_max {
        tracing::warn!(
            connections_max = config.connections.connections_max,
            open_files_limit = limit,
            connections,
            "--connections-max exceeds what the limit of open files allows: raise `ulimit -n` or LimitNOFILE"
        );
    }
    Ok(OpenFiles { connections: semaphore(connections), reserved_http: semaphore(RESERVED_HTTP) })
}

fn unlimited() -> OpenFiles {
    OpenFiles { connections: semaphore(Semaphore::MAX_PERMITS), reserved_http: semaphore(RESERVED_HTTP) }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// Descriptors that are open right now.
fn open_now() -> usize {
    fs::read_dir("/proc/self/fd").map_or(OPEN_AT_START, Iterator::count)
}
