//! `--allowed-origins`: the origins of pages that may use the server from a browser.

use std::{net::Ipv6Addr, str::FromStr};

use axum::http::uri::Authority;

/// An origin in the spelling that browsers send: lower case, and without the port that its scheme has anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// Reads `scheme://host` with an optional port, or `null`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self(text.into()));
        }
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme || rest.contains(['@', '*']) {
            return None;
        }
        let authority: Authority = rest.parse().ok()?;
        let (scheme, host) = (scheme.to_ascii_lowercase(), spell_host(authority.host())?);
        let port = match rest.strip_prefix(authority.host())?.strip_prefix(':') {
            None | Some("") => None,
            Some(port) => Some(port.parse::<u16>().ok()?),
        };
        let port = port.filter(|port| !matches!((&*scheme, port), ("http", 80) | ("https", 443)));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(Self(format!("{scheme}://{host}{port}")))
    }

    /// Whether it is the origin of this host, which may have a port.
    pub fn is_of_host(&self, host: &str) -> bool {
        let own = self.0.split_once("://").and_then(|(scheme, _)| Self::parse(&format!("{scheme}://{host}")));
        own.as_ref() == Some(self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The host as a browser spells it.
fn spell_host(host: &str) -> Option<String> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => Some(format!("[{}]", address.parse::<Ipv6Addr>().ok()?)),
        None => (!host.is_empty()).then(|| host.to_ascii_lowercase()),
    }
}

/// The origins of pages that may use the server from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Any: keys travel in what a page has to say itself, never in cookies.
    Any,
    /// These, such as `https://example.com`.
    These(Vec<WebOrigin>),
}

impl FromStr for AllowedOrigins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        text.split(',').map(|origin| read(origin.trim())).collect::<Result<_, _>>().map(Self::These)
    }
}

fn read(text: &str) -> Result<WebOrigin, String> {
    if !text.is_ascii() {
        return Err(format!(
            "{text:?} is no origin as browsers send it: write the ASCII form of the name, which begins with xn--, such \
             as https://xn--bcher-kva.example.com"
        ));
    }
    WebOrigin::parse(text).ok_or_else(|| {
        format!(
            "{text:?} is no origin: write `*`, or origins such as https://example.com or http://localhost:5173, \
             separated by commas, without a path"
        )
    })
}

impl AllowedOrigins {
    /// Whether pages of this origin may use the server.
    pub fn contains(&self, origin: &WebOrigin) -> bool {
        match self {
            Self::Any => true,
            Self::These(allowed) => allowed.contains(origin),
        }
    }

    /// The origin, where exactly one is allowed.
    pub fn only_one(&self) -> Option<&WebOrigin> {
        match self {
            Self::These(allowed) if allowed.len() == 1 => allowed.first(),
            Self::Any | Self::These(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_without_case_and_default_ports() {
        let spelled = |text| WebOrigin::parse(text).map(|origin| origin.0);
        for (text, origin) in [
            ("https://a:443", "https://a"),
            ("HTTPS://A.Example:443", "https://a.example"),
            ("http://a:80", "http://a"),
            ("http://a:443", "http://a:443"),
            ("https://a:", "https://a"),
            ("https://a:08443", "https://a:8443"),
            ("http://[0::0001]:80", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
        ] {
            assert_eq!(spelled(text).as_deref(), Some(origin), "{text}");
        }
        for text in [
            "a.example",
            "https://a/",
            "https://a:99999",
            "https://a:x",
            "https://u@a",
            "://a",
            "https://",
            "https://*.a",
        ] {
            assert_eq!(spelled(text), None, "{text}");
        }
    }

    #[test]
    fn own_hosts_are_compared_as_origins() {
        let origin = WebOrigin::parse("https://a.example").expect("an origin");
        assert!(origin.is_of_host("A.example:443") && origin.is_of_host("a.example"));
        assert!(!origin.is_of_host("a.example:80") && !origin.is_of_host("b.example"));
        assert!(!WebOrigin::parse("null").expect("an origin").is_of_host("null"));
    }

    #[test]
    fn international_names_are_refused_with_their_ascii_form() {
        let fault = "https://bücher.example.com".parse::<AllowedOrigins>().expect_err("not ASCII");
        assert!(fault.contains("xn--bcher-kva"), "{fault}");
    }
}
