//! The address by which a client calls this server, for links and for the origin of the server's own pages.

use axum::http::{HeaderMap, header, uri::Authority};

/// The first entry of a header that proxies may extend to a list; an empty one has none.
fn first_entry<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    let entry = value.split(',').next().unwrap_or_default().trim();
    (!entry.is_empty()).then_some(entry)
}

/// A host with an optional port, as `Host` has it.
pub(super) fn is_host(text: &str) -> bool {
    !text.contains('@') && text.parse::<Authority>().is_ok()
}

/// The scheme that the client used, as far as proxies say it, else the listener's.
fn scheme(headers: &HeaderMap, is_tls: bool) -> &'static str {
    let forwarded = first_entry(headers, "x-forwarded-proto").map(str::to_ascii_lowercase);
    match forwarded.as_deref() {
        Some("https" | "wss") => "https",
        Some("http" | "ws") => "http",
        Some(_) | None if is_tls => "https",
        Some(_) | None => "http",
    }
}

/// The host that the client used: what a proxy says that it was, else `Host`.
pub(super) fn hosts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let forwarded = first_entry(headers, "x-forwarded-host").filter(|host| is_host(host));
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    forwarded.into_iter().chain(own)
}

/// The address of this server as the client called it, such as `http://127.0.0.1:8080`.
pub(super) fn public_url(headers: &HeaderMap, is_tls: bool) -> String {
    let host = hosts(headers).next().unwrap_or("localhost");
    format!("{}://{host}", scheme(headers, is_tls))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn url(headers: &[(&'static str, &'static str)]) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        public_url(&headers.collect(), false)
    }

    #[test]
    fn the_first_forwarded_entry_counts_and_an_empty_one_is_ignored() {
        let forwarded = |proto, host| {
            url(&[("host", "own:8080"), ("x-forwarded-proto", proto), ("x-forwarded-host", host)])
        };
        assert_eq!(forwarded("https, http", "a.example, b.example"), "https://a.example");
        assert_eq!(forwarded("HTTPS", "a.example:8443"), "https://a.example:8443");
        assert_eq!(forwarded("", ""), "http://own:8080");
        assert_eq!(forwarded(" , https", ",b"), "http://own:8080");
        assert_eq!(forwarded("gopher", "a/b?c"), "http://own:8080");
        assert_eq!(url(&[]), "http://localhost");
        assert_eq!(public_url(&HeaderMap::new(), true), "https://localhost");
    }
}
