//! Eclipse Paho's clients that we did not write: Debian's C library and PyPI's `paho-mqtt`, each in a small program
//! that takes its commands from a pipe (`c/paho.c`, `python/paho_mqtt.py`).
//!
//! Paho's client for browsers is in `js/`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use thng_pubsub_tests::command::Program;
use thng_pubsub_tests::exercise::{self, Client, Setting, Version};
use thng_pubsub_tests::wait::environment;

/// A program with one client in it.
struct Paho {
    program: Program,
    /// What came while something else was waited for.
    messages: VecDeque<(String, String)>,
}

impl Paho {
    #[track_caller]
    fn connect(mut command: Command, setting: &Setting) -> Paho {
        let version = match setting.version {
            Version::Mqtt31 => "3.1",
            Version::Mqtt311 => "3.1.1",
        };
        let session = if setting.clean_session { "clean" } else { "durable" };
        command.args([&setting.address.to_string(), setting.key, version, &setting.client_id, session]);
        let mut paho = Paho { program: Program::start(command), messages: VecDeque::new() };
        assert!(!paho.back(), "a client that is new has no session");
        paho
    }

    /// The next line that tells of something else than a message; messages before it are kept.
    #[track_caller]
    fn answer(&mut self) -> String {
        loop {
            let line = self.program.line();
            match message(&line) {
                Some(message) => self.messages.push_back(message),
                None => return line,
            }
        }
    }
}

fn message(line: &str) -> Option<(String, String)> {
    let (topic, payload) = line.strip_prefix("message ")?.split_once(' ')?;
    Some((topic.to_owned(), payload.to_owned()))
}

impl Client for Paho {
    fn subscribe(&mut self, topic: &str, qos: u8) -> Option<u8> {
        self.program.tell(&format!("subscribe {qos} {topic}"));
        match self.answer().as_str() {
            "refused" => None,
            other => Some(other.strip_prefix("granted ").and_then(|qos| qos.parse().ok()).expect(other)),
        }
    }

    fn publish(&mut self, topic: &str, payload: &str) {
        self.program.tell(&format!("publish {topic} {payload}"));
        assert_eq!(self.answer(), "published");
    }

    fn message(&mut self) -> (String, String) {
        self.messages.pop_front().unwrap_or_else(|| {
            let line = self.program.line();
            message(&line).unwrap_or_else(|| panic!("a message, and not {line:?}"))
        })
    }

    fn back(&mut self) -> bool {
        match self.answer().as_str() {
            "connected 0" => false,
            "connected 1" => true,
            other => panic!("the client connects, and does not say {other:?}"),
        }
    }
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program in C, in a folder that goes with the test.
#[track_caller]
fn compiled() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let program = folder.path().join("paho");
    let strict = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror"];
    let mut cc = Command::new("cc");
    cc.args(strict).arg(here("c/paho.c")).arg("-o").arg(&program).arg("-lpaho-mqtt3c");
    let status = cc.status().expect("a C compiler is installed; on Debian: apt-get install build-essential");
    assert!(status.success(), "c/paho.c does not build; on Debian: apt-get install libpaho-mqtt-dev");
    (folder, program)
}

/// The Python that has the packages of `python/requirements.txt`.
#[track_caller]
fn python() -> Command {
    let installed = here("../target/paho-python/bin/python");
    let python = environment("THNG_PUBSUB_PAHO_PYTHON").map_or(installed, PathBuf::from);
    assert!(
        python.is_file(),
        "there is no {}: `cargo xtask test blackbox` makes it, or THNG_PUBSUB_PAHO_PYTHON names a Python that has \
         tests/python/requirements.txt",
        python.display()
    );
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(here("python/paho_mqtt.py"));
    command
}

#[test]
fn paho_for_c_receives_publishes_and_reconnects() {
    let (_folder, program) = compiled();
    for version in [Version::Mqtt31, Version::Mqtt311] {
        exercise::run(version, |setting| Paho::connect(Command::new(&program), setting));
    }
}

#[test]
fn paho_for_python_receives_publishes_and_reconnects() {
    for version in [Version::Mqtt31, Version::Mqtt311] {
        exercise::run(version, |setting| Paho::connect(python(), setting));
    }
}

#[test]
fn paho_for_c_with_a_durable_session_misses_nothing() {
    let (_folder, program) = compiled();
    for version in [Version::Mqtt31, Version::Mqtt311] {
        exercise::run_durable(version, |setting| Paho::connect(Command::new(&program), setting));
    }
}

#[test]
fn paho_for_python_with_a_durable_session_misses_nothing() {
    for version in [Version::Mqtt31, Version::Mqtt311] {
        exercise::run_durable(version, |setting| Paho::connect(python(), setting));
    }
}
