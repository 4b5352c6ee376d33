//! `cargo xtask bench rest`: the speed of REST over HTTP and of the services behind it, beside PocketBase.
//!
//! `wrk` asks over 64 connections on loopback, on the same cores. PocketBase comes with pip and gives the scale:
//! it too is one program on SQLite. What is measured in process is `server/examples/measure.rs`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::server::{self, Profile, Running};
use crate::setup;
use crate::step::{Log, announce, stream};

/// How long PocketBase may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Seconds that each case is asked for.
const SECONDS: u32 = 5;

/// Thngs in the long list.
const THNGS: usize = 1_000_000;

/// One case over HTTP: what each program is asked.
struct Case {
    what: &'static str,
    cells: Vec<String>,
}

/// Measures everything and returns a Markdown table.
pub(super) fn document(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    setup::debian(&[setup::WRK], log)?;
    announce("building the server");
    let binary = server::build(root, Profile::Release, log)?;
    let measure = ["build", "--release", "--package", "thng-pubsub-server", "--features", "measure"];
    stream(setup::cargo(root).args(measure).args(["--example", "measure"]), log)?;
    let pocketbase = pocketbase(root, log);
    let mut text = super::table::measured(root)?;
    text += &format!(
        "`wrk` with 64 connections for {SECONDS} s a case, on the same cores; requests per second.\n\n\
         | case | thng-pubsub | PocketBase |\n|---|---|---|\n"
    );
    for Case { what, cells } in over_http(&binary, pocketbase.as_deref())? {
        text += &format!("| {what} | {} |\n", cells.join(" | "));
    }
    text += "\nIn process, through the broker, synced to disk:\n\n| case | figure |\n|---|---|\n";
    for line in in_process(root)? {
        text += &format!("| {} | {} |\n", line["figure"].as_str().unwrap_or_default(), figure(&line));
    }
    Ok(text)
}

fn figure(line: &Value) -> String {
    match (line["per_s"].as_f64(), line["p50_ms"].as_f64(), line["p99_ms"].as_f64()) {
        (Some(rate), ..) => format!("{} per second", super::table::thousands(rate)),
        (None, Some(p50), Some(p99)) => format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
        _ => "-".to_owned(),
    }
}

/// The program, or nothing where it cannot be had: then its column stays empty.
fn pocketbase(root: &Path, log: &mut Log) -> Option<PathBuf> {
    let list = root.join("bench/requirements.txt");
    match setup::python_packages(root, &list, "bench-python", log) {
        Ok(programs) => Some(programs.join("pocketbase")),
        Err(error) => {
            announce(&format!("going on without PocketBase: {error:#}"));
            None
        }
    }
}

/// A request of our own: one connection, one answer.
fn ask(address: &str, method: &str, path: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    let body = body.to_string();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a body")?;
    if !head.starts_with("HTTP/1.1 20") {
        bail!("{method} {path}: {}", head.lines().next().unwrap_or_default());
    }
    // A chunked body has its length in front of it.
    let json = &body[body.find(['{', '[']).unwrap_or(0)..];
    let json = json.rfind(['}', ']']).map_or(json, |end| &json[..=end]);
    Ok(serde_json::from_str(json)?)
}

/// Requests per second of one case.
fn wrk(folder: &Path, url: &str, key: &str, request: &str) -> anyhow::Result<String> {
    let script = folder.join("case.lua");
    std::fs::write(
        &script,
        format!(
            "wrk.headers[\"authorization\"]={key:?}\nwrk.headers[\"content-type\"]=\"application/json\"\n\
             local n=0\nrequest=function() n=n+1; {request} end\n"
        ),
    )?;
    let output = Command::new("wrk")
        .args(["-t1", "-c64", &format!("-d{SECONDS}"), "-s"])
        .arg(&script)
        .arg(url)
        .output()
        .context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") {
        bail!("{url}: some answers were refusals\n{text}");
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("wrk says a rate")?;
    let rate: f64 = rate.trim().parse()?;
    Ok(super::table::thousands(rate))
}

fn over_http(binary: &Path, pocketbase: Option<&Path>) -> anyhow::Result<Vec<Case>> {
    let folder = tempfile::tempdir()?;
    let flags = ["--http", "127.0.0.1:0", "--mqtt", "off", "--log", "warn"].map(str::to_owned);
    let ours = Running::start(binary, &folder.path().join("ours"), &flags)?;
    let theirs =
        pocketbase.map(|program| PocketBase::start(program, &folder.path().join("theirs"))).transpose()?;
    let (url, key) = (format!("http://{}", ours.http), ours.operator_key.as_str());
    let thng =
        json!({"name": "measured", "tags": ["a"], "properties": {"temperature": 21.5, "humidity": 40}});
    let thng = ask(&ours.http, "POST", "/thngs", key, &thng)?;
    let thng = thng["id"].as_str().context("a thng has an id")?.to_owned();
    let get = |path: String| format!("return wrk.format(\"GET\",\"{path}\")");
    let records = "/api/collections/thngs/records";
    let their = |request: String| match &theirs {
        Some(their) => wrk(folder.path(), &format!("http://{}", their.address), &their.token, &request),
        None => Ok("-".to_owned()),
    };
    let create =
        |path: &str| format!("return wrk.format(\"POST\",\"{path}\",nil,'{{\"name\":\"thng '..n..'\"}}')");
    let put = format!(
        "return wrk.format(\"PUT\",\"/thngs/{thng}/properties/k\"..(n%500),nil,'[{{\"value\":'..n..'}}]')"
    );
    let mut cases = Vec::new();
    let mut case = |what, ours: String, theirs: anyhow::Result<String>| {
        announce(what);
        let cells = vec![wrk(folder.path(), &url, key, &ours)?, theirs?];
        cases.push(Case { what, cells });
        anyhow::Ok(())
    };
    let record = theirs.as_ref().map(|their| their.record.clone()).unwrap_or_default();
    case(
        "GET of a thng with two properties",
        get(format!("/thngs/{thng}")),
        their(get(format!("{records}/{record}"))),
    )?;
    case("GET of a property", get(format!("/thngs/{thng}/properties/temperature")), Ok("-".to_owned()))?;
    case("PUT of a property", put, Ok("-".to_owned()))?;
    case("POST of a thng", create("/thngs"), their(create(records)))?;
    case("GET of a page of 30 thngs", get("/thngs".to_owned()), their(get(format!("{records}?perPage=30"))))?;
    ours.stop()?;
    Ok(cases)
}

/// PocketBase with a collection of its own and one record in it; ended when it is dropped.
struct PocketBase {
    child: Child,
    address: String,
    token: String,
    record: String,
}

impl Drop for PocketBase {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PocketBase {
    fn start(program: &Path, data: &Path) -> anyhow::Result<Self> {
        let (name, password) = ("bench@example.org", "a password of the bench");
        let dir = format!("--dir={}", data.display());
        let made = Command::new(program).args(["superuser", "upsert", name, password, &dir]).output()?;
        if !made.status.success() {
            bail!("PocketBase makes no superuser: {}", String::from_utf8_lossy(&made.stderr));
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(program)
            .args(["serve", &format!("--http={address}"), &dir])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut this = Self { child, address, token: String::new(), record: String::new() };
        let started = Instant::now();
        while TcpStream::connect(&this.address).is_err() {
            if started.elapsed() > START_LIMIT || this.child.try_wait()?.is_some() {
                bail!("PocketBase does not start");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let login = json!({"identity": name, "password": password});
        let login =
            ask(&this.address, "POST", "/api/collections/_superusers/auth-with-password", "", &login)?;
        this.token = login["token"].as_str().context("a login gives a token")?.to_owned();
        let collection =
            json!({"name": "thngs", "type": "base", "fields": [{"name": "name", "type": "text"}]});
        ask(&this.address, "POST", "/api/collections", &this.token, &collection)?;
        let record = json!({"name": "measured"});
        let record = ask(&this.address, "POST", "/api/collections/thngs/records", &this.token, &record)?;
        this.record = record["id"].as_str().context("a record has an id")?.to_owned();
        Ok(this)
    }
}

fn in_process(root: &Path) -> anyhow::Result<Vec<Value>> {
    let measure = setup::target_dir(root).join("release/examples/measure");
    let mut lines = Vec::new();
    for words in [vec!["writes".to_owned()], vec!["lists".to_owned(), THNGS.to_string()]] {
        announce(&format!("in process: {}", words.join(" ")));
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let output = Command::new(&measure)
            .arg(&words[0])
            .arg(&data)
            .args(&words[1..])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("measure {} failed ({})", words.join(" "), output.status);
        }
        for line in String::from_utf8(output.stdout)?.lines() {
            lines.push(serde_json::from_str(line)?);
        }
    }
    Ok(lines)
}
