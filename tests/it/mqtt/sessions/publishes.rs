//! A publish at QoS 2 in a durable session is stored once.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Packet, PacketId, Publish, QoS};
use thng_pubsub_tests::Server;
use thng_pubsub_tests::mqtt::{Client, Received};

use super::client::{connect, resume};

/// A QoS 2 publish of this value.
fn publish_2(client: &mut Client, topic: &str, value: i64, dup: bool) {
    let payload = format!(r#"[{{"value":{value}}}]"#);
    let (qos, packet_id) = (QoS::ExactlyOnce, Some(PacketId::MIN));
    let publish = Publish { dup, qos, retain: false, packet_id, topic, payload: payload.as_bytes() };
    client.send(&Packet::Publish(publish));
    assert_eq!(client.packet(), Received::PubRec(PacketId::MIN));
}

fn release(client: &mut Client) {
    client.send(&Packet::PubRel(PacketId::MIN));
    assert_eq!(client.packet(), Received::PubComp(PacketId::MIN));
}

#[test]
fn a_qos_2_publish_is_stored_once_despite_kills_in_between() {
    let mut server = Server::start();
    let thng = server.rest().thng();
    let topic = format!("/thngs/{thng}/properties/k");
    connect(&server, "twice").cut();
    for value in 0..2 {
        publish_2(&mut resume(&server, "twice"), &topic, value, false);
        server.kill9();
        server = server.restart();
        let mut client = resume(&server, "twice");
        publish_2(&mut client, &topic, value, true);
        server.kill9();
        server = server.restart();
        let mut client = resume(&server, "twice");
        release(&mut client);
        server.kill9();
        server = server.restart();
        // What is released already is answered all the same, and the packet id is free.
        release(&mut resume(&server, "twice"));
    }
    let stored = server.rest().get(&topic).expect(200);
    let stored: Vec<&Value> =
        stored.as_array().expect("a list").iter().map(|entry| &entry["value"]).collect();
    assert_eq!(stored, [&json!(1), &json!(0)]);
}
