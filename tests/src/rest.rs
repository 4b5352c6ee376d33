//! A small HTTP/1.1 client: one connection kept alive, exactly the headers that a test names.
//!
//! The tests need what general clients hide: the bytes of a body, a header's own spelling, a request without
//! `Content-Length`, an answer that comes before the body was sent.
//! Every answer is held to the conventions of the REST API in passing, so that each test of a route tests those too.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::link::{Raw, Stream};
use crate::tls::Trust;
use crate::wait::WAIT_MAX;

/// A connection to the server's HTTP port, or its HTTPS port, and the key that it uses.
#[derive(Debug)]
pub struct Rest {
    address: SocketAddr,
    trust: Option<Trust>,
    key: Option<String>,
    from: Option<Ipv4Addr>,
    connection: Option<BufReader<Stream>>,
    connections: usize,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What can be sent as a body.
pub trait Body {
    fn bytes(&self) -> Vec<u8>;
}

impl Body for Value {
    fn bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl Body for &str {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Body for String {
    fn bytes(&self) -> Vec<u8> {
        self.clone().into_bytes()
    }
}

impl Response {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body is UTF-8")
    }

    /// The body as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body of {} {:?}", self.status, self.text()))
    }

    /// The body as JSON of an answer with this status.
    #[must_use]
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        self.assert_status(status);
        self.json()
    }

    /// # Panics
    /// When the status is another one.
    #[track_caller]
    pub fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "the answer was {}", self.shown());
    }

    /// The beginning of the body, for a sentence about a failure.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned()
    }

    /// What every answer of the REST API keeps, because existing clients lose data otherwise.
    #[track_caller]
    fn assert_conventions(&self, request: &str) {
        let shown = self.shown();
        if self.status >= 400 {
            let document: Value = serde_json::from_slice(&self.body)
                .unwrap_or_else(|error| panic!("{request}: {error} in the error document {shown:?}"));
            assert_eq!(document["status"], self.status, "{request}: {shown}");
            let errors = document["errors"].as_array().map_or(&[] as &[Value], Vec::as_slice);
            assert!(!errors.is_empty() && errors.iter().all(Value::is_string), "{request}: {shown}");
            assert!(document["moreInfo"].is_string(), "{request}: {shown}");
            assert!(document.get("message").is_none(), "{request}: a client would lose the rest: {shown}");
        } else if let Ok(Value::Object(document)) = serde_json::from_slice(&self.body) {
            for taken in ["errors", "body"] {
                assert!(!document.contains_key(taken), "{request}: clients misread `{taken}`: {shown}");
            }
        }
    }
}

impl Rest {
    /// A client for one address; it connects with its first request.
    #[must_use]
    pub fn new(address: SocketAddr, key: Option<&str>) -> Rest {
        Rest {
            address,
            trust: None,
            key: key.map(str::to_owned),
            from: None,
            connection: None,
            connections: 0,
        }
    }

    /// As [`Rest::new`], over HTTPS.
    #[must_use]
    pub fn over_tls(address: SocketAddr, key: Option<&str>, trust: &Trust) -> Rest {
        Rest { trust: Some(trust.clone()), ..Rest::new(address, key) }
    }

    /// The same from another address of the loopback network, as if from another machine.
    #[must_use]
    pub fn from(self, from: Ipv4Addr) -> Rest {
        Rest { from: Some(from), ..self }
    }

    /// The server that it asks.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections the requests so far needed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.call("GET", path, None)
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Response {
        self.call("DELETE", path, None)
    }

    #[track_caller]
    pub fn post<B: Body>(&mut self, path: &str, body: B) -> Response {
        self.call("POST", path, Some(&body.bytes()))
    }

    #[track_caller]
    pub fn put<B: Body>(&mut self, path: &str, body: B) -> Response {
        self.call("PUT", path, Some(&body.bytes()))
    }

    /// A new thng, and its id.
    #[must_use]
    #[track_caller]
    pub fn thng(&mut self) -> String {
        let created = self.post("/thngs", r#"{"name":"a thng of the tests"}"#).expect(201);
        created["id"].as_str().expect("a thng has an id").to_owned()
    }

    /// The path and query that the `link` of a part of a list leads to: an existing client decodes it once and then
    /// uses it as it is.
    #[must_use]
    #[track_caller]
    pub fn next(&self, answer: &Response) -> Option<String> {
        let link = answer.header("link")?;
        let url = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        let url = url.unwrap_or_else(|| panic!("one link, rel=next, and not {link}"));
        assert!(!url.contains(['=', '?', ',', ';']), "the whole URL is encoded: {url}");
        let url = percent_decode_str(url).decode_utf8().expect("it decodes to text").into_owned();
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        let path = url.strip_prefix(&format!("{scheme}://{}", self.address));
        Some(path.unwrap_or_else(|| panic!("{url} is this server's")).to_owned())
    }

    /// A list part by part: the first is at `path`, each further one where the `link` of the one before leads.
    #[track_caller]
    pub fn parts(&mut self, path: &str) -> Vec<Vec<Value>> {
        let mut parts = Vec::new();
        let mut path = Some(path.to_owned());
        while let Some(at) = path {
            assert!(parts.len() < 1_000, "the list has no end: {at}");
            let answer = self.get(&at);
            let Value::Array(items) = answer.expect(200) else { panic!("{at} is no bare array") };
            parts.push(items);
            path = self.next(&answer);
        }
        parts
    }

    /// A request as existing clients make it: with the key, and `application/json` on every one, body or not.
    #[track_caller]
    fn call(&mut self, method: &str, path: &str, body: Option<&[u8]>) -> Response {
        let key = self.key.clone();
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(key.as_deref().map(|key| ("Authorization", key)));
        let response = self.send(method, path, &headers, body);
        response.assert_conventions(&format!("{method} {path}"));
        response
    }

    /// A request with these headers and no others but `Host` and `Content-Length`.
    #[track_caller]
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(body) = body {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(body.unwrap_or_default());
        let reused =
            self.connection.take().and_then(|connection| self.exchange(connection, method, &message));
        reused
            .or_else(|| {
                let connection = self.connect();
                self.exchange(connection, method, &message)
            })
            .unwrap_or_else(|| panic!("the server closed without an answer to {method} {path}"))
    }

    #[track_caller]
    fn connect(&mut self) -> BufReader<Stream> {
        self.connections += 1;
        let raw = match (&self.trust, self.from) {
            (None, None) => Raw::connect(self.address),
            (None, Some(from)) => Raw::connect_from(from, self.address),
            (Some(trust), _) => trust.connect(self.address),
        };
        let stream = raw.into_stream();
        stream.tcp().set_read_timeout(Some(WAIT_MAX)).expect("a timeout can be set");
        BufReader::new(stream)
    }

    /// One request and its answer; `None` when the connection was closed before the answer began.
    #[track_caller]
    fn exchange(
        &mut self,
        mut connection: BufReader<Stream>,
        method: &str,
        message: &[u8],
    ) -> Option<Response> {
        // A server that refuses by the head need not read the body: its answer is there all the same.
        let _ = connection.get_mut().write_all(message);
        let (status, headers) = read_head(&mut connection)?;
        let mut response = Response { status, headers, body: Vec::new() };
        let empty = method == "HEAD" || matches!(status, 101 | 204 | 304);
        if !empty {
            response.body = read_body(&mut connection, &response)?;
        }
        if status != 101 && response.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Some(response)
    }
}

fn read_head(connection: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    connection.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let status = line.split(' ').nth(1)?.trim().parse().ok()?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        connection.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some((status, headers))
}

fn read_body(connection: &mut impl BufRead, response: &Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = response.header("content-length") {
        body.resize(length.parse().ok()?, 0);
        connection.read_exact(&mut body).ok()?;
    } else if response.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            connection.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let start = body.len();
            body.resize(start + size + 2, 0);
            connection.read_exact(&mut body[start..]).ok()?;
            body.truncate(start + size);
            if size == 0 {
                break;
            }
        }
    } else {
        connection.read_to_end(&mut body).ok()?;
    }
    Some(body)
}
