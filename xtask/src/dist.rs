//! `cargo xtask dist`: what is shipped, in `target/dist/`.
//!
//! That is the program with SDK and examples inside, an archive of it for any Linux with glibc, a Debian package, a
//! bill of materials, and a list of checksums. `build` makes the program, `archive` and `deb` pack it, `crates`,
//! `packages`, `sbom` and `licenses` describe the contents, and `install` tries the package.
//!
//! The same commit gives the same files: they have the date of the commit, and nothing of the machine in them.

mod archive;
mod build;
mod crates;
mod deb;
mod elf;
mod install;
mod licenses;
mod packages;
mod sbom;
mod texts;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use sha2::{Digest as _, Sha256};

use self::archive::{FILE, PROGRAM, Tree};
use self::crates::Metadata;
use self::elf::Needs;
use self::sbom::Inside;
use self::texts::Texts;
use crate::setup;
use crate::step::{Log, announce};

/// The server's program, and how it is called in a release.
const PROGRAM_NAME: &str = "thng-pubsub-server";

/// The list of the other files and their SHA-256, as `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";

/// Build what is shipped into target/dist/
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[command(after_help = "\
That is the program with SDK and examples inside, an archive of it with manual, completions and settings, a
Debian package with a systemd service, the SBOM (CycloneDX) and SHA256SUMS. The first time takes ten minutes
and more. The program runs where the glibc is as new as here. The same commit gives the same files; their
date is that of the commit, or SOURCE_DATE_EPOCH.

The test installs the package into a folder, starts its service, upgrades and removes it. It needs root and dpkg.

Examples:
  cargo xtask dist
  cargo xtask dist --install-test")]
pub(crate) struct Args {
    /// Only test the Debian package of target/dist/
    #[arg(long)]
    install_test: bool,
    /// A program that was built before, to try only how it is packed
    #[arg(long = "binary", value_name = "FILE", hide = true)]
    program: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(asked: Args) -> anyhow::Result<()> {
    let root = setup::root();
    let log = &mut Log::default();
    if asked.install_test {
        return install_test(&root, asked.program.as_deref(), log);
    }
    let host = build::host(&root)?;
    let metadata = Metadata::read(&root, &host)?;
    let is_shipped = asked.program.is_none();
    let program = match asked.program {
        Some(program) => program,
        None => build::build(&root, &metadata, log)?,
    };
    let folder = setup::target_dir(&root).join("dist");
    let release = Release { root: &root, host: &host, metadata: &metadata, program: &program, is_shipped };
    pack(&release, &folder)?;
    println!("{}", table(&folder)?);
    Ok(())
}

/// Installs the Debian package into a folder of its own, and shows that the service in it works. A package of `program`
/// is made for it; where none is given, it is the one in `target/dist/`.
///
/// # Errors
/// There is no package, or something about it is not as it should be.
pub(crate) fn install_test(root: &Path, program: Option<&Path>, log: &mut Log) -> anyhow::Result<()> {
    let target = setup::target_dir(root);
    let Some(program) = program else {
        return install::test(&package_in(&target.join("dist"))?, &target, log);
    };
    let host = build::host(root)?;
    let metadata = Metadata::read(root, &host)?;
    let folder = target.join("dist-test");
    let release = Release { root, host: &host, metadata: &metadata, program, is_shipped: false };
    pack(&release, &folder)?;
    install::test(&package_in(&folder)?, &target, log)
}

/// What a release is made from.
#[derive(Debug)]
struct Release<'a> {
    root: &'a Path,
    /// The target that the program was built for.
    host: &'a str,
    metadata: &'a Metadata,
    program: &'a Path,
    /// Whether the program was built for others. What was built for this machine alone may need what this machine has.
    is_shipped: bool,
}

/// Makes everything of a release from the program, and leaves it in `folder`, with nothing else.
fn pack(release: &Release<'_>, folder: &Path) -> anyhow::Result<()> {
    let Release { root, host, metadata, program, is_shipped } = release;
    let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
    announce(&format!("packing {}", program.display()));
    let bytes = std::fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let needs = Needs::read(&program, &bytes)?;
    match needs.check() {
        Err(error) if !is_shipped => announce(&format!("warning: this is not for others: {error:#}")),
        checked => checked?,
    }
    let texts = Texts::ask(&program, &root.join(deb::SERVICE_SETTINGS))?;
    let date = date(root)?;
    let version = metadata.version(PROGRAM_NAME)?;

    announce("looking at what is inside");
    let wasm = Metadata::read(root, setup::WASM_TARGET)?;
    let inside = Inside {
        server: crates::compiled(root, metadata, PROGRAM_NAME, host)?,
        module: crates::compiled(root, &wasm, "thng-pubsub-wasm", setup::WASM_TARGET)?,
        sdk: packages::sdk_version(root)?,
        packages: packages::inside(root)?,
    };
    let third_party = licenses::document(inside.server.iter().chain(&inside.module))?;

    announce("packing the archive and the Debian package");
    let name = format!("thng-pubsub-{version}-{host}");
    let archive = archive(root, &bytes, &texts, &third_party)?.tar_gz(&format!("{name}/"), date)?;
    let glibc = needs.glibc();
    let contents =
        deb::Contents { version, program: &bytes, glibc: &glibc, texts: &texts, third_party: &third_party };
    let files = [
        (PROGRAM_NAME.to_owned(), bytes.clone()),
        (format!("{name}.tar.gz"), archive),
        (deb::file_name(version)?, deb::package(root, &contents, date)?),
        (
            format!("thng-pubsub-{version}.cdx.json"),
            sbom::document(&inside, date, &compiler(root)?)?.into_bytes(),
        ),
    ];
    write(folder, &files)
}

/// What is in the archive, without the folder that all of it is in.
fn archive(root: &Path, program: &[u8], texts: &Texts, third_party: &str) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    tree.add(PROGRAM_NAME, PROGRAM, program);
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        let text = std::fs::read(root.join(name)).with_context(|| format!("cannot read {name}"))?;
        tree.add(name, FILE, text);
    }
    tree.add("third-party.txt", FILE, third_party);
    tree.add("thng-pubsub.toml", FILE, texts.settings.as_str());
    let section = texts.section();
    tree.add(format!("man/man{section}/{PROGRAM_NAME}.{section}"), FILE, texts.man.as_str());
    tree.add(format!("completions/bash/{PROGRAM_NAME}"), FILE, texts.bash.as_str());
    tree.add(format!("completions/zsh/_{PROGRAM_NAME}"), FILE, texts.zsh.as_str());
    tree.add(format!("completions/fish/{PROGRAM_NAME}.fish"), FILE, texts.fish.as_str());
    Ok(tree)
}

/// Writes the files and their checksums into a folder, which holds nothing else afterwards.
fn write(folder: &Path, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut sums = String::new();
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        if name == PROGRAM_NAME {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(PROGRAM))?;
        }
        let _ = writeln!(sums, "{}  {name}", hex(&Sha256::digest(bytes)));
    }
    std::fs::write(folder.join(SUMS), sums)?;
    Ok(())
}

/// The one Debian package in a folder.
fn package_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut packages = entries.filter(|path| path.extension().is_some_and(|end| end == "deb"));
    packages
        .next()
        .with_context(|| format!("there is no package in {}; `cargo xtask dist` makes it", folder.display()))
}

/// The date of every file in a release, in seconds since 1970: `SOURCE_DATE_EPOCH`, as for other tools with
/// reproducible output, or the date of the last commit.
fn date(root: &Path) -> anyhow::Result<u64> {
    if let Some(set) = std::env::var_os("SOURCE_DATE_EPOCH") {
        let seconds = set.to_str().and_then(|text| text.parse().ok());
        return seconds.context("SOURCE_DATE_EPOCH should be the seconds since 1970, as a number");
    }
    let wanted =
        "the date of a release is that of the last commit; where there is no git, set SOURCE_DATE_EPOCH";
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root).output();
    let output = output.context(wanted)?;
    ensure!(output.status.success(), "{wanted}");
    String::from_utf8_lossy(&output.stdout).trim().parse().context(wanted)
}

/// What compiles the program, with its version.
fn compiler(root: &Path) -> anyhow::Result<String> {
    let output =
        Command::new("rustc").arg("--version").current_dir(root).output().context("rustc cannot be run")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The files of a folder with their sizes.
fn table(folder: &Path) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        rows.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    rows.sort();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = format!("\n{}\n", folder.display());
    for (name, bytes) in rows {
        let _ = writeln!(text, "  {name:width$}  {:>10}", size(bytes));
    }
    Ok(text)
}

/// `1536` bytes as `1.5 KiB`.
fn size(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = bytes.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", tenths(1024)),
        _ => format!("{} MiB", tenths(1_048_576)),
    }
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_others_rejected() {
        let parse = |line: &str| crate::parse::<Args>(line);
        assert_eq!(parse("").unwrap(), Args::default());
        let args = parse("--binary a/server --install-test").unwrap();
        assert_eq!(args, Args { program: Some(PathBuf::from("a/server")), install_test: true });
        assert!(parse("--binary").is_err());
        assert!(parse("--deb").unwrap_err().to_string().contains("'--deb'"));
    }

    #[test]
    fn the_folder_holds_only_the_new_files_with_their_sums() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("dist");
        write(&folder, &[("old".to_owned(), Vec::new())]).unwrap();
        write(&folder, &[(PROGRAM_NAME.to_owned(), b"abc".to_vec())]).unwrap();
        assert!(!folder.join("old").exists());
        assert_eq!(folder.join(PROGRAM_NAME).metadata().unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(
            std::fs::read_to_string(folder.join(SUMS)).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  thng-pubsub-server\n"
        );
        let text = table(&folder).unwrap();
        assert!(text.contains("thng-pubsub-server         3 B") && text.contains(SUMS), "{text}");
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!([5, 1536, 11_708_744].map(size), ["5 B", "1.5 KiB", "11.1 MiB"]);
    }

    #[test]
    fn a_folder_without_a_package_says_how_to_make_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(package_in(folder.path()).unwrap_err().to_string().contains("`cargo xtask dist`"));
    }
}
