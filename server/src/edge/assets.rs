//! The files inside the binary: the SDK and the example pages, put there by `build.rs`.

/// (path, bytes), sorted by nothing: there are a handful.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file and its media type.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) bytes: &'static [u8],
    pub(super) media_type: &'static str,
}

/// The file at a path; a path that ends in `/` means its `index.html`.
pub(super) fn find(path: &str) -> Option<Asset> {
    let index = path.ends_with('/').then(|| format!("{path}index.html"));
    let path = index.as_deref().unwrap_or(path);
    let (name, bytes) = FILES.iter().find(|(name, _)| *name == path)?;
    Some(Asset { bytes, media_type: media_type(name) })
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
    }
}
