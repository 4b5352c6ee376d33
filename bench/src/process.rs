//! Reads a process's CPU time, memory and disk writes from Linux.
//!
//! Read before and after a measurement, from `/proc`; the broker is asked nothing.

use std::time::Duration;

use anyhow::Context;

/// CPU time that a process has used since its start, in user and kernel mode, all threads together.
/// Its resolution is a clock tick, usually 10 ms.
///
/// # Errors
/// There is no such process (or no `/proc`).
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let file = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let ticks = cpu_ticks(&text).with_context(|| format!("cannot understand {file}"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// utime + stime, the 14th and 15th field. The second is the program's name in parentheses, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

/// Memory of a process that is in RAM, in KiB (`VmRSS`).
///
/// # Errors
/// There is no such process (or no `/proc`).
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    rss(&text).with_context(|| format!("cannot understand {file}"))
}

fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes that a process has had written to the disk since its start. A page that is changed twice before the system writes
/// it counts once.
///
/// # Errors
/// There is no such process, or it belongs to another user.
pub(crate) fn disk_bytes(pid: u32) -> anyhow::Result<u64> {
    let file = format!("/proc/{pid}/io");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    written(&text).with_context(|| format!("cannot understand {file}"))
}

fn written(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

/// Allows this process as many open files as the system lets it have, and says how many that is.
pub(crate) fn raise_open_files_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Where it is not allowed, the old limit stays and is what is returned.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_strange_name_is_read_correctly() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 1 0 0 0 250 31 0 0 20 0 5 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_found_among_the_other_lines() {
        assert_eq!(rss("Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t  5120 kB\n"), Some(5120));
        assert_eq!(rss("Name:\tx\n"), None);
    }

    #[test]
    fn bytes_on_the_disk_are_not_those_of_the_calls() {
        assert_eq!(written("wchar: 7\nwrite_bytes: 4096\ncancelled_write_bytes: 1\n"), Some(4096));
        assert_eq!(written("wchar: 7\n"), None);
        assert!(disk_bytes(std::process::id()).is_ok());
    }

    #[test]
    fn memory_of_a_running_process_is_read_and_of_a_missing_one_not() {
        assert!(resident_kib(std::process::id()).unwrap() > 0);
        assert!(cpu_time(u32::MAX).is_err());
    }
}
