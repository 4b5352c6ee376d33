//! A loss of power takes nothing that was acknowledged, also after a sync that failed and a restart.
//!
//! The server runs on `c/failing_disk.c`, which knows what a disk would have of its files: what was synced. A sync can be
//! made to fail; then the disk lacks what the operating system still shows, as on Linux. A power cut makes a new data
//! folder of what the disk has, and of any of the pages that were on their way to it.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use thng_pubsub_tests::history::whole;
use thng_pubsub_tests::mqtt::{Client, Received};
use thng_pubsub_tests::server::binary;
use thng_pubsub_tests::wait::{random, rounds, until};
use thng_pubsub_tests::{Launch, Server, WAIT_MAX};

const ROUNDS: usize = 12;

/// Publishes that are under way without an acknowledgement.
const WINDOW: usize = 8;

/// So few values wait for the time index that each round writes some of it.
const FEW_VALUES: &str = "100";

/// Frames that are rewritten at a time, and their size: each has a page of 4 KiB.
const FRAMES: u64 = 128;
const FRAME_BYTES: usize = 24 + 4096;

/// Bytes of a page of the disk's.
const PAGE_BYTES: u64 = 4096;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The library that takes the place of the disk.
#[track_caller]
fn compiled(folder: &Path) -> PathBuf {
    let library = folder.join("failing_disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c/failing_disk.c");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-D_FILE_OFFSET_BITS=64", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]);
    cc.arg(source).arg("-o").arg(&library).arg("-ldl");
    let status = cc.status().expect("a C compiler is installed; on Debian: apt-get install build-essential");
    assert!(status.success(), "c/failing_disk.c does not build");
    library
}

/// A machine whose disk can fail and whose power can be cut.
struct Machine {
    library: PathBuf,
    _folder: TempDir,
    /// What the disk has, as `c/failing_disk.c` writes it.
    image: TempDir,
    launch: Launch,
}

/// What of the pages that are on their way to the disk reaches it.
enum Cut<'r> {
    /// None.
    Worst,
    /// Any of them, and the names of files perhaps.
    Random(&'r mut fastrand::Rng),
}

impl Machine {
    fn new(launch: Launch) -> Machine {
        let folder = folder();
        Machine { library: compiled(folder.path()), _folder: folder, image: self::folder(), launch }
    }

    /// A launch whose server has this disk.
    fn launch(&self, data: &Path) -> Launch {
        let variables = self.variables(data).into_iter();
        variables.fold(self.launch.clone(), |launch, (name, value)| launch.variable(name, value))
    }

    /// What a program has to be started with, so that it has this disk.
    fn variables<'a>(&'a self, data: &'a Path) -> [(&'static str, &'a str); 3] {
        [
            ("LD_PRELOAD", &*self.library),
            ("FAILING_DISK_DATA", data),
            ("FAILING_DISK_IMAGE", self.image.path()),
        ]
        .map(|(name, path)| (name, path.to_str().expect("text")))
    }

    #[track_caller]
    fn start_in(&self, data: TempDir) -> Server {
        self.launch(data.path()).start_in(data)
    }

    /// The next sync of a file whose name ends like this fails.
    fn fail_next_sync(&self, of: &str) {
        fs::write(self.image.path().join("fail"), of).expect("a file");
    }

    fn has_failed(&self) -> bool {
        !self.image.path().join("fail").exists()
    }

    /// What is in the data folder when the power is back. The processes that used it have ended.
    fn cut_power(&mut self, data: &Path, mut cut: Cut<'_>) -> TempDir {
        let after = folder();
        let at = |name: String| self.image.path().join(name);
        let (mut inodes, mut ids) = (HashMap::new(), HashMap::new());
        for entry in fs::read_dir(data).expect("a folder").flatten() {
            inodes.insert(entry.metadata().expect("a file").ino(), entry.path());
        }
        let lines = fs::read_to_string(at("ids".into())).expect("the ids");
        for (inode, id) in lines.lines().filter_map(|line| line.split_once(' ')) {
            let inode = inode.parse::<u64>().expect("a number");
            match id.parse::<u32>().expect("a number") {
                0 => ids.remove(&inode),
                id => ids.insert(inode, id),
            };
        }
        // The files that there are now, by id.
        let now: HashMap<u32, &PathBuf> =
            ids.iter().filter_map(|(inode, id)| Some((*id, inodes.get(inode)?))).collect();
        let lines = fs::read_to_string(at("names".into())).unwrap_or_default();
        let mut names: Vec<(String, u32)> = lines
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, id)| (name.to_owned(), id.parse().expect("a number")))
            .collect();
        if let Cut::Random(random) = &mut cut
            && random.bool()
        {
            let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
            names = now.iter().map(|(id, path)| (name(path), *id)).collect();
        }
        for (name, id) in names {
            let path = after.path().join(name);
            fs::copy(at(format!("{id}.disk")), &path).expect("an image");
            if let (Cut::Random(random), Some(shown)) = (&mut cut, now.get(&id)) {
                some_of_the_dirty(&at(format!("{id}.dirty")), shown, &path, random);
            }
        }
        self.image = folder();
        after
    }
}

/// Brings any of the pages that are dirty to the disk.
fn some_of_the_dirty(map: &Path, shown: &Path, disk: &Path, random: &mut fastrand::Rng) {
    let (shown, disk) =
        (File::open(shown).expect("a file"), File::options().write(true).open(disk).expect("it"));
    let mut page = [0; PAGE_BYTES as usize];
    for (number, _) in (0..).zip(fs::read(map).expect("a map")).filter(|(_, dirty)| *dirty == 1) {
        if random.bool() {
            let read = shown.read_at(&mut page, number * PAGE_BYTES).expect("a page");
            disk.write_all_at(&page[..read], number * PAGE_BYTES).expect("a page");
        }
    }
}

/// What the one writer knows of its numbers: 0, 1, 2, …
struct Written {
    thng: String,
    padding: String,
    next: u64,
    acknowledged: u64,
}

impl Written {
    fn new(server: &Server) -> Written {
        Written { thng: server.rest().thng(), padding: String::new(), next: 0, acknowledged: 0 }
    }

    /// Publishes numbers until so many more are acknowledged, or until the server has ended. Returns whether it has.
    fn publish(&mut self, server: &Server, count: u64) -> bool {
        let topic = format!("/thngs/{}/properties/k", self.thng);
        let mut client = Client::connect(server);
        let mut under_way = VecDeque::new();
        let until = self.acknowledged + count;
        while self.acknowledged < until {
            while under_way.len() < WINDOW && self.next < until {
                let payload = format!(r#"[{{"value":{{"n":{},"padding":"{}"}}}}]"#, self.next, self.padding);
                under_way.push_back(client.publish_unacknowledged(&topic, &payload));
                self.next += 1;
            }
            match client.next_within(WAIT_MAX) {
                Some(Ok(Received::PubAck(id))) => {
                    assert_eq!(under_way.pop_front(), Some(id), "acknowledgements come in order");
                    self.acknowledged += 1;
                }
                Some(Ok(other)) => panic!("only acknowledgements were to come, not {other:?}"),
                Some(Err(_)) => return true,
                None => panic!("no acknowledgement in {WAIT_MAX:?}"),
            }
        }
        false
    }

    /// Publishes so many numbers and returns when some are acknowledged: the others are under way.
    fn leave_under_way(&mut self, server: &Server, count: u64, acknowledged: u64) -> impl Sized + use<> {
        let topic = format!("/thngs/{}/properties/k", self.thng);
        let mut client = Client::connect(server);
        for number in self.next..self.next + count {
            client.publish_unacknowledged(&topic, &format!(r#"[{{"value":{{"n":{number}}}}}]"#));
        }
        self.next += count;
        for _ in 0..acknowledged {
            let received = client.next_within(WAIT_MAX).expect("an acknowledgement in time");
            assert!(matches!(received, Ok(Received::PubAck(_))), "{received:?}");
            self.acknowledged += 1;
        }
        client
    }

    /// Compares with what is stored, behind which the next numbers come.
    #[track_caller]
    fn check(&mut self, server: &Server) {
        let history = whole(&mut server.rest(), &self.thng, "k");
        let stored: Vec<_> =
            history.iter().map(|point| point.value["n"].as_u64().expect("a number")).collect();
        let end = stored.len() as u64;
        assert_eq!(stored, (0..end).collect::<Vec<_>>(), "in order, once, without a gap");
        assert!(end >= self.acknowledged, "{} acknowledged, {end} stored", self.acknowledged);
        assert!(end <= self.next, "{} sent, {end} stored", self.next);
        (self.next, self.acknowledged) = (end, end);
    }
}

/// Waits for the end of a server whose disk has failed, which it has to find out by itself.
#[track_caller]
fn ended_by_itself(server: &Server) {
    until("the server ends", || server.log().contains("the server ends").then_some(()));
}

#[test]
fn a_failed_sync_a_restart_and_a_power_cut_lose_nothing() {
    let mut random = random();
    let mut machine = Machine::new(Launch::new().flag("--unindexed-values-max", FEW_VALUES));
    let mut server = machine.start_in(folder());
    let mut written = Written::new(&server);
    for round in 0..rounds(ROUNDS) {
        eprintln!("round {round}");
        assert!(!written.publish(&server, random.u64(5..60)));
        machine.fail_next_sync("-wal");
        assert!(written.publish(&server, u64::from(u32::MAX)), "it ends when its disk fails");
        ended_by_itself(&server);
        // What the operating system shows is what the next one finds.
        server = server.restart();
        written.check(&server);
        assert!(!written.publish(&server, random.u64(5..60)));
        server.kill9();
        let cut = if round % 2 == 0 { Cut::Worst } else { Cut::Random(&mut random) };
        let data = machine.cut_power(server.data(), cut);
        drop(server);
        server = machine.start_in(data);
        written.check(&server);
    }
}

/// The frames of the log since it last started anew: those behind them have other salts.
fn frames(data: &Path) -> u64 {
    let log = fs::read(data.join("thng-pubsub.db-wal")).expect("the log");
    let (header, frames) = log.split_at(32);
    frames.chunks_exact(FRAME_BYTES).take_while(|frame| frame[8..16] == header[16..24]).count() as u64
}

#[test]
fn a_power_cut_while_a_log_is_rewritten_loses_nothing() {
    let mut random = random();
    let mut machine = Machine::new(Launch::new().flag("--unindexed-values-max", FEW_VALUES));
    let mut server = machine.start_in(folder());
    let mut written = Written::new(&server);
    for round in 0..rounds(ROUNDS) {
        // Some hundreds of frames, which are rewritten by several calls.
        assert!(!written.publish(&server, 200));
        machine.fail_next_sync("-wal");
        assert!(written.publish(&server, u64::from(u32::MAX)), "it ends when its disk fails");
        ended_by_itself(&server);
        server.kill9();
        for _ in 0..random.usize(1..3) {
            // The first page of the database, the header of the log, and its frames in parts.
            let writes = random.u64(0..2 + frames(server.data()) / FRAMES);
            eprintln!("round {round}: the end comes with write {writes}");
            let launch =
                machine.launch(server.data()).variable("FAILING_DISK_EXIT_AFTER", &writes.to_string());
            let ended = launch.refused_in(server.data());
            assert_eq!(ended.status.code(), Some(137), "{ended:?}");
        }
        let data = machine.cut_power(server.data(), Cut::Random(&mut random));
        drop(server);
        server = machine.start_in(data);
        written.check(&server);
    }
}

#[test]
fn a_command_without_a_server_rewrites_the_log_too() {
    let mut machine = Machine::new(Launch::new().flag("--unindexed-values-max", FEW_VALUES));
    let mut server = machine.start_in(folder());
    let mut written = Written::new(&server);
    assert!(!written.publish(&server, 20));
    machine.fail_next_sync("-wal");
    assert!(written.publish(&server, u64::from(u32::MAX)), "it ends when its disk fails");
    ended_by_itself(&server);
    server.kill9();
    let mut command = Command::new(binary());
    command.args(["keys", "create", "--operator", "operator@localhost", "--data"]).arg(server.data());
    let output = command.envs(machine.variables(server.data())).output().expect("the binary can be run");
    assert!(output.status.success(), "{output:?}");
    let key = String::from_utf8(output.stdout).expect("a key");
    let data = machine.cut_power(server.data(), Cut::Worst);
    drop(server);
    let server = machine.start_in(data);
    server.rest_as(key.trim()).get("/access").assert_status(200);
    written.check(&server);
}

#[test]
fn a_power_cut_on_a_disk_that_works_loses_nothing() {
    let mut random = random();
    let mut machine = Machine::new(Launch::new().flag("--unindexed-values-max", FEW_VALUES));
    let mut server = machine.start_in(folder());
    let mut written = Written::new(&server);
    for round in 0..rounds(ROUNDS) {
        assert!(!written.publish(&server, random.u64(5..60)));
        if round % 3 == 0 {
            server = server.restart();
            assert!(!written.publish(&server, random.u64(5..60)));
        }
        // Fewer than one answer shows, since one millisecond may hold them all.
        let count = random.u64(0..30);
        let _client = written.leave_under_way(&server, count, random.u64(0..=count));
        server.kill9();
        let cut = if round % 2 == 0 { Cut::Worst } else { Cut::Random(&mut random) };
        let data = machine.cut_power(server.data(), cut);
        drop(server);
        server = machine.start_in(data);
        written.check(&server);
    }
}

#[test]
fn a_failed_sync_of_the_database_ends_the_server_too() {
    let mut machine = Machine::new(Launch::new().flag("--unindexed-values-max", FEW_VALUES));
    let mut server = machine.start_in(folder());
    let mut written = Written::new(&server);
    written.padding = "x".repeat(30_000);
    for _ in 0..2 {
        machine.fail_next_sync(".db");
        // More than the log may have before it is carried over into the database.
        assert!(written.publish(&server, 10_000), "it ends when its disk fails");
        assert!(machine.has_failed());
        ended_by_itself(&server);
        server = server.restart();
        written.check(&server);
        assert!(!written.publish(&server, 1));
        server.kill9();
        let data = machine.cut_power(server.data(), Cut::Worst);
        drop(server);
        server = machine.start_in(data);
        written.check(&server);
    }
}

#[test]
fn a_power_cut_after_the_first_write_leaves_the_keys() {
    let mut machine = Machine::new(Launch::new().without("--operator-key"));
    let mut server = machine.start_in(folder());
    let key = fs::read_to_string(server.data().join("operator.key")).expect("the operator's key");
    let thng = server.rest_as(key.trim()).thng();
    let device = server.rest_as(key.trim()).device(&thng);
    server.kill9();
    let data = machine.cut_power(server.data(), Cut::Worst);
    assert_eq!(fs::read_to_string(data.path().join("operator.key")).expect("the operator's key"), key);
    drop(server);
    let server = machine.start_in(data);
    assert_eq!(server.rest_as(key.trim()).device(&thng).key, device.key);
}
