//! Programs of others: started with their own arguments, read and written line by line, ended with the test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use crate::wait::WAIT_MAX;

/// A program that runs.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    // A program that reads its end there ends by itself when the test is killed.
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Program {
    /// Starts a program that the search path names, and sees to it that it prints each line when it has it.
    ///
    /// Left to itself a program keeps what it prints into a pipe until there are some KiB; `stdbuf` changes that.
    ///
    /// # Panics
    /// When it is not installed, with the name of the package that has it.
    #[must_use]
    #[track_caller]
    pub fn start_line_by_line(name: &str, package: &str, arguments: &[&str]) -> Program {
        assert!(is_installed(name), "`{name}` is not installed; on Debian: apt-get install {package}");
        let mut command = Command::new("stdbuf");
        command.args(["--output=L", name]).args(arguments);
        let mut program = Program::start(command);
        name.clone_into(&mut program.name);
        program
    }

    /// Starts a program that prints each line when it has it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(mut command: Command) -> Program {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("`{name}` cannot be started: {error}"));
        let input = child.stdin.take().expect("stdin is piped");
        let from = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Program { name, child, input, lines }
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it does not read any more.
    #[track_caller]
    pub fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.input.write_all(line.as_bytes()).unwrap_or_else(|error| panic!("`{}`: {error}", self.name));
    }

    /// The next line of its standard output.
    ///
    /// # Panics
    /// When it ends, or prints nothing for [`WAIT_MAX`].
    #[must_use]
    #[track_caller]
    pub fn line(&self) -> String {
        match self.lines.recv_timeout(WAIT_MAX) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("`{}` printed nothing in {WAIT_MAX:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("`{}` ended", self.name),
        }
    }

    /// The first line that begins so; those before it are passed over.
    #[track_caller]
    pub fn line_that_starts(&self, with: &str) -> String {
        loop {
            let line = self.line();
            if line.starts_with(with) {
                return line;
            }
        }
    }

    /// Waits for its end and returns its exit code.
    ///
    /// # Panics
    /// When it still runs after [`WAIT_MAX`].
    #[track_caller]
    pub fn exit_code(mut self) -> Option<i32> {
        let ended = crate::wait::until(format!("`{}` ends", self.name), || {
            self.child.try_wait().expect("the child is ours")
        });
        ended.code()
    }
}

fn is_installed(name: &str) -> bool {
    let output = Command::new("sh")
        .args(["-c", r#"command -v "$1""#, "is_installed", name])
        .stdout(Stdio::null())
        .status();
    output.expect("there is a shell").success()
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
