//! Every door to every door: whatever protocol a value is written through, all the others show it, as the same JSON and
//! on exactly the topic string that each was opened with.

use thng_pubsub_tests::doors::{DOORS, Door, Note, Reader, Writer};
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{Response, Server};

/// The topics on which a property can be written: the payload for a value.
const WRITES: [(&str, &str); 2] = [
    ("properties", r#"[{"key":"temperature","value":VALUE}]"#),
    ("properties/temperature", r#"[{"value":VALUE}]"#),
];

/// The topics on which the property is seen, in the spellings that clients use.
const WATCHED: [&str; 2] = ["properties", "properties/temperature"];

/// One cell: what was seen through one door, on one topic string, of what was written through another.
#[derive(Debug)]
struct Cell {
    through: Door,
    watched: String,
    note: Note,
}

impl Cell {
    /// Whether it is what REST shows, on the string that was asked for.
    fn is_right(&self, shown: &Response) -> bool {
        self.note.json == shown.json()
            && self.note.text.as_deref().is_none_or(|text| text == shown.text())
            && self.note.topic.as_ref().is_none_or(|topic| *topic == self.watched)
    }
}

/// Opens every reader, writes once, and collects what each was shown.
fn cells(server: &Server, written_through: Door, topic: &str, payload: &str, thng: &str) -> Vec<Cell> {
    let mut readers = Vec::new();
    for through in DOORS {
        for watched in WATCHED {
            for watched in spellings(through, &format!("/thngs/{thng}/{watched}")) {
                readers.push((through, watched.clone(), Reader::open(through, server, &watched)));
            }
        }
    }
    Writer::open(written_through, server, topic).write(payload);
    let read = |(through, watched, mut reader): (Door, String, Reader)| Cell {
        through,
        watched,
        note: reader.read(),
    };
    readers.into_iter().map(read).collect()
}

/// In MQTT, clients differ in how they spell a topic and have to find their own spelling on each message.
fn spellings(through: Door, topic: &str) -> Vec<String> {
    match through {
        Door::Rest => vec![topic.to_owned()],
        Door::WebSocket => vec![topic.to_owned(), format!("{topic}?pubStates=0")],
        Door::Mqtt | Door::MqttOverWebSocket => vec![
            topic.to_owned(),
            topic[1..].to_owned(),
            format!("{topic}/"),
            format!("{}?pubStates=0", &topic[1..]),
        ],
    }
}

fn check(written_through: Door) {
    let server = Server::shared();
    let mut rest = server.rest();
    for (n, (topic, payload)) in WRITES.into_iter().enumerate() {
        // A thng for each, so that "all its properties" is the one that was written.
        let thng = rest.thng();
        let value = format!("{n}.50");
        let payload = payload.replace("VALUE", &value);
        let topic = format!("/thngs/{thng}/{topic}");
        let cells = cells(server, written_through, &topic, &payload, &thng);

        let shown = rest.get(&format!("/thngs/{thng}/properties"));
        assert!(shown.text().contains(&format!(r#""value":{value},"#)), "{}", shown.text());
        for cell in &cells {
            assert!(
                cell.is_right(&shown),
                "{topic} written through {written_through:?}: on {} through {:?} there came {:?}, REST shows {}",
                cell.watched,
                cell.through,
                cell.note,
                shown.text()
            );
        }
        assert_eq!(cells.len(), 2 * (1 + 4 + 4 + 2), "every reader was asked");
    }
}

#[test]
fn what_rest_writes_is_seen_through_every_door() {
    check(Door::Rest);
}

#[test]
fn what_mqtt_writes_is_seen_through_every_door() {
    check(Door::Mqtt);
}

#[test]
fn what_mqtt_over_websocket_writes_is_seen_through_every_door() {
    check(Door::MqttOverWebSocket);
}

#[test]
fn what_a_native_websocket_writes_is_seen_through_every_door() {
    check(Door::WebSocket);
}

#[test]
fn every_door_refuses_the_same_writes_and_stores_nothing_of_them() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    for payload in
        ["[{", "{}", "not json", r#"[{"value":1,"timestamp":"x"}]"#, r#"[{"key":"other","value":1}]"#]
    {
        for door in DOORS {
            assert!(Writer::open(door, server, &topic).is_refused(payload), "{payload} through {door:?}");
        }
    }
    assert_eq!(rest.get(&format!("/thngs/{thng}/properties")).expect(200), serde_json::json!([]));
}

/// The topic of a thng's own fields: written through every door, seen through the three that watch, as REST shows it.
#[test]
fn a_thngs_own_fields_reach_every_watcher_of_its_topic_whichever_door_they_were_written_through() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}", rest.thng());
    for written_through in DOORS {
        let watching = DOORS.into_iter().filter(|door| *door != Door::Rest);
        let readers: Vec<_> = watching.map(|through| Reader::open(through, server, &topic)).collect();
        let name = format!("named through {written_through:?}");
        let payload = format!(r#"{{"name":"{name}","properties":{{"ignored":1}}}}"#);
        if written_through == Door::WebSocket {
            let mut socket = WebSocket::open(server, &topic);
            socket.send(payload);
            assert_eq!(socket.json()["name"], name.as_str(), "a socket sees its own write");
        } else {
            Writer::open(written_through, server, &topic).write(&payload);
        }
        let mut shown = rest.get(&topic).expect(200);
        let properties = shown.as_object_mut().expect("a document").remove("properties");
        assert_eq!(
            properties,
            Some(serde_json::json!({})),
            "a thng's properties are not written by its topic"
        );
        assert_eq!(shown["name"], name.as_str());
        for mut reader in readers {
            assert_eq!(reader.read().json, shown, "written through {written_through:?}");
        }
    }
}
