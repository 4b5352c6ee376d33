//! The process behind a server: its output, its end, and the guardian that ends it when the test cannot.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Ended;
use crate::wait::{WAIT_MAX, until};

/// A process that became ready.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) guarded: Guarded,
    pub(super) ready: String,
    // Behind a lock only so that a server can be shared between threads.
    pub(super) stdout: Mutex<Receiver<String>>,
    pub(super) stderr: Arc<Mutex<String>>,
}

impl Process {
    /// Waits for the `ready` line, or for the end of a process that does not become ready.
    #[track_caller]
    pub(super) fn start(mut command: Command, data: &Path) -> Result<Process, Ended> {
        let child = command.spawn().expect("the server's binary can be run");
        let mut guarded = Guarded::new(child, Some(data));
        let stdout = lines(guarded.child.stdout.take().expect("stdout is piped"));
        let (stderr, whole) = collected(guarded.child.stderr.take().expect("stderr is piped"));
        let log = || stderr.lock().expect("no reader panicked").clone();
        let ready = match stdout.recv_timeout(WAIT_MAX) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no `ready` line in {WAIT_MAX:?}; the log:\n{}", log()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = guarded.ended_within(WAIT_MAX).expect("who closes standard output ends");
                whole.join().expect("no reader panicked");
                return Err(Ended { status, stdout: String::new(), stderr: log() });
            }
        };
        assert!(ready.starts_with("ready "), "the first line is the `ready` line, not {ready:?}");
        Ok(Process { guarded, ready, stdout: Mutex::new(stdout), stderr })
    }

    pub(super) fn listener(&self, name: &str) -> Option<SocketAddr> {
        let address = self.ready.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
        address.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.stderr.lock().map_or_else(|_| String::new(), |log| log.clone());
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!("--- the server's log, its last lines:");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// A child process that does not outlive the test, however the test ends.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) child: Child,
    guardian: Child,
}

impl Guarded {
    /// Guards a process and, where it is a server of its own, its data.
    pub(super) fn new(child: Child, data: Option<&Path>) -> Guarded {
        // Its standard input ends with the test process: `read` returns, and the server and its data go too. A process
        // group of its own keeps it alive when a test that hangs is killed with its whole group.
        let guardian = Command::new("sh")
            .process_group(0)
            .args([
                "-c",
                r#"read -r _; kill -9 "$1"; [ -z "$2" ] || rm -rf -- "$2""#,
                "guardian",
                &child.id().to_string(),
            ])
            .arg(data.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        Guarded { child, guardian }
    }

    /// `kill -9`, and the wait for the end.
    pub(super) fn end(&mut self) {
        // The guardian first: it must never see a process number that the system has given to another.
        let _ = self.guardian.kill();
        let _ = self.guardian.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    #[track_caller]
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", r#"kill -"$1" "$2""#, "signal", name, &pid]).status();
        assert!(sent.expect("there is a shell").success(), "SIG{name} reaches the server");
    }

    pub(super) fn ended_within(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        until("the process ended or its time is up", || {
            match self.child.try_wait().expect("the child is ours") {
                Some(status) => Some(Some(status)),
                None if Instant::now() >= deadline => Some(None),
                None => None,
            }
        })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads lines on a thread, until the writer's end.
pub(super) fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// Collects text on a thread, so that the writer never blocks on a full pipe. The thread ends when all was read.
pub(super) fn collected(from: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    let thread = std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            into.lock().expect("no reader panicked").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (text, thread)
}
