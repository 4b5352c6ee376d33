//! The database: is it whole, does this program know it, and does its secret go with it?

use std::path::Path;

use super::Report;
use crate::{
    admin::output::bytes,
    clock::{Clock, STEP_MS},
    startup::key_secret,
    store::{self, CLOCK_SET_BACK, Examination, KNOWN_LAYOUT, ReadOnlyDatabase, StoreError},
};

/// No clock that is right is before this: 2026, the year of the first version. Unix milliseconds.
const EARLIEST_MS: i64 = 1_767_225_600_000;

/// A log that is longer is not carried over as it should be.
const LOG_LONG: u64 = 512 << 20;

pub(super) fn check(report: &mut Report, data: &Path, full: bool) {
    clock(report, None, None);
    let read_only = match ReadOnlyDatabase::open(data) {
        Ok(read_only) => read_only,
        Err(error) => {
            let advice = match &error {
                StoreError::Nothing { .. } => "start the server once, or restore a backup",
                StoreError::Unfinished { .. } => "run the restore or the import again",
                StoreError::Missing { .. } => "put the database back, or restore a backup",
                StoreError::TooNew { .. } => "use the newer program",
                StoreError::TooOld { .. } => "start with an empty folder",
                StoreError::Unavailable { .. } => "run this as the user of the server; look at the disk",
                StoreError::Corrupt(_) => "stop the server and restore a backup into an empty folder",
            };
            return report.problem("database", error.to_string(), advice);
        }
    };
    let layout = read_only.layout();
    report.ok(
        "layout",
        match layout {
            KNOWN_LAYOUT => format!("{layout}, which this program writes"),
            _ => format!("{layout}; the next start brings it to {KNOWN_LAYOUT}"),
        },
    );
    secret(report, data, &read_only);
    match read_only.examine(full) {
        Ok(Examination { faults, dangling: 0 }) if faults.is_empty() => {
            report.ok("database", if full { "whole, with its indices" } else { "whole" });
        }
        Ok(Examination { faults, dangling }) => {
            let more = (dangling > 0).then(|| format!("{dangling} rows name what is not there"));
            let faults = faults.into_iter().chain(more).collect::<Vec<_>>().join("; ");
            report.problem(
                "database",
                format!("damaged: {faults}"),
                "stop the server, keep the folder, restore a backup into an empty one, and look at the disk",
            );
        }
        Err(error) => report.problem(
            "database",
            error.to_string(),
            "stop the server, keep the folder, restore a backup into an empty one, and look at the disk",
        ),
    }
    if let Some(sizes) = store::sizes(data) {
        let found = bytes(sizes.log);
        match sizes.log {
            ..LOG_LONG => report.ok("log", found),
            _ => report.warning(
                "log",
                found,
                "look for a backup or an export that does not end; a restart carries the log over",
            ),
        }
    }
    if let Ok(Some(last)) = read_only.last_arrival_ms() {
        let set_back_from = read_only.meta(CLOCK_SET_BACK).ok().flatten();
        clock(report, Some(last), set_back_from.and_then(|text| text.parse().ok()));
    }
}

fn secret(report: &mut Report, data: &Path, read_only: &ReadOnlyDatabase) {
    match read_only.meta(key_secret::META_KEY) {
        Ok(Some(known)) => match key_secret::read(data, &known) {
            Ok(_) => report.ok("secret", "keys.secret is that of the database"),
            Err(error) => report.problem(
                "secret",
                format!("{error:#}"),
                "put the keys.secret back that belongs to this database: without it no server starts on it",
            ),
        },
        Ok(None) => report.ok("secret", "none yet: the first start makes it"),
        Err(error) => report.problem("secret", error.to_string(), "see the database"),
    }
}

/// Whether the clock can be right: `last` is when the newest event came in, `set_back_from` what the clock said before it
/// was last set back.
fn clock(report: &mut Report, last: Option<i64>, set_back_from: Option<i64>) {
    let now = Clock::System.now_ms();
    match last {
        None if now < EARLIEST_MS => report.problem(
            "clock",
            "it is before the release of this program",
            "set the clock: times of events and the ends of sessions come from it",
        ),
        Some(last) if last > now + STEP_MS => report.problem(
            "clock",
            format!("it is {} s before the newest event", (last - now) / 1_000),
            "set the clock, or find out who set it forward: what is written now is older than what is there",
        ),
        Some(_) if set_back_from.is_some_and(|from| from > now) => report.warning(
            "clock",
            format!("it was set back, and is {} s behind earlier events", (set_back_from.unwrap_or(now) - now) / 1_000),
            "nothing is lost: the last written value of a property counts as its latest; histories are sorted by time",
        ),
        None => report.ok("clock", "it is after the release of this program"),
        Some(_) => report.ok("clock", "it is after the newest event"),
    }
}
