//! Builds the SDK and packs it as an npm tarball.
//!
//! Called by `cargo xtask npm`, and by `run` and `test`, which need the result. The npm packages of `npm/` are
//! already installed then. wasm-bindgen runs as a library, in the version that Cargo.lock fixes together with the
//! crate's, and needs no installation. `npm/build.mjs` calls the JavaScript tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::setup;
use crate::step::{Log, announce, stream};

/// Runs the command.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = setup::root();
    let log = &mut Log::default();
    setup::node()?;
    setup::wasm_target(&root, log)?;
    setup::npm_packages(&root.join("npm"), log)?;
    println!("{}", build(&root)?.display());
    Ok(())
}

/// Builds the SDK of the checkout at `root` and returns the path of the packed tarball.
///
/// What a page or the server takes without npm is then in `npm/dist/`: `pubsub.js` and `evrythng.js`.
///
/// # Errors
/// The crate does not build, wasm-bindgen does not accept it, or one of the JavaScript tools fails.
pub(crate) fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let log = &mut Log::default();
    let npm = root.join("npm");
    for (name, feature) in MODULES {
        let module = compile(root, feature, log)?;
        bind(&module, &npm.join("pkg"), name)?;
        optimize(&npm, name)?;
    }
    stream(Command::new("node").arg("build.mjs").current_dir(&npm), log)?;
    pack(root, &npm, log)
}

/// Builds what the examples load from npm, the packed SDK included, into `examples-web/dist/`, for the server to serve.
///
/// # Errors
/// npm has no network and has not kept the packages, or the app among the examples does not build.
pub(crate) fn build_examples(root: &Path, tarball: &Path, log: &mut Log) -> anyhow::Result<()> {
    let mut node = Command::new("node");
    node.arg("build.mjs").current_dir(root.join("examples-web")).env("THNG_PUBSUB_TARBALL", tarball);
    stream(&mut node, log)
}

/// The modules in `npm/pkg/` and the features of the crate that they have: what connects; MQTT alone, for those who load
/// nothing but the plugin; what checks topics and payloads.
const MODULES: [(&str, &str); 3] = [("core", "channel"), ("mqtt", "session"), ("check", "check")];

/// The crate as a WebAssembly module, built for size.
fn compile(root: &Path, feature: &str, log: &mut Log) -> anyhow::Result<PathBuf> {
    let mut cargo = setup::cargo(root);
    cargo.args(["build", "--locked", "--package", "thng-pubsub-wasm", "--profile", "wasm"]);
    cargo.args(["--target", setup::WASM_TARGET, "--no-default-features", "--features", feature]);
    if let Some(home) = cargo_home() {
        // Panic messages name source files. Without the name of the builder's folder, every machine builds the same.
        let remap = format!("--remap-path-prefix={}=cargo", home.display());
        cargo.arg("--config").arg(format!("target.{}.rustflags=[{remap:?}]", setup::WASM_TARGET));
    }
    stream(&mut cargo, log)?;
    Ok(setup::target_dir(root).join(setup::WASM_TARGET).join("wasm/thng_pubsub_wasm.wasm"))
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// Runs wasm-bindgen: `<name>.js`, a script whose only variable is `core`, and `<name>_bg.wasm`.
///
/// It is a script and not an ES module, because `npm/build.mjs` makes a function of it. The SDK calls that again for a
/// second instance to recover from a trap.
fn bind(module: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).typescript(false);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.no_modules(true)?.no_modules_global("core")?;
    bindgen.generate(folder).context("wasm-bindgen")
}

/// Runs Binaryen over the module, which takes an eighth off it after compression: `<name>.wasm`. It gives imports
/// and exports names of a letter or two; `<name>-names.json` has them, and `npm/build.mjs` puts them into the script.
fn optimize(npm: &Path, name: &str) -> anyhow::Result<()> {
    // rustc uses these by default; Binaryen needs an option for each.
    const FEATURES: [&str; 6] = [
        "--enable-bulk-memory",
        "--enable-multivalue",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-sign-ext",
    ];
    // Without inlining it has more bytes, and fewer after gzip, which finds what functions have in common. The memory is
    // the module's own, so it begins with zeros, and no pointer of Rust's is below 1024.
    const PASSES: [&str; 5] =
        ["--no-inline=*", "-Oz", "--strip-target-features", "--zero-filled-memory", "--low-memory-unused"];
    let pkg = npm.join("pkg");
    let (input, output) = (pkg.join(format!("{name}_bg.wasm")), pkg.join(format!("{name}.wasm")));
    let names = pkg.join(format!("{name}-names.json"));
    let wasm_opt = npm.join("node_modules/.bin/wasm-opt");
    if !wasm_opt.exists() {
        announce("warning: npm's binaryen is not installed; the SDK is built without wasm-opt and is larger");
        std::fs::copy(&input, &output)?;
        std::fs::write(&names, r#"{ "imports": [], "exports": [] }"#)?;
        return Ok(());
    }
    let mut wasm_opt = Command::new(wasm_opt);
    wasm_opt.args(PASSES).arg("--minify-imports-and-exports-and-modules").args(FEATURES);
    let run = wasm_opt.arg(&input).arg("-o").arg(&output).output().context("wasm-opt")?;
    if !run.status.success() {
        bail!("wasm-opt: {}", String::from_utf8_lossy(&run.stderr));
    }
    Ok(std::fs::write(names, run.stdout)?)
}

/// Packs `npm/` into `target/npm/`, which holds no other tarball afterwards.
///
/// The README in the tarball says the script's hash, for `integrity`: it is known only now.
fn pack(root: &Path, npm: &Path, log: &mut Log) -> anyhow::Result<PathBuf> {
    let folder = setup::target_dir(root).join("npm");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let staged = setup::target_dir(root).join("npm-staged");
    stage(npm, &staged)?;
    let mut npm_pack = Command::new("npm");
    npm_pack.args(["pack", "--silent", "--pack-destination"]).arg(&folder).current_dir(&staged);
    stream(&mut npm_pack, log)?;
    let mut tarballs = std::fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path()));
    match (tarballs.next(), tarballs.next()) {
        (Some(tarball), None) => Ok(tarball?),
        _ => bail!("npm pack should leave one file in {}", folder.display()),
    }
}

/// The placeholder of the hash in `npm/README.md`.
const INTEGRITY: &str = "sha384-INTEGRITY";

/// Copies what is packed, and puts the hash of the script into the README.
fn stage(npm: &Path, staged: &Path) -> anyhow::Result<()> {
    if staged.exists() {
        std::fs::remove_dir_all(staged)?;
    }
    std::fs::create_dir_all(staged.join("dist"))?;
    for name in ["package.json", "LICENSE"] {
        std::fs::copy(npm.join(name), staged.join(name))?;
    }
    for file in std::fs::read_dir(npm.join("dist"))? {
        let file = file?;
        std::fs::copy(file.path(), staged.join("dist").join(file.file_name()))?;
    }
    let integrity = std::fs::read_to_string(npm.join("dist/integrity.txt"))?;
    let readme = std::fs::read_to_string(npm.join("README.md"))?;
    if !readme.contains(INTEGRITY) {
        bail!("npm/README.md should have {INTEGRITY} where the script's hash belongs");
    }
    std::fs::write(staged.join("README.md"), readme.replace(INTEGRITY, integrity.trim()))?;
    Ok(())
}
