//! Latency of writes beside a backup and an export, from when a write is due to its PUBACK.
//!
//! Phases alternate: writes alone, beside a backup, alone, beside an export, and so on. All of them are one run over the
//! same connections. What comes right behind a copy counts for it, because the server then catches up with its log.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::Settings;
use super::latency::{Counts, Run, Steady, Until, due_in};
use crate::fill::fill;
use crate::target::Target;

/// Copies of each kind.
const ROUNDS: usize = 3;

/// The time behind a copy that counts for it.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The time between two phases that counts for none: a large file is deleted in it.
const REST: Duration = Duration::from_secs(1);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Values in the database before the first write.
    pub values: u64,
    /// Writes per second that were due.
    pub per_s: u32,
    /// Phases without a copy.
    pub alone: Phases,
    /// Phases with a backup.
    pub backup: Phases,
    /// The median of p99 beside a backup divided by that of the phase before.
    pub backup_ratio: f64,
    /// Phases with an export.
    pub export: Phases,
    /// The same ratio for exports.
    pub export_ratio: f64,
    /// Writes that were sent, from warm-up to end.
    pub sent: u64,
    /// Writes without a PUBACK.
    pub lost: u64,
    /// Acknowledgements without a write.
    pub surplus: u64,
}

/// All phases of a kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phases {
    /// 99 of 100 writes were acknowledged within this time, in milliseconds: the median phase.
    pub p99_ms: f64,
    /// The best phase.
    pub p99_min_ms: f64,
    /// The worst phase.
    pub p99_max_ms: f64,
    /// All writes of all phases were.
    pub max_ms: f64,
    /// All writes were sent within this time after they were due: our own share of that.
    pub late_max_ms: f64,
    /// How long a phase took: the median.
    pub seconds: f64,
}

/// A command of the server that copies its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    Backup,
    Export,
}

/// A phase without a copy and the one with a copy behind it, as numbers of messages.
#[derive(Debug)]
struct Pair {
    copy: Copy,
    alone: Range<u64>,
    beside: Range<u64>,
}

/// Fills the database, and keeps to the schedule while copies are made of it.
pub(super) fn measure(
    values: u64,
    publishers: usize,
    per_s: u32,
    target: &Target,
    settings: &Settings,
) -> anyhow::Result<Figures> {
    let copies = Copies::of(target)?;
    fill(values, target)?;
    let mut steady = Steady::open(publishers, per_s, Until::Acknowledged, target, settings)?;
    let pass = |steady: &mut Steady, time| -> anyhow::Result<Range<u64>> {
        let start = steady.sent();
        steady.until(start + due_in(time, per_s))?;
        Ok(start..steady.sent())
    };
    pass(&mut steady, settings.warm_up)?;
    let mut pairs = Vec::new();
    for copy in [Copy::Backup, Copy::Export].into_iter().cycle().take(2 * ROUNDS) {
        let alone = pass(&mut steady, settings.measure)?;
        let mut copying = copies.start(copy)?;
        let start = steady.sent();
        while !copying.is_done()? {
            pass(&mut steady, Duration::from_millis(20))?;
        }
        pass(&mut steady, CATCH_UP)?;
        pairs.push(Pair { copy, alone, beside: start..steady.sent() });
        // Beside the schedule, because a large file takes its time.
        let deletion = std::thread::spawn(move || drop(copying));
        pass(&mut steady, REST)?;
        deletion.join().expect("the thread does not panic");
    }
    let run = steady.drained()?;
    Ok(figures(values, per_s, &run, &pairs))
}

fn figures(values: u64, per_s: u32, run: &Run, pairs: &[Pair]) -> Figures {
    let of = |copy| pairs.iter().filter(move |pair| pair.copy == copy);
    let beside = |copy| Phases::of(run, per_s, of(copy).map(|pair| &pair.beside));
    let ratio = |copy| {
        let p99 = |range: &Range<u64>| run.times(range.clone()).p99_ms;
        median(of(copy).map(|pair| p99(&pair.beside) / p99(&pair.alone)).collect())
    };
    let Counts { sent, lost, surplus } = run.counts();
    Figures {
        values,
        per_s,
        alone: Phases::of(run, per_s, pairs.iter().map(|pair| &pair.alone)),
        backup: beside(Copy::Backup),
        backup_ratio: ratio(Copy::Backup),
        export: beside(Copy::Export),
        export_ratio: ratio(Copy::Export),
        sent,
        lost,
        surplus,
    }
}

impl Phases {
    fn of<'p>(run: &Run, per_s: u32, phases: impl Iterator<Item = &'p Range<u64>> + Clone) -> Self {
        let times: Vec<_> = phases.clone().map(|phase| run.times(phase.clone())).collect();
        let p99: Vec<f64> = times.iter().map(|times| times.p99_ms).collect();
        Self {
            p99_min_ms: p99.iter().copied().fold(f64::INFINITY, f64::min),
            p99_max_ms: p99.iter().copied().fold(0.0, f64::max),
            p99_ms: median(p99),
            max_ms: times.iter().map(|times| times.max_ms).fold(0.0, f64::max),
            late_max_ms: times.iter().map(|times| times.late_max_ms).fold(0.0, f64::max),
            seconds: median(
                phases.map(|phase| (phase.end - phase.start) as f64 / f64::from(per_s)).collect(),
            ),
        }
    }
}

/// The middle one, of an even number the upper of the two.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// Makes copies of a server's database.
#[derive(Debug)]
struct Copies {
    program: PathBuf,
    data: PathBuf,
}

impl Copies {
    fn of(target: &Target) -> anyhow::Result<Self> {
        match (&target.program, &target.data) {
            (Some(program), Some(data)) => Ok(Self { program: program.clone(), data: data.clone() }),
            _ => bail!("writes beside a copy need --program and --data of a thng-pubsub server"),
        }
    }

    /// Starts a copy into a file next to the data folder, so on the same disk.
    fn start(&self, copy: Copy) -> anyhow::Result<Copying> {
        let name = match copy {
            Copy::Backup => "backup",
            Copy::Export => "export",
        };
        let file = self.data.parent().unwrap_or(Path::new(".")).join(format!("bench.{name}"));
        let mut command = Command::new(&self.program);
        command.arg(name).arg("--data").arg(&self.data).arg(&file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Copying { name, child, file })
    }
}

/// A copy that is being made. Dropping it ends the command and deletes the file.
#[derive(Debug)]
struct Copying {
    name: &'static str,
    child: Child,
    file: PathBuf,
}

impl Copying {
    fn is_done(&mut self) -> anyhow::Result<bool> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => bail!("`{}` failed: {status}", self.name),
        }
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(folder: &Path, program: &str) -> Copies {
        Copies { program: program.into(), data: folder.join("data") }
    }

    #[test]
    fn a_copy_needs_a_program_and_its_folder() {
        let mut target = Target::anonymous("127.0.0.1:1".parse().unwrap());
        assert!(Copies::of(&target).is_err());
        target.program = Some("true".into());
        assert!(Copies::of(&target).is_err());
        target.data = Some("data".into());
        assert!(Copies::of(&target).is_ok());
    }

    #[test]
    fn a_command_that_fails_is_an_error_and_no_file_is_left() {
        let folder = std::env::temp_dir().join(format!("bench-beside-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut copying = copies(&folder, "false").start(Copy::Export).unwrap();
        fs::write(&copying.file, "half of it").unwrap();
        let failed = loop {
            match copying.is_done() {
                Ok(false) => std::thread::yield_now(),
                done => break done.unwrap_err().to_string(),
            }
        };
        assert!(failed.contains("`export` failed"), "{failed}");
        drop(copying);
        fs::remove_dir(folder).expect("it is empty");
    }

    #[test]
    fn the_median_of_an_even_number_is_the_upper_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 3.0);
    }
}
