//! Shows that what is compiled to wasm32 asks nothing of its host that it should not.
//!
//! Called by `lint`. The protocol crate may import nothing at all: no clock, no randomness, no JavaScript. The SDK
//! may import only what wasm-bindgen provides. Both are read from the import section of a linked module, because an
//! import that slips in by a dependency compiles without complaint and fails in the browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::setup;
use crate::step::{Log, stream};

/// The modules whose functions wasm-bindgen's generated JavaScript brings.
const BINDGEN_MODULES: &str = "__wbindgen_";

/// Builds the two crates for wasm32 and reads their imports.
///
/// # Errors
/// One does not build, or asks for a host function that it must not ask for.
pub(crate) fn check(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    let protocol = link_whole_protocol(root, log)?;
    let imports = imports(&std::fs::read(&protocol)?)?;
    if !imports.is_empty() {
        bail!("the protocol crate asks its host for {}; it must ask for nothing", imports.join(", "));
    }
    let artifacts = build(root, "thng-pubsub-wasm", log)?;
    let Some(sdk) = artifacts.iter().find(|path| path.extension().is_some_and(|end| end == "wasm")) else {
        bail!(
            "thng-pubsub-wasm did not build to a .wasm file; its Cargo.toml needs crate-type = [\"cdylib\", ...]"
        );
    };
    let foreign = self::imports(&std::fs::read(sdk)?)?;
    let foreign: Vec<_> = foreign.into_iter().filter(|name| !name.starts_with(BINDGEN_MODULES)).collect();
    if !foreign.is_empty() {
        bail!("the SDK asks its host for {}, which wasm-bindgen does not bring", foreign.join(", "));
    }
    Ok(())
}

/// Builds one crate for wasm32 and returns every file that cargo names as a result for that target.
fn build(root: &Path, package: &str, log: &mut Log) -> anyhow::Result<Vec<PathBuf>> {
    let arguments = ["build", "--locked", "--package", package, "--target", setup::WASM_TARGET];
    // Once for the reader, once for the names: the second run finds everything built.
    stream(setup::cargo(root).args(arguments), log)?;
    let output = setup::cargo(root).args(arguments).args(["--quiet", "--message-format", "json"]).output()?;
    let mut files = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo's messages are JSON")?;
        let names = message["filenames"].as_array().into_iter().flatten();
        files.extend(names.filter_map(|name| name.as_str()).map(PathBuf::from));
    }
    files.retain(|file| file.components().any(|part| part.as_os_str() == setup::WASM_TARGET));
    Ok(files)
}

/// Links all of the protocol crate, used or not, into one module.
fn link_whole_protocol(root: &Path, log: &mut Log) -> anyhow::Result<PathBuf> {
    let files = build(root, "thng-pubsub-protocol", log)?;
    let is_protocol = |file: &Path| {
        file.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("libthng_pubsub_protocol"))
    };
    let (protocol, others): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|end| end == "rlib"))
        .partition(|file| is_protocol(file));
    let [protocol] = protocol.as_slice() else {
        bail!("cargo should name one rlib of the protocol crate, but names {protocol:?}");
    };
    let folder = setup::target_dir(root).join("xtask");
    std::fs::create_dir_all(&folder)?;
    let (source, module) = (folder.join("host_imports.rs"), folder.join("host_imports.wasm"));
    std::fs::write(
        &source,
        "//! Nothing of its own: everything that is linked comes from the command line.\n",
    )?;
    let mut rustc = Command::new("rustc");
    rustc.current_dir(root).arg("--edition=2024").arg("--crate-type=cdylib");
    rustc.arg(format!("--target={}", setup::WASM_TARGET)).arg("-o").arg(&module).arg(&source);
    let mut link = |argument: &str| {
        rustc.arg(format!("-Clink-arg={argument}"));
    };
    // Without these two the linker would drop all functions without a caller, which here are all.
    link("--no-gc-sections");
    link("--whole-archive");
    link(&protocol.to_string_lossy());
    link("--no-whole-archive");
    others.iter().for_each(|archive| link(&archive.to_string_lossy()));
    stream(&mut rustc, log)?;
    Ok(module)
}

/// The imports of a WebAssembly module as `module.name`, in order.
///
/// # Errors
/// The bytes are no WebAssembly module.
fn imports(module: &[u8]) -> anyhow::Result<Vec<String>> {
    const IMPORT_SECTION: u8 = 2;
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0").context("not a WebAssembly module")?;
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let size = leb128(&mut rest)?;
        let section = take(&mut rest, size)?;
        if id == IMPORT_SECTION {
            return import_names(section);
        }
    }
    Ok(Vec::new())
}

fn import_names(mut section: &[u8]) -> anyhow::Result<Vec<String>> {
    let section = &mut section;
    let count = leb128(section)?;
    let mut names = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let module = name(section)?;
        names.push(format!("{module}.{}", name(section)?));
        skip_description(section)?;
    }
    Ok(names)
}

/// Skips what an import is: a function, a table, a memory, a global or a tag.
fn skip_description(section: &mut &[u8]) -> anyhow::Result<()> {
    match take(section, 1)?[0] {
        0 => drop(leb128(section)?),
        1 => {
            take(section, 1)?;
            skip_limits(section)?;
        }
        2 => skip_limits(section)?,
        3 => drop(take(section, 2)?),
        4 => {
            take(section, 1)?;
            leb128(section)?;
        }
        other => bail!("an import of an unknown kind ({other})"),
    }
    Ok(())
}

fn skip_limits(section: &mut &[u8]) -> anyhow::Result<()> {
    let has_maximum = take(section, 1)?[0] & 1 == 1;
    leb128(section)?;
    if has_maximum {
        leb128(section)?;
    }
    Ok(())
}

fn name(section: &mut &[u8]) -> anyhow::Result<String> {
    let size = leb128(section)?;
    Ok(String::from_utf8_lossy(take(section, size)?).into_owned())
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> anyhow::Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count).context("the module ends early")?;
    *bytes = rest;
    Ok(taken)
}

fn leb128(bytes: &mut &[u8]) -> anyhow::Result<usize> {
    let mut value = 0;
    for shift in (0..).step_by(7).take(5) {
        let byte = take(bytes, 1)?[0];
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number of the module is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn imports_of_every_kind_are_named() {
        let section = b"\x04\x04host\x03now\x00\x05\x03env\x06memory\x02\x01\x01\x80\x01\x03env\x01t\x01\x70\x00\x02\x03env\x01g\x03\x7f\x00";
        let size = u8::try_from(section.len()).unwrap();
        let module = [HEAD, &[1, 2, 0, 0], &[2, size], section].concat();
        assert_eq!(imports(&module).unwrap(), ["host.now", "env.memory", "env.t", "env.g"]);
    }

    #[test]
    fn a_module_without_imports_has_none() {
        assert!(imports(&[HEAD, &[1, 1, 0]].concat()).unwrap().is_empty());
    }

    #[test]
    fn other_bytes_and_cut_modules_are_errors() {
        assert!(imports(b"ELF").is_err());
        assert!(imports(&[HEAD, &[2, 9, 1]].concat()).is_err());
    }
}
