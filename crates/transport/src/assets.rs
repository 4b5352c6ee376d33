//! The files inside the binary: the SDK and the example pages, put there by `build.rs`.

use std::{collections::HashMap, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha384};

/// (path, bytes), sorted by nothing: there are a handful. `x.gz` is `x`, compressed.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The version of the SDK inside: files under `/sdk/VERSION/` do not change while it is this one.
pub(super) const SDK_VERSION: &str = env!("THNG_PUBSUB_SDK_VERSION");

/// A file and what HTTP says of it.
#[derive(Debug, Clone)]
pub(super) struct Asset {
    pub(super) bytes: &'static [u8],
    pub(super) compressed: Option<&'static [u8]>,
    pub(super) media_type: &'static str,
    /// What a page writes into `integrity`: `sha384-` and the hash in base64.
    pub(super) integrity: String,
    /// Whether it was asked for by its version.
    pub(super) is_pinned: bool,
}

/// All files by their path, each hashed once.
static ASSETS: LazyLock<HashMap<&str, Asset>> = LazyLock::new(|| {
    let by_path: HashMap<&str, &'static [u8]> = FILES.iter().copied().collect();
    let is_companion =
        |path: &&str| path.strip_suffix(".gz").is_some_and(|plain| by_path.contains_key(plain));
    let served = FILES.iter().filter(|(path, _)| !is_companion(path));
    let described = served.map(|&(path, bytes)| {
        let asset = Asset {
            bytes,
            compressed: by_path.get(format!("{path}.gz").as_str()).copied(),
            media_type: media_type(path),
            integrity: format!("sha384-{}", STANDARD.encode(Sha384::digest(bytes))),
            is_pinned: false,
        };
        (path, asset)
    });
    described.collect()
});

/// The file at a path; a path that ends in `/` means its `index.html`, and `/sdk/` may be followed by a version.
pub(super) fn find(path: &str) -> Option<Asset> {
    if let Some((version, name)) = path.strip_prefix("/sdk/").and_then(|rest| rest.split_once('/')) {
        let asset = ASSETS.get(format!("/sdk/{name}").as_str()).filter(|_| version == SDK_VERSION)?;
        return Some(Asset { is_pinned: true, ..asset.clone() });
    }
    let index = path.ends_with('/').then(|| format!("{path}index.html"));
    ASSETS.get(index.as_deref().unwrap_or(path)).cloned()
}

/// The files of the SDK by their names, in alphabetical order.
pub(super) fn sdk() -> Vec<(&'static str, &'static Asset)> {
    let mut files: Vec<_> =
        ASSETS.iter().filter_map(|(path, asset)| Some((path.strip_prefix("/sdk/")?, asset))).collect();
    files.sort_by_key(|(name, _)| *name);
    files
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        Some("wasm") => "application/wasm",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_page_is_in_the_binary() {
        let page = find("/examples/sdk/").expect("examples-web/sdk/index.html is part of the sources");
        assert_eq!(page.media_type, "text/html; charset=utf-8");
        assert!(find("/examples/../Cargo.toml").is_none());
        assert!(find("/sdk/0.0.0/thng-pubsub.js").is_none());
    }
}
