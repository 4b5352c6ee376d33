//! Settings of the data folder: its path, the first key, and how the database writes and reads.

use std::{fmt, path::PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::range::within;
use crate::store;

/// The flags below `Data and keys` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data and keys")]
pub struct DataSettings {
    #[command(flatten)]
    pub folder: DataPath,

    /// The operator's API key for the first start on an empty folder: 80 characters of `A-Z`, `a-z`, `0-9`.
    ///
    /// Without it, a key is made and written to `operator.key`.
    /// Later starts compare the two and warn about a difference, without a change.
    /// Prefer the environment: every user of the machine can read a command line.
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    pub operator_key: Option<OperatorKey>,

    /// The moment at which a write counts as stored.
    ///
    /// `full`: on the disk, so that it survives a power failure.
    /// `normal`: in the operating system, so that it survives a crash of the server.
    /// A power failure may then cost the last moments.
    #[arg(long, value_enum, ignore_case = true, default_value = "full")]
    pub durability: Durability,

    /// Connections to the database that read; further reads wait for one.
    ///
    /// Lists with a filter use one fewer at the most, so that other reads do not wait for them.
    /// Each may keep 8 MiB of pages.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 4, value_parser = within::<usize>(2..=256))]
    pub database_readers: usize,

    /// Bytes of database pages that the writer caches; the operating system caches the rest.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = within::<usize>(1 << 20..=4 << 30))]
    pub writer_cache_bytes: usize,

    /// Stored values that wait in memory, up to 200 bytes each, until the time index is written.
    ///
    /// More of them are fewer bytes on the disk for each value.
    /// A start reads up to one and a half times as many events from the log.
    #[arg(long, value_name = "VALUES", default_value_t = 200_000, value_parser = within::<usize>(100..=2_000_000))]
    pub unindexed_values_max: usize,
}

impl DataSettings {
    /// How the store is opened.
    pub(crate) fn store(&self) -> store::StoreSettings {
        store::StoreSettings {
            durability: self.durability.into(),
            readers: self.database_readers,
            unindexed_values_max: self.unindexed_values_max,
            writer_cache_bytes: self.writer_cache_bytes,
        }
    }
}

/// The flag that commands of administrators read too.
#[derive(Debug, Args)]
pub struct DataPath {
    /// The folder of the database, of `operator.key` and of `keys.secret`.
    ///
    /// It also has `admin.sock`, and `tls/` with a certificate for development.
    /// A folder that is missing is made, for its owner only.
    /// One server at a time may use it.
    #[arg(id = "data", long = "data", value_name = "DIR", default_value = "./data", value_hint = ValueHint::DirPath)]
    pub path: PathBuf,
}

/// An operator's API key from the settings. Never printed.
#[derive(Clone)]
pub struct OperatorKey(String);

impl OperatorKey {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<key>")
    }
}

impl From<String> for OperatorKey {
    /// Takes any text: whether it is a key is checked where a refusal does not repeat it.
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The moment at which a write counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    Full,
    Normal,
}

impl From<Durability> for store::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Full => Self::Full,
            Durability::Normal => Self::Normal,
        }
    }
}
