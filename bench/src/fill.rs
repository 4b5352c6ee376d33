//! Fills a thng-pubsub server with property values before a measurement.

use std::time::{Duration, Instant};

use anyhow::bail;
use thng_pubsub_protocol::mqtt::{Packet, PacketId, Publish, QoS};

use crate::clients::Clients;
use crate::target::{KEYS_PER_THNG, Target};

/// Connections that publish, each on a thng of its own.
const PUBLISHERS: usize = 50;

/// Messages that each of them has on their way.
const WINDOW: u64 = 4;

/// How long no message may be acknowledged.
const LIMIT: Duration = Duration::from_secs(30);

/// Publishes so many values. Each message updates all properties of a thng.
///
/// # Errors
/// A connection is lost, or the server stops acknowledging.
pub(crate) fn fill(values: u64, target: &Target) -> anyhow::Result<()> {
    let topics =
        (0..PUBLISHERS).map(|number| target.properties(number)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut clients = Clients::new()?;
    clients.open(PUBLISHERS, target, QoS::AtLeastOnce, |_| &[])?;
    let messages = values.div_ceil(KEYS_PER_THNG as u64);
    let (mut sent, mut acknowledged) = (0, 0);
    let mut in_flight = vec![0; PUBLISHERS];
    let mut progress = Instant::now();
    while acknowledged < messages {
        for (client, waiting) in in_flight.iter_mut().enumerate() {
            while *waiting < WINDOW && sent < messages {
                append(&topics[client], sent, clients.outgoing(client))?;
                *waiting += 1;
                sent += 1;
            }
            clients.flush(client)?;
        }
        let before = acknowledged;
        clients.turn(Some(Duration::from_millis(100)), |client, packet, _, _| {
            if let Packet::PubAck(_) = packet {
                in_flight[client] -= 1;
                acknowledged += 1;
            }
            Ok(())
        })?;
        if acknowledged > before {
            progress = Instant::now();
        } else if progress.elapsed() > LIMIT {
            bail!("after {acknowledged} of {messages} messages the server stopped acknowledging");
        }
    }
    Ok(())
}

/// Appends the update with this number: a value for each property.
fn append(topic: &str, number: u64, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let values = (0..KEYS_PER_THNG).map(|key| format!(r#"{{"key":"property{key}","value":{number}.{key}}}"#));
    let payload = format!("[{}]", values.collect::<Vec<_>>().join(","));
    let packet_id = PacketId::new((number % u64::from(u16::MAX)) as u16 + 1);
    let publish = Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        packet_id,
        topic,
        payload: payload.as_bytes(),
    };
    Ok(publish.encode(out)?)
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::payload::parse_writes;

    use super::*;

    #[test]
    fn an_update_has_a_value_for_each_property() {
        let mut packet = Vec::new();
        append("/thngs/U/properties", u64::MAX, &mut packet).unwrap();
        let start = packet.iter().position(|byte| *byte == b'[').unwrap();
        let writes = parse_writes(&packet[start..], None).unwrap();
        assert_eq!(writes.len(), KEYS_PER_THNG);
    }
}
