//! How a piece of long work is shown: its name, what it prints, how long it took, and how it ended.
//!
//! `lint` and `test` run a list of steps through [`Session`]; `run` and `setup` use [`announce`] and [`stream`] alone.
//! A step's output is passed on as it comes, and its last lines are kept, so that the summary can repeat those of
//! the first step that failed.
//! What the steps do is not decided here.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::tally::{Runner, Tally};

/// How many of a step's last lines are kept for the summary. Enough for one failing test with its backtrace.
const TAIL_LINES: usize = 80;

/// How long a command may be silent before a line says that it still runs.
const SILENCE: Duration = Duration::from_secs(30);

/// How long one command may take. Twice the longest that was seen on two slow cores without any cache; without a
/// limit a hung test would block a CI machine for ever.
const COMMAND_LIMIT: Duration = Duration::from_secs(45 * 60);

/// How long the output of a command that has ended may still be held open by something that it left running.
const DRAIN: Duration = Duration::from_secs(3);

/// Says on standard error what is being done now.
pub(crate) fn announce(what: &str) {
    let (bold, plain) = if std::io::stderr().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    eprintln!("{bold}==> {what}{plain}");
}

/// `93.4` seconds as `1 min 33 s`, `3.25` as `3.2 s`.
pub(crate) fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// What a step has printed lately, and what the test runners' closing lines in it add up to.
#[derive(Debug, Default)]
pub(crate) struct Log {
    tail: VecDeque<String>,
    tally: Tally,
    note: Option<&'static str>,
}

impl Log {
    /// Adds a remark for the summary, such as that the step had nothing to do.
    pub(crate) fn note(&mut self, text: &'static str) {
        eprintln!("    {text}");
        self.note = Some(text);
    }

    fn push(&mut self, runner: Option<Runner>, line: &str) {
        if let Some(runner) = runner {
            self.tally.read(runner, line);
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }
}

/// Runs a command, passes on what it prints as it comes, and keeps its last lines in `log`.
///
/// # Errors
/// The command cannot be started, ends with another status than 0, or takes longer than 45 minutes.
pub(crate) fn stream(command: &mut Command, log: &mut Log) -> anyhow::Result<()> {
    let (name, runner) = (describe(command), Runner::of(command));
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always").env("FORCE_COLOR", "1");
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot start `{name}`"))?;
    let lines = read_lines(&mut child);
    let status = pass_on(&mut child, &lines, &name, |line| log.push(runner, line))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// The program and its arguments as one would type them, without its folder, cut to a readable length.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or_default()).chain(command.get_args());
    let mut line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(160) {
        line.truncate(end);
        line.push_str(" ...");
    }
    line
}

/// Both outputs of the child, line by line, in the order in which they came.
fn read_lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let outputs: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|o| Box::new(o) as _), child.stderr.take().map(|o| Box::new(o) as _)];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

/// Prints lines, and hands each to `keep`, until the child has ended and its output with it.
fn pass_on(
    child: &mut Child,
    lines: &mpsc::Receiver<String>,
    name: &str,
    mut keep: impl FnMut(&str),
) -> anyhow::Result<ExitStatus> {
    let started = Instant::now();
    let mut spoke = started;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                spoke = Instant::now();
                print(&line);
                keep(&line);
                continue;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(child.wait()?),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((status, at)) if at.elapsed() > DRAIN => return Ok(status),
            Some(_) => {}
            None if started.elapsed() > COMMAND_LIMIT => {
                child.kill()?;
                bail!("`{name}` was stopped: it ran for more than {}", human(COMMAND_LIMIT));
            }
            None if spoke.elapsed() > SILENCE => {
                spoke = Instant::now();
                print(&format!("    still running after {}: {name}", human(started.elapsed())));
            }
            None => {}
        }
    }
}

/// One line on standard error. A closed terminal must not stop a build.
fn print(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// How a step ended.
#[derive(Debug)]
enum Ending {
    Passed,
    Failed(anyhow::Error, VecDeque<String>),
    /// Not run, because a step that it needs had failed.
    Skipped(&'static str),
}

#[derive(Debug)]
struct Outcome {
    name: &'static str,
    time: Duration,
    tally: Tally,
    note: Option<&'static str>,
    ending: Ending,
}

/// The steps of one `lint` or `test`, as they end.
#[derive(Debug)]
pub(crate) struct Session {
    started: Instant,
    outcomes: Vec<Outcome>,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), outcomes: Vec::new() }
    }

    /// Runs one step and records its result. A failure does not stop the session: the next step may still say
    /// something useful.
    ///
    /// Returns what the step returned, or `None` where it failed.
    pub(crate) fn step<T>(
        &mut self,
        name: &'static str,
        about: &str,
        work: impl FnOnce(&mut Log) -> anyhow::Result<T>,
    ) -> Option<T> {
        announce(&format!("{name}: {about}"));
        let started = Instant::now();
        let mut log = Log::default();
        let result = work(&mut log);
        let time = started.elapsed();
        let (ending, value) = match result {
            Ok(value) => (Ending::Passed, Some(value)),
            Err(error) => {
                eprintln!("    {name}: {error:#}");
                (Ending::Failed(error, log.tail), None)
            }
        };
        eprintln!("    {name}: {} in {}", if value.is_some() { "ok" } else { "FAILED" }, human(time));
        self.outcomes.push(Outcome { name, time, tally: log.tally, note: log.note, ending });
        value
    }

    /// Records that a step was not run, because `needed` had failed.
    pub(crate) fn skip(&mut self, name: &'static str, needed: &'static str) {
        let (time, tally) = (Duration::ZERO, Tally::default());
        self.outcomes.push(Outcome { name, time, tally, note: None, ending: Ending::Skipped(needed) });
    }

    /// Prints the summary: every step, the first failure again, and what the test runners counted in total.
    ///
    /// # Errors
    /// A step has failed or could not be run.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        announce(&format!("summary ({})", human(self.started.elapsed())));
        let width = self.outcomes.iter().map(|outcome| outcome.name.len()).max().unwrap_or(0);
        for outcome in &self.outcomes {
            let (word, why) = match &outcome.ending {
                Ending::Passed => {
                    ("ok     ", outcome.note.map_or_else(|| outcome.tally.to_string(), str::to_owned))
                }
                Ending::Failed(error, _) => ("FAILED ", first_line(error)),
                Ending::Skipped(needed) => ("not run", format!("needs `{needed}`, which failed")),
            };
            eprintln!("    {word}  {:width$}  {:>12}  {why}", outcome.name, human(outcome.time));
        }
        self.repeat_first_failure();
        let total: Tally = self.outcomes.iter().map(|outcome| outcome.tally).sum();
        let broken = self.outcomes.iter().filter(|o| !matches!(o.ending, Ending::Passed)).count();
        // A step that broke without a failing test ran fewer tests than there are: then no number is the truth.
        let is_counted = |o: &Outcome| matches!(o.ending, Ending::Passed) || o.tally.failed > 0;
        if total.ran() && self.outcomes.iter().all(is_counted) {
            println!("{total}");
        }
        if broken > 0 {
            bail!("{broken} of {} steps did not pass", self.outcomes.len());
        }
        Ok(())
    }

    fn repeat_first_failure(&self) {
        for outcome in &self.outcomes {
            if let Ending::Failed(error, tail) = &outcome.ending {
                announce(&format!("the first step that failed: {}", outcome.name));
                tail.iter().for_each(|line| print(line));
                print(&format!("{error:#}"));
                return;
            }
        }
    }
}

/// What fits into a table: an error of many lines is repeated in full elsewhere.
fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_both_output_streams_and_the_command() {
        let mut log = Log::default();
        let error = stream(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]), &mut log);
        let mut lines = Vec::from(log.tail);
        lines.sort();
        assert_eq!(lines, ["one", "two"]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains('3'), "{error}");
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        let mut log = Log::default();
        (0..1000).for_each(|n| log.push(None, &n.to_string()));
        assert_eq!(log.tail.len(), TAIL_LINES);
        assert_eq!(log.tail.back().map(String::as_str), Some("999"));
    }

    #[test]
    fn a_session_with_a_failed_or_skipped_step_fails() {
        let mut session = Session::new();
        assert_eq!(session.step("good", "", |_| Ok(1)), Some(1));
        assert!(session.finish().is_ok());

        let mut session = Session::new();
        assert_eq!(session.step("bad", "", |_| anyhow::Result::<()>::Err(anyhow::anyhow!("no"))), None);
        session.skip("next", "bad");
        assert_eq!(session.finish().unwrap_err().to_string(), "2 of 2 steps did not pass");
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(human(Duration::from_millis(3250)), "3.2 s");
        assert_eq!(human(Duration::from_secs(605)), "10 min 05 s");
    }
}
