//! The memory that a crafted message, or a message that is never finished, costs the server.
//!
//! `docs/security.md` numbers the bug classes. Announced lengths are in `hostile/load.rs`, clients that do not read in
//! `hostile/readers.rs`.

use serde_json::json;
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, Subscribe, Unsubscribe};
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::frames::{Frames, frame};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, Received, encoded, publish};
use thng_pubsub_tests::{KEY, Server};

const MIB: u64 = 1 << 20;

fn property(server: &Server) -> String {
    format!("/thngs/{}/properties/k", server.rest().thng())
}

/// Bug class 13: flows of QoS 2 that are begun and never finished (CVE-2023-28366).
#[test]
fn unreleased_qos_2_publishes_cost_a_bit_and_are_stored_once() {
    let server = Server::start();
    let topic = property(&server);
    let begin = |client: &mut Client, id| {
        client.send(&Packet::Publish(publish(&topic, "1", QoS::ExactlyOnce, Some(id))));
    };
    let mut again = Client::connect(&server);
    for _ in 0..2_000 {
        begin(&mut again, PacketId::MIN);
        assert_eq!(again.packet(), Received::PubRec(PacketId::MIN));
    }
    assert_eq!(server.rest().get(&topic).expect(200).as_array().map(Vec::len), Some(1));

    let mut greedy = Client::connect(&server);
    let grown = server.growth(|| {
        let ids: Vec<PacketId> = (0..3_000).map(|_| greedy.packet_id()).collect();
        ids.iter().for_each(|id| begin(&mut greedy, *id));
        ids.iter().for_each(|id| assert_eq!(greedy.packet(), Received::PubRec(*id)));
    });
    assert!(grown < MIB, "{grown} bytes for 3,000 of them");
    greedy.ping();
    again.send(&Packet::PubRel(PacketId::MIN));
    assert_eq!(again.packet(), Received::PubComp(PacketId::MIN));
}

/// Bug class 13: a CONNECT that is refused and leaks (CVE-2017-7654, CVE-2023-3592).
#[test]
fn connects_that_are_refused_leave_no_memory_behind() {
    let server = Server::start();
    let topic = property(&server);
    let named = "x".repeat(10_000);
    let will_on = |topic: &str, payload: &str| {
        let will = LastWill { topic: topic.to_owned(), payload: payload.to_owned(), qos: QoS::AtLeastOnce };
        Hello { will: Some(will), ..Hello::with_key(KEY).named(&named) }
    };
    let mut malformed = Hello::with_key(KEY).named(&named).bytes();
    malformed.push(0);
    let second = Hello::with_key(KEY).named(&named).bytes().repeat(2);
    let connects = [
        Hello::with_key(&KEY.to_lowercase()).named(&named).bytes(),
        will_on("/nothing", &named).bytes(),
        will_on(&topic, "[{").bytes(),
        malformed,
        second,
        b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01x".to_vec(),
    ];
    let refused = |times| {
        for _ in 0..times {
            for connect in &connects {
                let mut raw = Raw::connect(server.mqtt()).with(connect);
                raw.finish();
                raw.until_closed();
            }
        }
    };
    refused(100);
    let before = server.resident_bytes();
    refused(300);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes after 1,800 more, of 10 kB each");
}

/// Bug class 15: one message that is worth a thousand times its size (CVE-2021-22116, CVE-2021-33175, CVE-2021-33176).
#[test]
fn no_packet_takes_many_times_its_size_however_it_is_made() {
    let server = Server::start();
    let topic = property(&server);
    let all = topic.trim_end_matches("/k");
    let mut canary = Canary::in_the(&server);
    let filters = vec![("x", QoS::AtMostOnce); 30_000];
    let granted: Vec<String> = (0..1_500).map(|n| format!("{topic}?n={n}")).collect();
    let granted: Vec<(&str, QoS)> = granted.iter().map(|filter| (&**filter, QoS::AtMostOnce)).collect();
    let names = vec!["x"; 40_000];
    let entries = format!("[{}]", vec![r#"{"key":"k","value":0}"#; 5_000].join(","));
    let packet = |payload: &str| encoded(&Packet::Publish(publish(all, payload, QoS::AtMostOnce, None)));
    let of = |value: &str| format!(r#"[{{"key":"k","value":{value}}}]"#);
    let keys: Vec<String> = (0..12_000).map(|n| format!("\"{n}\":{{}}")).collect();
    let packets = [
        ("thirty thousand filters", encoded(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &filters)))),
        (
            "many filters that are granted",
            encoded(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &granted))),
        ),
        ("forty thousand names", encoded(&Packet::Unsubscribe(Unsubscribe::new(PacketId::MIN, &names)))),
        ("empty arrays", packet(&of(&format!("[{}]", vec!["[]"; 40_000].join(","))))),
        ("empty objects", packet(&of(&format!("[{}]", vec!["{}"; 40_000].join(","))))),
        ("many keys", packet(&of(&format!("{{{}}}", keys.join(","))))),
        ("one number", packet(&of(&"1".repeat(120_000)))),
        ("one exponent", packet(&of(&format!("1e{}", "9".repeat(100_000))))),
        ("escapes", packet(&of(&format!("\"{}\"", "\\u0000".repeat(20_000))))),
        ("many entries", packet(&entries)),
        ("blanks", packet(&" ".repeat(120_000))),
    ];
    canary.sings();
    let before = server.resident_bytes_at_the_most();
    for (what, packet) in packets {
        let mut client = Client::connect(&server);
        for _ in 0..5 {
            client.send_bytes(&packet);
            client.ping();
        }
        let grown = server.resident_bytes_at_the_most().saturating_sub(before);
        assert!(grown < 16 * MIB, "{grown} bytes with {what}, five packets of {}", packet.len());
    }
    canary.sings();
}

/// Bug class 15, for the bodies of REST.
#[test]
fn no_body_takes_many_times_its_size_however_it_is_made() {
    let server = Server::start();
    let mut rest = server.rest();
    let mut canary = Canary::in_the(&server);
    let thng = format!("/thngs/{}", rest.thng());
    let of = |value: String| format!(r#"{{"name":"n","customFields":{value}}}"#);
    let keys: Vec<String> = (0..90_000).map(|n| format!("\"{n}\":{{}}")).collect();
    rest.put(&thng, of("{}".to_owned())).assert_status(200);
    canary.sings();
    let before = server.resident_bytes_at_the_most();
    for (what, body) in [
        ("empty arrays", of(format!("{{\"a\":[{}]}}", vec!["[]"; 300_000].join(",")))),
        ("zeros", of(format!("{{\"a\":[{}]}}", vec!["0"; 500_000].join(",")))),
        ("many keys", of(format!("{{{}}}", keys.join(",")))),
        ("fields that nobody knows", format!("{{{}}}", keys.join(","))),
        ("the same field again and again", format!("{{{}}}", vec![r#""name":"n""#; 80_000].join(","))),
        ("tags", format!(r#"{{"tags":[{}]}}"#, vec!["\"\""; 300_000].join(","))),
    ] {
        for _ in 0..3 {
            let status = rest.put(&thng, &*body).status;
            assert!(matches!(status, 200 | 400), "{what}: {status}");
        }
        let grown = server.resident_bytes_at_the_most().saturating_sub(before);
        assert!(grown < 64 * MIB, "{grown} bytes with {what}, three bodies of {}", body.len());
    }
    canary.sings();
}

/// Bug class 15: one message that becomes ten thousand.
#[test]
fn a_write_to_10_000_subscriptions_stays_within_the_queue() {
    let server = Server::start();
    let topic = property(&server);
    let mut canary = Canary::in_the(&server);
    let mut greedy = Client::connect(&server);
    for thousand in 0..10 {
        let filters: Vec<String> = (0..1_000).map(|n| format!("{topic}?n={thousand}.{n}")).collect();
        let filters: Vec<_> = filters.iter().map(|filter| (&**filter, QoS::AtMostOnce)).collect();
        greedy.subscribe_all(&filters);
    }
    canary.sings();
    let before = server.resident_bytes_at_the_most();
    let large = json!([{"value": "x".repeat(100_000)}]);
    for _ in 0..3 {
        server.rest().put(&topic, large.clone()).assert_status(200);
    }
    canary.sings();
    let grown = server.resident_bytes_at_the_most().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes for 3 writes of 100 kB");
    greedy.message();
}

/// Bug class 17: a message of tiny fragments, a head of tiny headers (CVE-2023-43669).
#[test]
fn tiny_fragments_and_headers_cost_no_more_than_large_ones() {
    let server = Server::start();
    let topic = property(&server);
    let unfinished: Vec<u8> = [frame(0x02, b"x"), frame(0x00, b"x").repeat(100_000)].concat();
    let fragments = server.growth(|| {
        [&*topic, "/mqtt"].map(|path| {
            let mut socket = Frames::open(&server, path);
            if path == "/mqtt" {
                socket.send(&frame(0x82, &Hello::with_key(KEY).bytes()));
                assert_eq!(socket.payload(2), b"\x20\x02\x00\x00");
            }
            socket.send(&unfinished);
            socket.send(&frame(0x89, b"all of it was read"));
            assert_eq!(socket.payload(10), b"all of it was read");
            socket
        })
    });
    assert!(fragments < MIB, "{fragments} bytes for two messages of 100,000 fragments");

    let head: String = (0..1_000).map(|n| format!("A{n}:\r\n")).collect();
    let head = format!("GET /access HTTP/1.1\r\n{head}");
    let headers = server
        .growth(|| (0..20).map(|_| Raw::connect(server.http()).with(head.as_bytes())).collect::<Vec<_>>());
    assert!(headers < 2 * MIB, "{headers} bytes for 20 heads of a thousand headers");
}
