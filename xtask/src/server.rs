//! Builds the server and runs it as a child process: for `run`, and for the suites of `test` and `bench`.
//!
//! Relies on the server's contract only: its flags, its `ready` line on standard output, its key file, and that
//! SIGTERM stops it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use crate::run;
use crate::setup;
use crate::step::{Log, stream};

/// How long the server may take from its start to its `ready` line. It opens a database and may have to recover it.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long the server may take to stop after SIGTERM; it promises 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Every listener on a free port, TLS with the certificate for development, and a log of what is wrong only.
pub(crate) const ALL_LISTENERS: [&str; 10] = [
    "--http",
    "127.0.0.1:0",
    "--mqtt",
    "127.0.0.1:0",
    "--https",
    "127.0.0.1:0",
    "--mqtts",
    "127.0.0.1:0",
    "--log",
    "warn",
];

/// Which build of the server is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Where cargo leaves the server's binary.
pub(crate) fn binary(root: &Path, profile: Profile) -> PathBuf {
    setup::target_dir(root).join(profile.folder()).join("thng-pubsub-server")
}

/// Builds the server, and returns its binary.
pub(crate) fn build(root: &Path, profile: Profile, log: &mut Log) -> anyhow::Result<PathBuf> {
    let mut cargo = setup::cargo(root);
    cargo.args(["build", "--package", "thng-pubsub-server", "--bin", "thng-pubsub-server"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    stream(&mut cargo, log)?;
    Ok(binary(root, profile))
}

/// A server that runs until this value is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// The program.
    pub(crate) binary: PathBuf,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Where it listens for HTTP, `host:port`, or `off`.
    pub(crate) http: String,
    /// Where it listens for MQTT, `host:port`, or `off`.
    pub(crate) mqtt: String,
    /// Where it listens for HTTPS, `host:port`, or `off`.
    pub(crate) https: String,
    /// Where it listens for MQTT over TLS, `host:port`, or `off`.
    pub(crate) mqtts: String,
    /// The operator's API key.
    pub(crate) operator_key: String,
}

impl Running {
    /// Starts the server with `flags` on the folder `data`, and waits for its `ready` line. Its log goes to our
    /// standard error.
    ///
    /// # Errors
    /// It cannot be started, ends before it is ready, or is not ready within a minute.
    pub(crate) fn start(binary: &Path, data: &Path, flags: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data").arg(data).args(flags);
        // A process group of its own: Ctrl-C in the terminal reaches only us, and we send one SIGTERM.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        match wait_until_ready(&mut child).and_then(|ready| Ok((ready, read_key(data, flags)?))) {
            Ok((Ready { http, mqtt, https, mqtts }, operator_key)) => {
                let (binary, data) = (binary.to_owned(), data.to_owned());
                Ok(Self { child, binary, data, http, mqtt, https, mqtts, operator_key })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server has ended by itself or was stopped, and calls `each` ten times a second meanwhile.
    pub(crate) fn wait(&mut self, mut each: impl FnMut(&mut Child)) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            each(&mut self.child);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks the server to drain and stop, and waits for it.
    ///
    /// # Errors
    /// It does not end within 15 s (it is then killed), or ends with another status than 0.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let status = end(&mut self.child)?;
        if !status.success() {
            bail!("the server did not stop cleanly ({status})");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = end(&mut self.child);
    }
}

/// Sends SIGTERM to a child of ours.
pub(crate) fn terminate(child: &Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        // It may just have ended, which is what is wanted.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Ends a child of ours: politely, then not.
pub(crate) fn end(child: &mut Child) -> anyhow::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    terminate(child);
    let asked = Instant::now();
    while asked.elapsed() < STOP_LIMIT {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    let status = child.wait()?;
    Err(anyhow!(
        "a process did not stop within {} s of SIGTERM and was killed ({status})",
        STOP_LIMIT.as_secs()
    ))
}

/// The addresses of a `ready` line.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    http: String,
    mqtt: String,
    https: String,
    mqtts: String,
}

/// Reads standard output until the `ready` line, and goes on reading afterwards so that the pipe never fills.
fn wait_until_ready(child: &mut Child) -> anyhow::Result<Ready> {
    let output = child.stdout.take().expect("standard output is piped");
    let (sender, first_line) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines();
        if let Some(Ok(line)) = lines.next() {
            let _ = sender.send(line);
        }
        lines.map_while(Result::ok).for_each(drop);
    });
    match first_line.recv_timeout(READY_LIMIT) {
        Ok(line) => parse_ready(&line),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            bail!("the server was not ready after {} s", READY_LIMIT.as_secs())
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let status = child.wait()?;
            bail!("the server ended before it was ready ({status}); its log above says why")
        }
    }
}

/// `ready http=127.0.0.1:8080 mqtt=127.0.0.1:1883`, with further listeners in any order.
/// A listener that is not named is off.
fn parse_ready(line: &str) -> anyhow::Result<Ready> {
    let mut words = line.split_whitespace();
    if words.next() != Some("ready") {
        bail!("the server's first line should be `ready http=... mqtt=...`, but is `{line}`");
    }
    let listeners: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    let address = |name: &str| {
        let found = listeners.iter().find(|(listener, _)| *listener == name);
        found.map_or("off", |(_, address)| address).to_owned()
    };
    Ok(Ready {
        http: address("http"),
        mqtt: address("mqtt"),
        https: address("https"),
        mqtts: address("mqtts"),
    })
}

/// The key that the server made and wrote down, or, where it was given one, that one.
fn read_key(data: &Path, flags: &[String]) -> anyhow::Result<String> {
    let file = data.join("operator.key");
    let key = match std::fs::read_to_string(&file) {
        Ok(key) => key,
        Err(error) => run::setting(flags, "--operator-key").with_context(|| {
            format!(
                "cannot read {} ({error}): the folder was first used with a key of its own; give it again with \
                 `-- --operator-key KEY`",
                file.display()
            )
        })?,
    };
    Ok(key.trim().to_owned())
}

/// Whether an address can be listened on now. Asked before a long build, so that a taken port is known at once.
///
/// # Errors
/// It cannot; the message names the flag that chooses another.
pub(crate) fn check_free(flag: &str, address: &str) -> anyhow::Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "{address} cannot be listened on ({error}): stop what uses it, or choose another address, \
             for instance `cargo xtask run -- {flag} 127.0.0.1:0` for any free port"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_bound_ports() {
        let line =
            "ready http=127.0.0.1:40001 mqtt=127.0.0.1:40002 https=127.0.0.1:40003 mqtts=127.0.0.1:40004";
        let Ready { http, mqtt, https, mqtts } = parse_ready(line).unwrap();
        let ports = [40001, 40002, 40003, 40004].map(|port| format!("127.0.0.1:{port}"));
        assert_eq!([http, mqtt, https, mqtts], ports);
    }

    #[test]
    fn any_other_first_line_is_an_error_that_shows_it() {
        for line in ["", "listening on 8080", "READY http=127.0.0.1:1"] {
            assert!(parse_ready(line).unwrap_err().to_string().contains(line));
        }
    }

    #[test]
    fn a_listener_that_is_not_named_is_off() {
        assert_eq!(parse_ready("ready mqtt=127.0.0.1:1").unwrap().http, "off");
    }

    #[test]
    fn a_taken_port_is_reported_with_the_flag_that_chooses_another() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = check_free("--mqtt", &address).unwrap_err().to_string();
        assert!(error.contains(&address) && error.contains("--mqtt"), "{error}");
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported() {
        let data = tempfile::tempdir().unwrap();
        let error = Running::start(Path::new("true"), data.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("ended before it was ready"), "{error}");
    }

    #[test]
    fn a_key_that_was_given_counts_where_none_was_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let given = ["--operator-key", "given"].map(str::to_owned);
        assert_eq!(read_key(folder.path(), &given).unwrap(), "given");
        assert!(read_key(folder.path(), &[]).unwrap_err().to_string().contains("--operator-key KEY"));
        std::fs::write(folder.path().join("operator.key"), "written\n").unwrap();
        assert_eq!(read_key(folder.path(), &given).unwrap(), "written");
    }

    #[test]
    fn dropping_a_running_server_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("operator.key"), "k\n").unwrap();
        let script = folder.path().join("server");
        std::fs::write(
            &script,
            "#!/bin/sh\necho ready http=127.0.0.1:1 mqtt=127.0.0.1:2\nexec tail -f /dev/null\n",
        )
        .unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let running = Running::start(&script, folder.path(), &[]).unwrap();
        assert_eq!(running.operator_key, "k");
        let pid = rustix::process::Pid::from_raw(running.pid().cast_signed()).unwrap();
        drop(running);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it was waited for, so its id is gone");
    }
}
