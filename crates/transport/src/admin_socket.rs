//! The administration socket: a Unix socket in the data folder, for commands of the same binary on the same machine.
//!
//! One connection is one request: a line of JSON, and a line of JSON as the answer. A user that may open the socket owns
//! the data (its mode is that of the database), so no key is needed. The system names the user, which is logged. A
//! command that finds no server calls [`answer`] itself, with a broker of its own.

use std::{
    fmt,
    fs::{self, Permissions},
    io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use thng_pubsub_protocol::id::Id;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Context;
use thng_pubsub_broker::{
    BrokerError,
    identity::{Actor, Identity, IssuedKey, KeyHash, Rights},
};

/// The socket's name in the data folder.
pub const SOCKET: &str = "admin.sock";

/// Bytes that a socket's path may have: what every system takes (Linux takes 107).
const PATH_BYTES_MAX: usize = 103;

/// How long a command may take to send its request, and to read the answer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Bytes of a request.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Connections that are answered at a time; further ones wait.
const AT_A_TIME: usize = 4;

/// How long to wait when the system cannot accept, such as when file descriptors have run out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What can be asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// How the server was started.
    Status {},
    /// Another account, with an operator.
    CreateAccount { name: String, email: String },
    /// A key of an operator, who is let in where rights are given.
    CreateOperatorKey {
        account: Option<String>,
        operator: String,
        role: Option<String>,
        policies: Vec<String>,
        conditions: Vec<String>,
    },
    /// An access token and its key.
    CreateToken { account: Option<String>, name: String, policies: Vec<String>, conditions: Vec<String> },
    /// The end of a key, by the beginning of its hash.
    RevokeKey { handle: String },
}

impl Request {
    /// What the log calls it.
    fn name(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::CreateAccount { .. } => "create an account",
            Self::CreateOperatorKey { .. } => "create an operator's key",
            Self::CreateToken { .. } => "create an access token",
            Self::RevokeKey { .. } => "revoke a key",
        }
    }
}

/// What is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    Status(Status),
    Created(Created),
    Revoked(KeyShown),
    /// A sentence that says why not.
    Refused(String),
}

/// A key that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    #[serde(flatten)]
    pub whose: KeyShown,
    pub key: KeyText,
}

/// A key, as people may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyShown {
    /// The beginning of its hash.
    pub handle: String,
    pub account: String,
    /// Of what kind its owner is, such as `operator`.
    pub actor: String,
    pub id: String,
}

impl KeyShown {
    /// The key of an actor, by its hash.
    pub fn new(account: Id, actor: Actor, hash: &KeyHash) -> Self {
        Self {
            handle: hash.handle(),
            account: account.to_string(),
            actor: actor.kind().into(),
            id: actor.id().to_string(),
        }
    }
}

/// The text of a key. Never printed by `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyText(pub String);

impl fmt::Debug for KeyText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<key>")
    }
}

/// How a server was started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub version: String,
    pub process: u32,
    /// What it listens on: (name of the setting, address).
    pub listeners: Vec<(String, String)>,
    pub connections_max: u64,
    /// Files that it may have open; `None` for any number.
    pub open_files_max: Option<u64>,
}

/// Does what was asked for.
pub async fn answer(identity: &Identity, status: &Status, request: &Request) -> Answer {
    let made = match request {
        Request::Status {} => return Answer::Status(status.clone()),
        Request::CreateAccount { name, email } => identity.make_account(name, email).await,
        Request::CreateOperatorKey { account, operator, role, policies, conditions } => {
            let rights =
                Rights { role: role.clone(), policies: policies.clone(), conditions: conditions.clone() };
            identity.make_operator_key(account.as_deref(), operator, &rights).await
        }
        Request::CreateToken { account, name, policies, conditions } => {
            identity.make_token(account.as_deref(), name, policies, conditions).await
        }
        Request::RevokeKey { handle } => {
            return match identity.revoke_by_handle(handle).await {
                Ok(key) => Answer::Revoked(KeyShown::new(key.account, key.actor, &key.hash)),
                Err(refusal) => refused(&refusal),
            };
        }
    };
    match made {
        Ok(IssuedKey { account, actor, hash, text }) => {
            let whose = KeyShown::new(account, actor, &hash);
            Answer::Created(Created { whose, key: KeyText(text) })
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &BrokerError) -> Answer {
    Answer::Refused(refusal.to_string())
}

/// The open socket. Dropping it removes the file.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    _path: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that stays is replaced by the next server.
        let _ = fs::remove_file(&self.0);
    }
}

impl AdminSocket {
    /// Opens the socket in a data folder that this process has claimed: an existing file was left behind.
    ///
    /// # Errors
    /// The path is too long, or the file system takes no sockets.
    pub fn open(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET);
        let length = path.as_os_str().as_bytes().len();
        if length > PATH_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("its path has {length} bytes and can have {PATH_BYTES_MAX}: choose a shorter --data"),
            ));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        let own = SocketFile(path);
        // No process can connect before `listen`, so the mode holds at every time.
        fs::set_permissions(&own.0, Permissions::from_mode(0o600))?;
        socket.listen(16)?;
        socket.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(socket.into())?, _path: own })
    }

    /// Answers until it is stopped.
    pub async fn serve(
        self,
        context: Arc<Context>,
        status: Status,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) {
        let (status, permits) = (Arc::new(status), Arc::new(Semaphore::new(AT_A_TIME)));
        loop {
            let next = async {
                let permits = Arc::clone(&permits).acquire_owned().await;
                (permits, self.listener.accept().await)
            };
            let Some((permits, accepted)) = stop.run_until_cancelled(next).await else { return };
            match accepted {
                Ok((stream, _)) => {
                    let (context, status) = (Arc::clone(&context), Arc::clone(&status));
                    tasks.spawn(async move {
                        if let Err(error) = exchange(stream, &context.identity, &status).await {
                            tracing::info!(%error, "a command at the administrator's socket got no answer");
                        }
                        drop(permits);
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "the administrator's socket cannot accept; trying again");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

async fn exchange(stream: UnixStream, identity: &Identity, status: &Status) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(REQUEST_BYTES_MAX);
    within_timeout(limited.read_line(&mut line)).await?;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => {
            let answer = answer(identity, status, &request).await;
            log(&request, &answer, peer.uid());
            answer
        }
        Err(error) => {
            tracing::info!(%error, uid = peer.uid(), "the administrator's socket did not understand a request");
            Answer::Refused(format!(
                "The server does not know this request; it is version {}, is the command of the same?",
                status.version
            ))
        }
    };
    let mut line = serde_json::to_string(&answer)?;
    line.push('\n');
    within_timeout(stream.write_all(line.as_bytes())).await?;
    within_timeout(stream.shutdown()).await
}

/// Logs each administrator's command with its user, without keys and names.
fn log(request: &Request, answer: &Answer, uid: u32) {
    let what = request.name();
    match answer {
        Answer::Status(_) => tracing::debug!(what, uid, "an administrator asked"),
        Answer::Created(Created { whose: KeyShown { handle, account, actor, id }, .. })
        | Answer::Revoked(KeyShown { handle, account, actor, id }) => {
            tracing::info!(
                what,
                uid,
                key.handle = handle,
                account.id = account,
                actor,
                id,
                "an administrator did this"
            );
        }
        Answer::Refused(_) => tracing::info!(what, uid, "an administrator was refused"),
    }
}

async fn within_timeout<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(WAIT_MAX, doing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
