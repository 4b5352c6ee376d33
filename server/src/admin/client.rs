//! Sends a command to the server that has the data folder open, or to a broker of its own where none has.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};

use crate::{startup::run_offline, store::StoreError};
use thng_pubsub_transport::admin_socket::{Answer, Created, Request, SOCKET, Status};

/// How long a server may take to answer: a write waits for those before it, and for the disk.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Asks the server of a data folder, or does what it would do.
///
/// # Errors
/// A sentence, also for what was refused.
pub(super) fn ask(data: &Path, request: &Request) -> anyhow::Result<Answer> {
    let socket = data.join(SOCKET);
    let answer = match UnixStream::connect(&socket) {
        Ok(stream) => {
            exchange(stream, request).with_context(|| format!("the server at {}", socket.display()))?
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("{} may not be opened: run this as the user of the server", socket.display())
        }
        // There is none, or one that a server left behind that was killed, or none that could be made.
        Err(_) => ask_offline(data, request)?,
    };
    match answer {
        Answer::Refused(sentence) => Err(anyhow!(sentence)),
        answer => Ok(answer),
    }
}

/// Asks for something that is made.
///
/// # Errors
/// A sentence, also for what was refused.
pub(super) fn ask_for_new(data: &Path, request: &Request) -> anyhow::Result<Created> {
    match ask(data, request)? {
        Answer::Created(created) => Ok(created),
        Answer::Status(_) | Answer::Revoked(_) | Answer::Refused(_) => Err(misunderstood()),
    }
}

/// How the server of a data folder was started; nothing where none runs or none answers.
pub(super) fn status(data: &Path) -> Option<Status> {
    let stream = UnixStream::connect(data.join(SOCKET)).ok()?;
    match exchange(stream, &Request::Status {}).ok()? {
        Answer::Status(status) => Some(status),
        Answer::Created(_) | Answer::Revoked(_) | Answer::Refused(_) => None,
    }
}

/// An answer to something else than what was asked.
pub(super) fn misunderstood() -> anyhow::Error {
    anyhow!("the server answered something else: is the command of the same version?")
}

fn exchange(stream: UnixStream, request: &Request) -> anyhow::Result<Answer> {
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    let mut stream = BufReader::new(stream);
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.get_mut().write_all(line.as_bytes()).context("does not take the request")?;
    let mut answer = String::new();
    stream.read_line(&mut answer).context("did not answer; whether it did what it was asked is not known")?;
    serde_json::from_str(&answer).map_err(|_| misunderstood())
}

fn ask_offline(data: &Path, request: &Request) -> anyhow::Result<Answer> {
    run_offline(data, request).map_err(|error| match error.downcast_ref::<StoreError>() {
        Some(StoreError::Unavailable { reason, .. }) if reason.contains("another server has it open") => {
            error.context(format!(
                "a server runs on {} but does not listen at {SOCKET}: its log says why; stop it to do this",
                data.display()
            ))
        }
        _ => error,
    })
}
