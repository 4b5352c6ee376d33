//! One server process: started from the binary on free ports, ended in every way that a server ends.
//!
//! Each server has a data directory and a guardian of its own, because a test may be killed before it can clean up. The
//! guardian is a shell that waits for the test process to end and then removes what it left.
//! [`Server::shared`] is for tests that leave the server as they found it, [`Server::start`] for the others.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use crate::rest::Rest;
use crate::wait::{WAIT_MAX, environment};

mod process;

use process::{Guarded, Process, collected, lines};

/// The operator key that a server is started with unless the test asks otherwise.
pub const KEY: &str = "OperatorKeyOfTheBlackBoxTests0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO";
const _: () = assert!(KEY.len() == 80);

/// How long a server may take from SIGTERM to its end: part of the contract.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The server's binary: `THNG_PUBSUB_SERVER`, else the release build, else the debug build of this workspace.
///
/// # Panics
/// When none of them exists.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = environment("THNG_PUBSUB_SERVER") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "THNG_PUBSUB_SERVER={} is not a file", path.display());
        return path;
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("thng-pubsub-server"))
        .find(|path| path.is_file())
        .expect("the server is built (`cargo build --release --package thng-pubsub-server`) or THNG_PUBSUB_SERVER names it")
}

/// With which settings a server is started.
#[derive(Debug, Clone)]
pub struct Launch {
    flags: BTreeMap<String, String>,
    environment: Vec<(String, String)>,
    shell: Option<String>,
}

impl Default for Launch {
    fn default() -> Self {
        Launch { flags: BTreeMap::new(), environment: Vec::new(), shell: None }
            .flag("--http", "127.0.0.1:0")
            .flag("--mqtt", "127.0.0.1:0")
            .flag("--operator-key", KEY)
    }
}

/// How a process ended that never became a server.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Launch {
    /// Port 0 on both plain listeners, [`KEY`] as the operator's key, and a new data directory.
    #[must_use]
    pub fn new() -> Self {
        Launch::default()
    }

    /// Also TLS listeners, on free ports. Without a certificate the server makes one for development.
    #[must_use]
    pub fn with_tls(self) -> Self {
        self.flag("--https", "127.0.0.1:0").flag("--mqtts", "127.0.0.1:0")
    }

    /// Sets a flag, or replaces its value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Leaves a flag away that is set by default.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.flags.remove(name);
        self
    }

    /// Sets a variable of the server's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it from a shell that has run this line before, such as `umask 0` or `ulimit -n 64`.
    #[must_use]
    pub fn after(mut self, line: &str) -> Self {
        self.shell = Some(line.to_owned());
        self
    }

    /// Starts a server in a new data directory and waits for its `ready` line.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Server {
        self.start_in(data_directory())
    }

    /// Starts a server on a data directory that exists.
    #[must_use]
    #[track_caller]
    pub fn start_in(self, data: TempDir) -> Server {
        self.tried_in(data).unwrap_or_else(|ended| panic!("the server ended at its start: {ended:?}"))
    }

    /// Starts a server that may refuse its settings.
    ///
    /// # Errors
    /// How it ended, where it did.
    #[track_caller]
    pub fn tried(self) -> Result<Server, Ended> {
        self.tried_in(data_directory())
    }

    #[track_caller]
    fn tried_in(self, data: TempDir) -> Result<Server, Ended> {
        let process = Process::start(self.command(data.path()), data.path())?;
        Ok(Server { launch: self, data, process })
    }

    /// Starts a server that is expected to refuse its settings, and waits for its end.
    #[must_use]
    #[track_caller]
    pub fn refused(self) -> Ended {
        self.refused_in(data_directory().path())
    }

    /// As [`Launch::refused`], on a data directory that exists.
    #[must_use]
    #[track_caller]
    pub fn refused_in(self, data: &Path) -> Ended {
        let child = self.command(data).spawn().expect("the server's binary can be run");
        let mut guarded = Guarded::new(child, None);
        let stdout = lines(guarded.child.stdout.take().expect("stdout is piped"));
        let stderr = lines(guarded.child.stderr.take().expect("stderr is piped"));
        let status = guarded.ended_within(WAIT_MAX).expect("a server that cannot start ends by itself");
        let all = |lines: Receiver<String>| lines.iter().collect::<Vec<_>>().join("\n");
        Ended { status, stdout: all(stdout), stderr: all(stderr) }
    }

    fn command(&self, data: &Path) -> Command {
        let mut command = match &self.shell {
            None => Command::new(binary()),
            Some(line) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!(r#"{line} && exec "$0" "$@""#)]).arg(binary());
                shell
            }
        };
        command.arg("serve").arg("--data").arg(data);
        for (name, value) in &self.flags {
            command.args([name, value]);
        }
        without_own_settings(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A setting of the person's own shell must not decide a test.
fn without_own_settings(command: &mut Command) {
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("THNG_PUBSUB_")) {
        command.env_remove(name);
    }
}

/// Runs a command of the server's binary to its end, such as `["keys", "list", "--data", …]`.
///
/// # Panics
/// When it does not end.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ended {
    run_with(arguments, Vec::new())
}

/// As [`run`], with what it reads on standard input.
#[track_caller]
pub fn run_with<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, input: Vec<u8>) -> Ended {
    let mut command = Command::new(binary());
    command.args(arguments);
    without_own_settings(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut guarded = Guarded::new(command.spawn().expect("the server's binary can be run"), None);
    let mut to = guarded.child.stdin.take().expect("stdin is piped");
    // A command that refuses early does not read it all.
    std::thread::spawn(move || to.write_all(&input));
    let (stdout, all_out) = collected(guarded.child.stdout.take().expect("stdout is piped"));
    let (stderr, all_err) = collected(guarded.child.stderr.take().expect("stderr is piped"));
    let status = guarded.ended_within(WAIT_MAX).expect("a command ends by itself");
    for all in [all_out, all_err] {
        all.join().expect("no reader panicked");
    }
    let text = |text: Arc<Mutex<String>>| text.lock().expect("no reader panicked").clone();
    Ended { status, stdout: text(stdout), stderr: text(stderr) }
}

/// Runs a command that the system kills as soon as one of its files has this many KiB.
///
/// # Panics
/// When it ends in another way.
#[track_caller]
pub fn run_killed<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, kib: u32) {
    let mut command = Command::new("sh");
    // In blocks of 512 bytes, as POSIX has it.
    let line = format!(r#"ulimit -c 0; ulimit -f {}; exec "$0" "$@""#, kib * 2);
    command.args(["-c", &line]).arg(binary()).args(arguments);
    without_own_settings(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut guarded = Guarded::new(command.spawn().expect("a shell can be run"), None);
    let status = guarded.ended_within(WAIT_MAX).expect("a command ends by itself");
    assert_eq!(status.code(), None, "it was to be killed: {status}");
}

/// The niceness of a command when it has ended, whatever the result: 0 is usual, and 19 the lowest priority.
///
/// # Panics
/// When it does not end.
pub fn niceness<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> i64 {
    let mut command = Command::new(binary());
    command.args(arguments);
    without_own_settings(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let guarded = Guarded::new(command.spawn().expect("the server's binary can be run"), None);
    let stat = format!("/proc/{}/stat", guarded.child.id());
    // A process that has ended keeps its line until it is waited for.
    crate::wait::until("the command has ended", || {
        let line = std::fs::read_to_string(&stat).expect("it is there until it is waited for");
        let (_, fields) = line.rsplit_once(')').expect("the name is in parentheses");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        (fields[0] == "Z").then(|| fields[16].parse().expect("a number"))
    })
}

impl Ended {
    /// What it printed on standard output, where it ended well.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn printed(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }

    /// What it said on standard error, where it refused.
    ///
    /// # Panics
    /// When it did not, and when it printed something all the same or crashed.
    #[track_caller]
    pub fn refusal(self) -> String {
        assert!(matches!(self.status.code(), Some(1 | 2)), "{self:?}");
        assert_eq!(self.stdout, "", "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }
}

/// A running server, its data, and how it was started.
#[derive(Debug)]
pub struct Server {
    // Before `data`, because fields are dropped in this order and a dead process writes no more files.
    process: Process,
    launch: Launch,
    data: TempDir,
}

impl Server {
    /// A server of the test's own.
    #[must_use]
    #[track_caller]
    pub fn start() -> Server {
        Launch::new().start()
    }

    /// The server that the tests of one process share: each brings things of its own and leaves it running.
    #[must_use]
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Server::start)
    }

    /// Where HTTP, WebSocket and MQTT over WebSocket are served.
    #[must_use]
    #[track_caller]
    pub fn http(&self) -> SocketAddr {
        self.process.listener("http").expect("the server was started with an HTTP listener")
    }

    /// Where MQTT is served over TCP.
    #[must_use]
    #[track_caller]
    pub fn mqtt(&self) -> SocketAddr {
        self.process.listener("mqtt").expect("the server was started with an MQTT listener")
    }

    /// Where HTTP is served over TLS.
    #[must_use]
    #[track_caller]
    pub fn https(&self) -> SocketAddr {
        self.process.listener("https").expect("the server was started with an HTTPS listener")
    }

    /// Where MQTT is served over TLS.
    #[must_use]
    #[track_caller]
    pub fn mqtts(&self) -> SocketAddr {
        self.process.listener("mqtts").expect("the server was started with a listener for MQTT over TLS")
    }

    /// The `ready` line as it was printed.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.process.ready
    }

    /// A REST client with the operator's key.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest::new(self.http(), Some(self.key()))
    }

    /// A REST client with another key.
    #[must_use]
    pub fn rest_as(&self, key: &str) -> Rest {
        Rest::new(self.http(), Some(key))
    }

    /// The operator's key that this server was started with; [`KEY`] if it made one itself.
    #[must_use]
    pub fn key(&self) -> &str {
        self.launch.flags.get("--operator-key").map_or(KEY, String::as_str)
    }

    /// Runs a command of the binary on the data of this server, such as `["keys", "list"]`.
    #[must_use]
    #[track_caller]
    pub fn administer(&self, arguments: &[&str]) -> Ended {
        let data = self.data().as_os_str();
        run(arguments.iter().map(OsStr::new).chain([OsStr::new("--data"), data]))
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// What the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr.lock().expect("no reader panicked").clone()
    }

    /// Asks the server by SIGHUP to read its certificates again.
    #[track_caller]
    pub fn hang_up(&self) {
        self.process.guarded.signal("HUP");
    }

    /// Ends the process as a power cut would, without a word of warning.
    pub fn kill9(&mut self) {
        self.process.guarded.end();
    }

    /// Asks the process to stop, and returns what else it had printed on standard output.
    ///
    /// # Panics
    /// When it does not end within [`DRAIN`], or not with exit code 0.
    #[track_caller]
    pub fn terminate(&mut self) -> Vec<String> {
        self.process.guarded.signal("TERM");
        let status = self.process.guarded.ended_within(DRAIN);
        let status = status.unwrap_or_else(|| panic!("the server still runs {DRAIN:?} after SIGTERM"));
        assert_eq!(status.code(), Some(0), "exit code after SIGTERM; the log:\n{}", self.log());
        self.process.stdout.get_mut().expect("no reader panicked").iter().collect()
    }

    /// Starts a server on the data of one that has ended, or is ended now by [`Server::kill9`].
    #[must_use]
    #[track_caller]
    pub fn restart(mut self) -> Server {
        self.kill9();
        let Server { launch, data, .. } = self;
        launch.start_in(data)
    }

    /// As [`Server::restart`], with other settings.
    #[must_use]
    #[track_caller]
    pub fn restart_with(mut self, change: impl FnOnce(Launch) -> Launch) -> Server {
        self.kill9();
        let Server { launch, data, .. } = self;
        change(launch).start_in(data)
    }

    /// The process, for those who do more to it than stop it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.guarded.child.id()
    }

    /// Memory that the process has resident, in bytes.
    #[must_use]
    #[track_caller]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// By how many bytes its resident memory has grown over `during`, whose result is kept until it was measured.
    #[track_caller]
    pub fn growth<T>(&self, mut during: impl FnMut() -> T) -> u64 {
        // The first time warms up what a server allocates once: threads, pools, the allocator's own arenas.
        drop(during());
        let before = self.resident_bytes();
        let guard = during();
        self.assert_serves();
        let after = self.resident_bytes();
        drop(guard);
        after.saturating_sub(before)
    }

    /// The most memory that the process ever had resident, in bytes: shows what a look now and then would miss.
    #[must_use]
    #[track_caller]
    pub fn resident_bytes_at_the_most(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The threads that it has now, where the operating system tells.
    #[track_caller]
    pub fn threads(&self) -> u64 {
        self.status("Threads:").parse().expect("a number of threads")
    }

    #[track_caller]
    fn memory(&self, measure: &str) -> u64 {
        let kib: u64 = self.status(measure).trim_end_matches(" kB").parse().expect("memory is in kB");
        kib * 1024
    }

    #[track_caller]
    fn status(&self, measure: &str) -> String {
        let path = format!("/proc/{}/status", self.process.guarded.child.id());
        let status = fs::read_to_string(path).expect("the server runs, and on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(measure)).expect("the measure is listed");
        line.trim().to_owned()
    }

    /// The value of one sample of `/metrics`, such as `disconnects_total{protocol="mqtt",reason="slow_consumer"}`; 0 where nothing
    /// was counted yet.
    ///
    /// # Panics
    /// When `/metrics` is not served.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, sample: &str) -> u64 {
        let metrics = Rest::new(self.http(), None).send("GET", "/metrics", &[], None);
        metrics.assert_status(200);
        let value = metrics.text().lines().find_map(|line| {
            line.strip_prefix("thng_pubsub_")?.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok()
        });
        value.unwrap_or_default()
    }

    /// Processor time that the process has used.
    #[must_use]
    #[track_caller]
    pub fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.guarded.child.id());
        let stat = fs::read_to_string(path).expect("the server runs, and on Linux");
        // The name, which is in parentheses, is followed by 11 fields, then user and system time in hundredths.
        let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
        let times =
            fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(times.sum::<u64>() * 10)
    }

    /// Shows that the server still answers, on each of its ports.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn assert_serves(&self) {
        let health = Rest::new(self.http(), None).get("/health");
        assert_eq!(health.status, 200, "GET /health");
        let mut client = crate::mqtt::Client::connect(self);
        client.ping();
    }
}

/// A new empty directory, removed with its owner.
fn data_directory() -> TempDir {
    tempfile::Builder::new().prefix("thng-pubsub-test-").tempdir().expect("a temporary directory can be made")
}
