//! The command line of the administrators' commands, which `admin` implements.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use clap_complete::Shell;

use super::{Config, ConfigFile, data::DataPath, listeners::HttpListener};
use crate::store::CopySpeed;

/// Administrators' commands.
#[derive(Debug, Subcommand)]
pub enum Administration {
    /// List, create and revoke API keys.
    #[command(subcommand)]
    Keys(Keys),

    /// Create accounts.
    #[command(subcommand)]
    Accounts(Accounts),

    /// Write a backup into one new file, also while the server runs. It holds `keys.secret` and opens everything.
    Backup(Backup),

    /// Make a data folder of a backup. The folder has to be empty, or missing.
    Restore(Restore),

    /// Write everything that is remembered as JSON lines, also while the server runs; without durable sessions.
    Export(Export),

    /// Make a data folder of what `export` wrote. The folder has to be empty, or missing.
    Import(Import),

    /// Look over the data folder, the database, the ports and the machine, and say what to do. Ends with 1 on problems.
    Doctor(Box<Doctor>),

    /// Ask a running server whether it serves. Ends with 0 if so, else with 1.
    Health(Health),

    /// Print completions for a shell.
    Completions(Completions),

    /// Print the manual page, or write a page for each command into a folder.
    Man(Man),
}

/// The data folder, and the settings file that may name it.
#[derive(Debug, Args)]
pub struct DataFolder {
    #[command(flatten)]
    folder: DataPath,
    #[command(flatten)]
    config: ConfigFile,
}

impl DataFolder {
    pub fn path(&self) -> &Path {
        &self.folder.path
    }
}

/// How fast a copy of the database is made.
#[derive(Debug, Args)]
pub struct Speed {
    /// Take whole processors and the whole disk, for copies without a server beside them.
    #[arg(long)]
    pub full_speed: bool,
}

impl Speed {
    pub fn speed(&self) -> CopySpeed {
        if self.full_speed { CopySpeed::Full } else { CopySpeed::BesideServer }
    }
}

/// `keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List all keys: whose they are and what they are called by, never the keys themselves.
    List(KeysList),

    /// Create a key and print it, this once: of an operator, or of a new access token.
    Create(KeysCreate),

    /// Take a key away; its connections end.
    Revoke(KeysRevoke),
}

/// `keys list`
#[derive(Debug, Args)]
pub struct KeysList {
    #[command(flatten)]
    pub data: DataFolder,

    /// Only those of this account.
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,

    /// Print a line of JSON for each, with the whole hash.
    #[arg(long)]
    pub json: bool,
}

/// `keys create`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub struct KeysCreate {
    #[command(flatten)]
    pub data: DataFolder,

    /// The account; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,

    /// The email address or the id of an operator, who gets one more key. With --role or --policy, the address of a new one.
    #[arg(long, value_name = "EMAIL", group = "whose")]
    pub operator: Option<String>,

    /// The name of an access token to create.
    #[arg(long, value_name = "NAME", group = "whose", requires = "policies")]
    pub token: Option<String>,

    /// The role of a new operator: `admin`, `none`, or the id of a role.
    #[arg(long, value_name = "ROLE", conflicts_with = "token")]
    pub role: Option<String>,

    /// The name or the id of an access policy, such as `evt:accountAdmin`; may be repeated.
    #[arg(long = "policy", value_name = "POLICY")]
    pub policies: Vec<String>,

    /// What its rights are limited to, such as `projects:ID`; may be repeated.
    #[arg(long = "condition", value_name = "KINDS:ID", requires = "policies")]
    pub conditions: Vec<String>,

    /// Print an object of JSON with the key and whose it is, instead of the key alone.
    #[arg(long)]
    pub json: bool,
}

/// `keys revoke`
#[derive(Debug, Args)]
pub struct KeysRevoke {
    #[command(flatten)]
    pub data: DataFolder,

    /// The first 8 or more digits of the key's hash, as `keys list` shows them.
    pub handle: String,
}

/// `accounts`
#[derive(Debug, Subcommand)]
pub enum Accounts {
    /// Create an account with an operator who may do everything in it, and print their key, this once.
    Create(AccountsCreate),
}

/// `accounts create`
#[derive(Debug, Args)]
pub struct AccountsCreate {
    #[command(flatten)]
    pub data: DataFolder,

    /// What people call the account.
    #[arg(long, value_name = "NAME", default_value = "Account")]
    pub name: String,

    /// The operator's address.
    #[arg(long, value_name = "EMAIL", default_value = "operator@localhost")]
    pub email: String,

    /// Print an object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `backup`
#[derive(Debug, Args)]
pub struct Backup {
    #[command(flatten)]
    pub data: DataFolder,

    #[command(flatten)]
    pub speed: Speed,

    /// The file to write; it must not be there yet.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `restore`
#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub data: DataFolder,

    /// A file that `backup` wrote.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `export`
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    pub data: DataFolder,

    #[command(flatten)]
    pub speed: Speed,

    /// The file to write, which must not be there yet; `-` is standard output.
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// Write `keys.secret` too: with it the export shows every key that can be shown.
    #[arg(long)]
    pub with_secret: bool,
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    pub data: DataFolder,

    /// A file that `export` wrote; `-` is standard input.
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// The `keys.secret` of the server that the export is from, where the export has none.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub secret: Option<PathBuf>,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// As for `serve`.
    #[command(flatten)]
    pub settings: Config,

    /// Compare every index of the database with its table too, which takes several times as long.
    #[arg(long)]
    pub full: bool,

    /// Print a line of JSON for each check.
    #[arg(long)]
    pub json: bool,
}

/// `health`
#[derive(Debug, Args)]
pub struct Health {
    /// The server, such as http://127.0.0.1:8080; without it, where --http says.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,

    #[command(flatten)]
    pub config: ConfigFile,

    #[command(flatten)]
    pub http: HttpListener,
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `man`
#[derive(Debug, Args)]
pub struct Man {
    /// Write a page for each command into this folder, instead of one for all to standard output.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}
