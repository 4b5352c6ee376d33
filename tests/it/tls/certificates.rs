//! The certificates of the TLS listeners: the choice by name, their replacement while connections go on, refusals at the
//! start, and the certificate for development.
//!
//! What is said over TLS is in `tls/listeners.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::server::Ended;
use thng_pubsub_tests::tls::{Authority, Certificate, Files, Trust, client_pem, shown};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

/// Keys that are used for nothing else; see `keys/README.md`.
const RSA_PKCS8: &str = include_str!("../../keys/rsa-pkcs8.pem");
const RSA_PKCS1: &str = include_str!("../../keys/rsa-pkcs1.pem");
const EC_PKCS8: &str = include_str!("../../keys/ec-pkcs8.pem");
const EC_SEC1: &str = include_str!("../../keys/ec-sec1.pem");

#[track_caller]
fn reloads(server: &Server, outcome: &str) -> u64 {
    server.metric(&format!(r#"tls_reloads_total{{outcome="{outcome}"}}"#))
}

#[track_caller]
fn until_shown(server: &Server, certificate: &Certificate) {
    until("new handshakes see the new certificate", || {
        (shown(server.https(), "localhost") == certificate.der).then_some(())
    });
}

#[track_caller]
fn assert_refused(ended: &Ended, naming: &[&str]) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "", "no `ready` line");
    for part in naming {
        assert!(ended.stderr.contains(part), "the reason says {part:?}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "a wrong file is no crash: {}", ended.stderr);
}

#[test]
fn each_name_gets_its_certificate_and_others_the_first() {
    let authority = Authority::new();
    let [first, second, third] =
        [&["localhost", "one.test"][..], &["two.test", "zwei.test"], &["*.three.test", "127.0.0.2"]]
            .map(|names| authority.signs(names));
    let files = [&first, &second, &third].map(Files::holding);
    let server = Files::launch_all(&files.each_ref()).start();
    for (host_name, expected) in [
        ("localhost", &first),
        ("one.test", &first),
        ("two.test", &second),
        ("TWO.test", &second),
        ("zwei.test", &second),
        ("a.three.test", &third),
        ("three.test", &first),
        ("a.b.three.test", &first),
        ("four.test", &first),
        // Addresses are never asked for by name [RFC 6066, 3].
        ("127.0.0.1", &first),
        ("127.0.0.2", &first),
    ] {
        assert!(shown(server.https(), host_name) == expected.der, "{host_name} over HTTPS");
        assert!(shown(server.mqtts(), host_name) == expected.der, "{host_name} over MQTT");
    }
    let trust = Trust::of(&authority.pem);
    for host_name in ["localhost", "two.test", "a.three.test"] {
        let link = trust.clone().named(host_name).connect(server.mqtts());
        Client::accepted(link, &Hello::with_key(KEY)).ping();
    }
}

#[test]
fn keys_of_every_kind_that_the_documentation_names_are_served() {
    let authority = Authority::new();
    let made = |kind| KeyPair::generate_for(kind).expect("such a key can be made");
    let rsa = KeyPair::from_pkcs8_pem_and_sign_algo(RSA_PKCS8, &PKCS_RSA_SHA256).expect("it is an RSA key");
    let mut certificates: Vec<Certificate> =
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
            .map(|kind| authority.signs_for(&["localhost"], &made(kind)))
            .into();
    // Older programs write keys in forms of their own: `RSA PRIVATE KEY` and `EC PRIVATE KEY`.
    for key in [RSA_PKCS8, RSA_PKCS1] {
        certificates.push(Certificate { key: key.to_owned(), ..authority.signs_for(&["localhost"], &rsa) });
    }
    let ec = KeyPair::from_pem(EC_PKCS8).expect("it is an EC key");
    certificates.push(Certificate { key: EC_SEC1.to_owned(), ..authority.signs_for(&["localhost"], &ec) });

    for certificate in &certificates {
        let server = Files::holding(certificate).launch().start();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let trust = Trust::of(&authority.pem).speaking(&[version]);
            Rest::over_tls(server.https(), Some(KEY), &trust).get("/access").assert_status(200);
        }
    }
}

#[test]
fn a_chain_is_shown_whole_with_the_leaf_first() {
    let authority = Authority::new();
    let own = authority.signs(&["localhost"]);
    let chain = Certificate { chain: format!("{}{}", own.chain, authority.pem), ..own.clone() };
    let server = Files::holding(&chain).launch().start();
    let raw = Trust::of(&authority.pem).connect(server.https());
    let shown = raw.tls().peer_certificates().expect("a chain");
    assert_eq!((shown.len(), shown[0].to_vec()), (2, own.der.clone()));

    let reversed = Certificate { chain: format!("{}{}", authority.pem, own.chain), ..own };
    let files = Files::holding(&reversed);
    let (key, chain) = (files.key().display().to_string(), files.chain().display().to_string());
    assert_refused(&files.launch().refused(), &[&key, &chain, "the server's own certificate first"]);
}

#[test]
fn new_certificate_files_are_loaded_without_losing_messages() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| authority.signs(&["localhost"]));
    let files = Files::holding(&old);
    let server = files.launch().start();
    let trust = Trust::of(&authority.pem);
    let topic = format!("/thngs/{}/properties/count", server.rest().thng());
    let connect = || Client::accepted(trust.connect(server.mqtts()), &Hello::with_key(KEY));
    let (mut publishing, mut watching) = (connect(), connect());
    watching.subscribed(&topic, QoS::AtLeastOnce);
    let mut rest = Rest::over_tls(server.https(), Some(KEY), &trust);
    rest.get("/access").assert_status(200);
    assert!(shown(server.mqtts(), "localhost") == old.der);

    files.replace(&new);
    let mut written = 0;
    let mut write = |publishing: &mut Client| {
        publishing.publish_acknowledged(&topic, &format!(r#"[{{"value":{written}}}]"#));
        written += 1;
        written
    };
    until("new handshakes see the new certificate", || {
        write(&mut publishing);
        rest.get("/access").assert_status(200);
        (shown(server.https(), "localhost") == new.der).then_some(())
    });
    assert!(shown(server.mqtts(), "localhost") == new.der, "both listeners have the same");
    let written = write(&mut publishing);
    for n in 0..written {
        assert_eq!(watching.message().value(), n);
    }
    watching.assert_nothing_else();
    assert_eq!(rest.connections(), 1, "the connection that stood goes on");
    // The count follows the change.
    until("it is counted", || (reloads(&server, "taken") >= 1).then_some(()));
    connect().ping();
}

#[test]
fn sighup_reloads_files_whose_change_is_invisible() {
    let authority = Authority::new();
    let files = Files::holding(&authority.signs(&["localhost"]));
    let server = files.launch().start();
    // Nothing has changed, so only the signal can have them read.
    server.hang_up();
    until("they are read", || (reloads(&server, "taken") == 1).then_some(()));
    assert_eq!(reloads(&server, "refused"), 0);

    let new = authority.signs(&["localhost"]);
    files.replace(&new);
    server.hang_up();
    until_shown(&server, &new);
    server.assert_serves();
}

#[test]
fn sighup_does_not_end_a_server_without_tls() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    server.hang_up();
    until("it says that there is nothing to read", || {
        server.log().contains("SIGHUP: there are no TLS certificates to read again").then_some(())
    });
    client.ping();
    server.assert_serves();
}

/// What an operator may leave in the place of a file that works.
type Mishap = (&'static str, fn(&Files, &Authority), &'static str);

const MISHAPS: [Mishap; 8] = [
    (
        "the key of another certificate",
        |files, authority| write(&files.key(), &authority.signs(&["localhost"]).key),
        "is not that of the first certificate",
    ),
    (
        "a certificate without its key",
        |files, authority| write(&files.chain(), &authority.signs(&["localhost"]).chain),
        "is not that of the first certificate",
    ),
    ("no certificate", |files, _| fs::remove_file(files.chain()).expect("it is ours"), "cannot read"),
    ("no key", |files, _| fs::remove_file(files.key()).expect("it is ours"), "cannot read"),
    (
        "a folder",
        |files, _| {
            fs::remove_file(files.key()).expect("it is ours");
            fs::create_dir(files.key()).expect("its place is free");
        },
        "cannot read",
    ),
    ("garbage", |files, _| write(&files.chain(), "garbage\n"), "has no certificate"),
    ("half a file", |files, _| halve(&files.key()), "has no private key that can be read"),
    (
        "a certificate that has run out",
        |files, authority| files.replace(&authority.signs_expired(&["localhost"])),
        "has expired",
    ),
];

#[track_caller]
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder is the test's");
}

#[track_caller]
fn halve(path: &Path) {
    let text = fs::read_to_string(path).expect("it is there");
    write(path, &text[..text.len() / 2]);
}

#[test]
fn unusable_files_keep_the_old_certificate_until_corrected() {
    let authority = Authority::new();
    let mut current = authority.signs(&["localhost"]);
    let files = Files::holding(&current);
    let server = files.launch().start();
    for (what, happen, sentence) in MISHAPS {
        let (refused, logged) = (reloads(&server, "refused"), server.log().len());
        happen(&files, &authority);
        server.hang_up();
        until(format!("{what} is refused"), || (reloads(&server, "refused") > refused).then_some(()));
        until(format!("the log says {sentence:?} of {what}"), || {
            let log = server.log();
            let lines = log[logged..].lines().filter(|line| line.contains("the old ones stay"));
            lines.filter(|line| line.contains(sentence)).map(drop).next()
        });
        for address in [server.https(), server.mqtts()] {
            assert!(shown(address, "localhost") == current.der, "{what}: the old one is shown");
        }

        if files.key().is_dir() {
            fs::remove_dir(files.key()).expect("it is empty");
        }
        current = authority.signs(&["localhost"]);
        files.replace(&current);
        server.hang_up();
        until_shown(&server, &current);
    }
    server.assert_serves();
}

#[test]
fn a_wrong_file_and_its_correction_are_noticed() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| authority.signs(&["localhost"]));
    let files = Files::holding(&old);
    let server = files.launch().start();
    // The certificate first and its key long after, as by an operator that copies them by hand.
    write(&files.chain(), &new.chain);
    until("it is refused", || (reloads(&server, "refused") == 1).then_some(()));
    assert!(shown(server.https(), "localhost") == old.der);
    write(&files.key(), &new.key);
    until_shown(&server, &new);
    assert_eq!(
        (reloads(&server, "refused"), reloads(&server, "taken")),
        (1, 1),
        "each change is looked at once"
    );
}

#[test]
fn changed_symbolic_links_are_followed() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| authority.signs(&["localhost"]));
    let (before, after, live) = (Files::holding(&old), Files::holding(&new), Files::holding(&old));
    let link = |to: &Files| {
        for (at, target) in [(live.chain(), to.chain()), (live.key(), to.key())] {
            fs::remove_file(&at).expect("it is ours");
            std::os::unix::fs::symlink(target, at).expect("its place is free");
        }
    };
    link(&before);
    let server = live.launch().start();
    assert!(shown(server.https(), "localhost") == old.der);
    link(&after);
    until_shown(&server, &new);
}

#[test]
fn a_file_with_changed_permissions_is_read_again() {
    let files = Files::holding(&Authority::new().signs(&["localhost"]));
    let server = files.launch().start();
    fs::set_permissions(files.key(), fs::Permissions::from_mode(0o600)).expect("it is ours");
    until("it is read again", || (reloads(&server, "taken") == 1).then_some(()));
    assert_eq!(reloads(&server, "refused"), 0);
}

#[test]
fn metrics_show_when_the_first_certificate_expires() {
    let authority = Authority::new();
    let (current, expired) = (authority.signs(&["localhost"]), authority.signs_expired(&["old.test"]));
    let files = [&current, &expired].map(Files::holding);
    let server = Files::launch_all(&files.each_ref()).start();
    // 2002-01-01, which is past: at the start there is nothing better to show.
    assert_eq!(server.metric("tls_certificate_expiry_timestamp_seconds"), 1_009_843_200);
    until("the log says so", || server.log().contains("the certificate has expired").then_some(()));
    assert!(shown(server.https(), "old.test") == expired.der);

    files[1].replace(&authority.signs(&["old.test"]));
    until("the new one counts", || {
        (server.metric("tls_certificate_expiry_timestamp_seconds") > 1_009_843_200).then_some(())
    });
    assert_eq!(
        Server::start().metric("tls_certificate_expiry_timestamp_seconds"),
        0,
        "there is none without TLS"
    );
}

/// What cannot be used from the beginning: how the files are spoilt, which of them the refusal names, and its sentence.
type Spoilt = (&'static str, fn(&Files, &Authority), fn(&Files) -> std::path::PathBuf, &'static str);

const SPOILT: [Spoilt; 11] = [
    (
        "no certificate",
        |files, _| fs::remove_file(files.chain()).expect("it is ours"),
        Files::chain,
        "cannot read",
    ),
    ("no key", |files, _| fs::remove_file(files.key()).expect("it is ours"), Files::key, "cannot read"),
    (
        "the key of another",
        |files, authority| write(&files.key(), &authority.signs(&["localhost"]).key),
        Files::key,
        "give the pair that belongs together",
    ),
    ("an empty certificate", |files, _| write(&files.chain(), ""), Files::chain, "has no certificate"),
    ("an empty key", |files, _| write(&files.key(), ""), Files::key, "has no private key"),
    (
        "garbage as certificate",
        |files, _| write(&files.chain(), "garbage\n"),
        Files::chain,
        "has no certificate",
    ),
    ("half a certificate", |files, _| halve(&files.chain()), Files::chain, "is no PEM file"),
    (
        "something else in a certificate's frame",
        |files, _| {
            let key = fs::read_to_string(files.key()).expect("it is there");
            write(&files.chain(), &key.replace("PRIVATE KEY", "CERTIFICATE"));
        },
        Files::chain,
        "is no X.509 certificate",
    ),
    ("the files the wrong way round", swap, Files::chain, "has no certificate"),
    (
        "a key behind a passphrase",
        |files, _| write(&files.key(), include_str!("../../keys/encrypted-pkcs8.pem")),
        Files::key,
        "it should be an unencrypted PEM file",
    ),
    (
        "a key behind a passphrase in the old form",
        |files, _| write(&files.key(), include_str!("../../keys/encrypted-sec1.pem")),
        Files::key,
        "it should be an unencrypted PEM file",
    ),
];

#[track_caller]
fn swap(files: &Files, _: &Authority) {
    let (chain, key) = (fs::read_to_string(files.chain()), fs::read_to_string(files.key()));
    write(&files.chain(), &key.expect("it is there"));
    write(&files.key(), &chain.expect("it is there"));
}

#[test]
fn unusable_files_stop_the_start_by_name_with_the_reason() {
    let authority = Authority::new();
    for (what, spoil, named, sentence) in SPOILT {
        let files = Files::holding(&authority.signs(&["localhost"]));
        spoil(&files, &authority);
        let ended = files.launch().refused();
        assert_refused(&ended, &[&named(&files).display().to_string(), sentence]);
        let key = fs::read_to_string(files.key()).unwrap_or_default();
        let secret = key.lines().filter(|line| line.len() == 64).find(|line| ended.stderr.contains(line));
        assert_eq!(secret, None, "{what}: nothing of a key is in the log");
    }
}

#[test]
fn each_certificate_needs_its_key() {
    let authority = Authority::new();
    let [one, other] = [(); 2].map(|()| Files::holding(&authority.signs(&["localhost"])));
    let both = format!("{},{}", one.chain().display(), other.chain().display());
    let key = one.key().display().to_string();
    for launch in [
        Launch::new().with_tls().flag("--tls-cert", &both).flag("--tls-key", &key),
        Launch::new().with_tls().flag("--tls-cert", &both),
        Launch::new().with_tls().flag("--tls-key", &key),
        Launch::new().flag("--tls-cert", &both),
    ] {
        assert_refused(&launch.refused(), &["--tls-cert", "--tls-key", "each certificate needs its key"]);
    }
}

#[test]
fn a_certificate_without_a_tls_listener_causes_a_warning() {
    let files = Files::holding(&Authority::new().signs(&["localhost"]));
    let server = files.launch().flag("--https", "off").flag("--mqtts", "off").start();
    until("the log says so", || server.log().contains("--tls-cert has no effect").then_some(()));
    server.assert_serves();
}

#[test]
fn the_development_authority_survives_restarts_and_renewal() {
    let server = Launch::new().with_tls().start();
    let (pem, first) = (client_pem(&server), shown(server.https(), "localhost"));
    let trust = Trust::of(&pem);

    let server = server.restart();
    assert_eq!(client_pem(&server), pem);
    assert!(shown(server.https(), "localhost") == first, "what is good is kept");

    for lost in ["server.pem", "server.key"] {
        fs::remove_file(server.data().join("tls").join(lost)).expect("the server has made it");
    }
    let server = server.restart();
    assert_eq!(client_pem(&server), pem, "clients have the authority's certificate already");
    assert!(shown(server.https(), "localhost") != first, "what was lost is made again");
    Client::accepted(trust.connect(server.mqtts()), &Hello::with_key(KEY)).ping();
}

#[test]
fn a_lost_development_certificate_is_made_again() {
    let server = Launch::new().with_tls().start();
    let (trust, first) = (Trust::in_the(&server), shown(server.https(), "localhost"));
    fs::remove_file(server.data().join("tls/server.pem")).expect("the server has made it");
    until("there is another one", || (shown(server.https(), "localhost") != first).then_some(()));
    let _ = trust.connect(server.https());
}

#[test]
fn development_keys_are_private_despite_umask_and_crashes() {
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let server = Launch::new().with_tls().after("umask 0").start();
    let folder = server.data().join("tls");
    assert_eq!(mode(&folder), 0o700);
    let assert_private = |folder: &Path| {
        for key in ["authority.key", "server.key"] {
            assert_eq!(mode(&folder.join(key)), 0o600, "{key}");
        }
    };
    assert_private(&folder);

    // A server that was killed while it wrote certificates, which every user may read.
    for left in ["server.pem", "server.key", "authority.pem", "authority.key"] {
        let part = folder.join(format!("{left}.part"));
        write(&part, "half of it");
        fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).expect("it is ours");
        fs::remove_file(folder.join(left)).expect("the server has made it");
    }
    let server = server.restart();
    assert_private(&server.data().join("tls"));
    server.assert_serves();
}

#[test]
fn an_unreadable_authority_is_refused_and_left_alone() {
    let mut server = Launch::new().with_tls().start();
    let folder = server.data().join("tls");
    server.terminate();
    fs::remove_file(folder.join("server.pem")).expect("the server has made it");
    write(&folder.join("authority.key"), "garbage\n");
    let ended = Launch::new().with_tls().refused_in(server.data());
    let named = folder.join("authority.key").display().to_string();
    assert_refused(&ended, &[&named, "delete the folder to have another authority made"]);
    assert_eq!(fs::read_to_string(folder.join("authority.key")).expect("it is there"), "garbage\n");
}

#[test]
fn client_pem_is_404_with_given_certificates_or_without_tls() {
    let given = Files::holding(&Authority::new().signs(&["localhost"])).launch().start();
    for server in [given, Server::start()] {
        // By REST's own client, which also looks at the form of the error document.
        let answer = Rest::new(server.http(), None).get("/client.pem").expect(404);
        let sentence = answer["errors"][0].as_str().expect("a sentence");
        assert!(sentence.contains("There is no authority of this server's own"), "{sentence}");
        assert!(!server.data().join("tls").exists(), "none is made either");
    }
}
