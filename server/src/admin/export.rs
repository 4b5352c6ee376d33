//! `export`: everything that is remembered, as JSON lines, of one moment.
//!
//! Durable sessions are not in it, and `keys.secret` only where that is asked for. Rows go out as they are read: the memory
//! that it takes does not grow with the database.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};

use super::{
    lines::{FORMAT, Header, Line, Trailer, VERSION, hex},
    output::{cannot_write, is_there_already, say},
    priority,
    progress::Progress,
};
use crate::{
    clock::Clock,
    config::administration::Export,
    durable_file,
    startup::key_secret,
    store::{
        CopySpeed, PacedFile, ReadOnlyDatabase,
        export::{ExportRecord, ExportedEvent},
    },
};

/// Events between two looks at how far it is.
const PROGRESS_INTERVAL: u64 = 1_000;

/// Writes an export.
///
/// # Errors
/// A sentence; then there is no file, and what went to standard output has no last line.
pub(super) fn export(export: &Export) -> anyhow::Result<()> {
    let read_only = ReadOnlyDatabase::open(export.data.path())?;
    let speed = export.speed.speed();
    priority::adjust(speed);
    let secret = match export.with_secret {
        true => {
            let known = read_only.meta(key_secret::META_KEY)?.context("the database has no secret")?;
            Some(hex(&key_secret::read(export.data.path(), &known)?))
        }
        false => None,
    };
    let progress = Progress::of_events("exporting");
    let (where_to, trailer) = if export.file == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        ("standard output".into(), write(&read_only, secret, &mut out, &progress)?)
    } else {
        (export.file.display().to_string(), write_file(&export.file, &read_only, secret, speed, &progress)?)
    };
    let Trailer { accounts, keys, events, resources, .. } = trailer;
    say(&format!(
        "{where_to}: {accounts} account(s), {keys} keys, {resources} resources, {events} events in {}{}",
        progress.end(),
        if export.with_secret {
            "; it holds keys.secret and opens everything"
        } else {
            ", without keys.secret"
        }
    ));
    Ok(())
}

fn write_file(
    path: &Path,
    read_only: &ReadOnlyDatabase,
    secret: Option<String>,
    speed: CopySpeed,
    progress: &Progress,
) -> anyhow::Result<Trailer> {
    // All of the data is in it.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!(is_there_already(path))
        }
        Err(error) => return Err(error).with_context(|| cannot_write(path)),
    };
    let mut out = BufWriter::new(read_only.paced_file(file, speed));
    let written = write(read_only, secret, &mut out, progress)
        .and_then(|trailer| sync(out, path).map(|()| trailer))
        .with_context(|| cannot_write(path));
    if written.is_err() {
        // Half an export is of no use.
        let _ = fs::remove_file(path);
    }
    written
}

fn sync(out: BufWriter<PacedFile>, path: &Path) -> anyhow::Result<()> {
    out.into_inner().map_err(io::IntoInnerError::into_error)?.file().sync_all()?;
    Ok(durable_file::sync_folder_of(path)?)
}

fn write(
    read_only: &ReadOnlyDatabase,
    secret: Option<String>,
    out: &mut impl Write,
    progress: &Progress,
) -> anyhow::Result<Trailer> {
    let records = read_only.records()?;
    let head = records.header()?;
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").into(),
        layout: head.layout,
        created_at: Clock::System.now_ms(),
        next_sequence: head.next_sequence,
        secret,
    };
    put(out, &Line::Header(header))?;
    let mut trailer = Trailer::default();
    records.each(|record| {
        trailer.count(&record);
        if let ExportRecord::Event(ExportedEvent { seq, .. }) = &record
            && trailer.events % PROGRESS_INTERVAL == 0
        {
            // How many there are would have to be counted first; how far the log reaches is known.
            progress.update(*seq, head.next_sequence);
        }
        put(out, &Line::of(&record))
    })?;
    put(out, &Line::Trailer(trailer))?;
    out.flush()?;
    Ok(trailer)
}

fn put(out: &mut impl Write, line: &Line<'_>) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(())
}
