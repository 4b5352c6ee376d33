//! `import`: a data folder made of an export, line by line; whole or not at all.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use anyhow::{Context as _, anyhow, ensure};

use super::{
    lines::{FORMAT, Header, Line, ParsedLine, Trailer, VERSION, unhex},
    output::say,
    progress::Progress,
};
use crate::{
    config::administration::Import as Arguments,
    identity::SECRET_BYTES,
    startup::key_secret,
    store::{
        Import,
        export::{ExportRecord, ImportError},
    },
};

/// Bytes of a line. The largest that is ever written holds a task's input of 1 MiB, each of whose letters may be escaped.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Lines between two looks at how far it is.
const PROGRESS_INTERVAL: u64 = 1_000;

/// Makes a data folder of an export.
///
/// # Errors
/// A sentence, with the number of the line where there is one; then the folder is as it was.
pub(super) fn import(arguments: &Arguments) -> anyhow::Result<()> {
    let (data, file) = (arguments.data.path(), &arguments.file);
    let given = arguments.secret.as_deref().map(read_secret).transpose()?;
    let (name, imported) = if file == Path::new("-") {
        let name = "standard input".to_owned();
        let progress = Progress::of_unknown("importing");
        let lines = Lines::new(io::stdin().lock(), &name, 0);
        let imported = Importer { data, given, progress: &progress }.all(lines)?;
        (name, (imported, progress.end()))
    } else {
        let name = file.display().to_string();
        let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
        let size = opened.metadata().map_or(0, |file| file.len());
        let progress = Progress::of_bytes("importing");
        let lines = Lines::new(BufReader::with_capacity(1 << 20, opened), &name, size);
        let imported = Importer { data, given, progress: &progress }.all(lines)?;
        (name, (imported, progress.end()))
    };
    let (ImportSummary { trailer, has_secret }, took) = imported;
    let Trailer { accounts, keys, events, resources, .. } = trailer;
    let data = data.display();
    say(&format!(
        "{name}: {accounts} account(s), {keys} keys, {resources} resources and {events} events are in {data}, in {took}."
    ));
    say(&match has_secret {
        true => format!(
            "Start it with `thng-pubsub-server serve --data {data}`, as the user who owns the folder."
        ),
        false => format!(
            "The export has no keys.secret: copy that of the server which it is from to {data}/{}, mode 600, before the \
             first start.",
            key_secret::FILE
        ),
    });
    Ok(())
}

fn read_secret(path: &Path) -> anyhow::Result<[u8; SECRET_BYTES]> {
    let bytes = fs::read(path).with_context(|| format!("--secret: cannot read {}", path.display()))?;
    bytes.try_into().map_err(|_| anyhow!("--secret: {} is no keys.secret", path.display()))
}

/// What an import came to.
struct ImportSummary {
    trailer: Trailer,
    has_secret: bool,
}

struct Importer<'i> {
    data: &'i Path,
    given: Option<[u8; SECRET_BYTES]>,
    progress: &'i Progress,
}

impl Importer<'_> {
    fn all(&self, mut lines: Lines<'_, impl BufRead>) -> anyhow::Result<ImportSummary> {
        let header = match lines.next()? {
            Some(ParsedLine::Header(header)) => header,
            Some(ParsedLine::Record(_) | ParsedLine::Trailer(_)) | None => {
                return Err(lines.wrong("an export begins with a line {\"header\":…}"));
            }
        };
        let in_header = check(&header).map_err(|error| lines.wrong_by(&error))?;
        if let Some(secret) = self.given.or(in_header) {
            key_secret::ensure_no_other(self.data, &secret)?;
        }
        let mut import = Import::begin(self.data, header.next_sequence)?;
        let (mut known, mut counted) = (None, Trailer::default());
        let trailer = loop {
            let record = match lines.next()? {
                Some(ParsedLine::Record(record)) => record,
                Some(ParsedLine::Trailer(trailer)) => break trailer,
                Some(ParsedLine::Header(_)) => return Err(lines.wrong("a second header")),
                None => {
                    return Err(
                        lines.wrong("the last line {\"trailer\":…} is missing: the export was cut off")
                    );
                }
            };
            if let ExportRecord::Meta { name, text } = &record
                && name == key_secret::META_KEY
            {
                known = Some(text.clone());
            }
            import.put(&record).map_err(|error| match error {
                ImportError::Invalid(sentence) => lines.wrong(&sentence),
                ImportError::Store(error) => error.into(),
            })?;
            counted.count(&record);
            if lines.number.is_multiple_of(PROGRESS_INTERVAL) {
                self.progress.update(lines.bytes, lines.all);
            }
        };
        if trailer != counted {
            return Err(lines.wrong("there are not as many lines before it as it says: some are missing"));
        }
        if lines.next()?.is_some() {
            return Err(lines.wrong("there is something after the last line"));
        }
        let secret = self.secret(in_header, known.as_deref())?;
        self.progress.wait("indexing");
        let mut made = import.complete()?;
        let is_new = secret.as_ref().map(|secret| key_secret::write(self.data, secret)).transpose()?;
        made.finish().inspect_err(|_| {
            if is_new == Some(true) {
                key_secret::remove(self.data)
            }
        })?;
        Ok(ImportSummary { trailer, has_secret: secret.is_some() })
    }

    /// The secret that goes with the database, where there is one.
    fn secret(
        &self,
        in_header: Option<[u8; SECRET_BYTES]>,
        known: Option<&str>,
    ) -> anyhow::Result<Option<[u8; SECRET_BYTES]>> {
        let Some(secret) = self.given.or(in_header) else {
            // One that is in the folder already has to be the right one.
            return key_secret::find(self.data, known);
        };
        ensure!(
            known.is_some_and(|known| key_secret::fits(&secret, known)),
            "the secret belongs to another database: give the keys.secret of the server that the export is from"
        );
        Ok(Some(secret))
    }
}

/// Refuses what this program does not know; returns the secret that the export holds.
fn check(header: &Header) -> anyhow::Result<Option<[u8; SECRET_BYTES]>> {
    let Header { format, version, program, secret, .. } = header;
    ensure!(format == FORMAT, "this is no export of this program");
    ensure!(
        *version == VERSION,
        "the export has form {version}, of program {program}, and this program knows form {VERSION}: import it with that \
         program"
    );
    secret.as_deref().map(|secret| unhex(secret).context("secret")).transpose()
}

/// The lines of an export, one by one.
struct Lines<'n, R> {
    from: R,
    name: &'n str,
    /// Of the line that was read last, from 1.
    number: u64,
    bytes: u64,
    /// Bytes that there are; 0 where that is unknown.
    all: u64,
    line: Vec<u8>,
}

impl<'n, R: BufRead> Lines<'n, R> {
    fn new(from: R, name: &'n str, all: u64) -> Self {
        Self { from, name, number: 0, bytes: 0, all, line: Vec::new() }
    }

    /// What the next line says; nothing at the end.
    fn next(&mut self) -> anyhow::Result<Option<ParsedLine>> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.from).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        let read = read.with_context(|| format!("cannot read {}", self.name))?;
        self.bytes += read as u64;
        match self.line.pop() {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) if read as u64 == LINE_BYTES_MAX => {
                return Err(self.wrong(&format!("it is longer than {LINE_BYTES_MAX} bytes")));
            }
            Some(_) => return Err(self.wrong("it has no end: the export was cut off")),
        }
        match serde_json::from_slice::<Line<'_>>(&self.line) {
            Ok(line) => match line.read() {
                Ok(said) => Ok(Some(said)),
                Err(error) => Err(self.wrong_by(&error)),
            },
            Err(error) => {
                let column = error.column();
                // Serde's own sentence names what it found there, which may be anything.
                Err(self.wrong(&format!("it is no line of an export; look at column {column}")))
            }
        }
    }

    /// Something is wrong with the line that was read last.
    fn wrong(&self, sentence: &str) -> anyhow::Error {
        anyhow!("{}, line {}: {sentence}", self.name, self.number)
    }

    fn wrong_by(&self, error: &anyhow::Error) -> anyhow::Error {
        self.wrong(&format!("{error:#}"))
    }
}
