//! The carrier of the product: rumqttd's router with its commit log, driven through in-process links.
//!
//! The only file that names the crate. None of its listeners is started, and no client's text reaches it:
//! topics are `ev/<partition>/n`, filters `ev/<partition>/#` from the start, payloads opaque bytes.
//!
//! What shaped this file (all of it found in the crate's source, version 0.20.0):
//! - A link that received `Unschedule` gets nothing more until it answers `ready`, exactly once.
//! - `ready` panics the router when the router has dropped the connection, so links are never disconnected.
//! - The router takes a link's whole buffer for each event. If the buffer is not empty, an event for it is
//!   under way, so no other is sent: at most one is, and the router's bounded channel never blocks us.
//! - A topic that does not begin with ASCII panics the router thread. That is the fault injection.
//! - A router never ends by itself; an abandoned one that still lives keeps its thread and its log.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use ::rumqttd::local::{LinkRx, LinkTx};
use ::rumqttd::protocol::{Packet, Publish};
use ::rumqttd::{Broker, Config, Notification, RouterConfig};
use bytes::Bytes;

use super::carrier::{
    Carrier, CarrierDied, CarrierError, CarrierLink, CarrierReceiver, CarrierSender, PARCEL_OVERHEAD, Parcel,
};
use super::{BusSettings, PARTITIONS};

/// Client id of the publishing link. Ids are constant: the router remembers every id that it ever saw.
const PUBLISHER: &str = "publisher";

/// How many messages the router reads from one commit log per turn. It hands over at least 200 before it
/// waits for `ready`; more makes fewer pauses, and the credits bound it anyway.
const READ_BATCH: u64 = 1000;

/// What rumqttd charges for a message besides topic and payload, in bytes.
const MESSAGE_OVERHEAD: usize = 4;

/// Begins with a character of two bytes, on which the router's topic matching panics.
#[cfg(any(test, feature = "fault-injection"))]
const DEADLY_TOPIC: &str = "\u{e9}";

/// Opens links through a rumqttd router of their own.
#[derive(Debug)]
pub(super) struct Rumqttd;

impl Carrier for Rumqttd {
    fn open(&mut self, config: &BusSettings) -> Result<CarrierLink, CarrierError> {
        // The crate unwraps where it starts the router's thread; out of threads is no reason to die.
        panic::catch_unwind(AssertUnwindSafe(|| open(config)))
            .unwrap_or_else(|_| Err(CarrierError("rumqttd panicked while it was set up".to_owned())))
    }
}

fn open(config: &BusSettings) -> Result<CarrierLink, CarrierError> {
    let broker = Broker::new(Config { id: 0, router: router_config(config), ..Config::default() });
    let link = |id: &str| broker.link(id).map_err(|error| CarrierError(format!("link {id}: {error}")));
    let mut receivers: Vec<Box<dyn CarrierReceiver>> = Vec::with_capacity(config.dispatchers);
    for index in 0..config.dispatchers {
        let (mut tx, rx) = link(&format!("dispatcher-{index}"))?;
        for partition in (index..PARTITIONS).step_by(config.dispatchers) {
            tx.subscribe(filter(partition))
                .map_err(|error| CarrierError(format!("subscribe {partition}: {error}")))?;
        }
        receivers.push(Box::new(Receiver { rx, _tx: tx }));
    }
    // Events are handled in the order of their sending, so the subscriptions exist before the first parcel.
    let (tx, rx) = link(PUBLISHER)?;
    let topics = (0..PARTITIONS).map(topic).map(Bytes::from).collect();
    Ok(CarrierLink { sender: Box::new(Sender { tx, _rx: rx, topics }), receivers })
}

fn router_config(config: &BusSettings) -> RouterConfig {
    RouterConfig {
        max_connections: config.dispatchers + 1,
        max_outgoing_packet_count: READ_BATCH,
        max_segment_size: config.segment_bytes,
        max_segment_count: config.segment_count,
        initialized_filters: Some((0..PARTITIONS).map(filter).collect()),
        ..RouterConfig::default()
    }
}

fn filter(partition: usize) -> String {
    format!("ev/{partition}/#")
}

fn topic(partition: usize) -> String {
    format!("ev/{partition}/n")
}

/// The partition of one of our topics.
fn partition(topic: &[u8]) -> Option<u8> {
    let digits = topic.strip_prefix(b"ev/")?.strip_suffix(b"/n")?;
    let number: u8 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (usize::from(number) < PARTITIONS).then_some(number)
}

const _: () = assert!(MESSAGE_OVERHEAD + "ev/15/n".len() <= PARCEL_OVERHEAD);

struct Sender {
    tx: LinkTx,
    /// Nothing is received on this link, but the router writes to it.
    _rx: LinkRx,
    topics: Vec<Bytes>,
}

impl CarrierSender for Sender {
    fn send(&mut self, batch: &mut Vec<Parcel>) {
        let Some(last) = batch.pop() else { return };
        let topics = &self.topics;
        let topic = |partition: u8| topics[usize::from(partition)].clone();
        let packet = |parcel: Parcel| {
            Packet::Publish(Publish::new(topic(parcel.partition), parcel.payload, false), None)
        };
        let mut buffer = self.tx.buffer();
        let event_under_way = !buffer.is_empty();
        buffer.extend(batch.drain(..).map(packet));
        if event_under_way {
            buffer.push_back(packet(last));
            return;
        }
        drop(buffer);
        let topic = topic(last.partition);
        // An error means that the router is dead, which every receiver reports.
        let _ = self.tx.publish(topic, last.payload);
    }

    #[cfg(any(test, feature = "fault-injection"))]
    fn kill(&mut self) {
        // An error means that the router is dead already.
        let _ = self.tx.publish(DEADLY_TOPIC, "x");
    }
}

struct Receiver {
    rx: LinkRx,
    /// Kept, for a link whose half is gone is not one that the crate was tested with.
    _tx: LinkTx,
}

impl CarrierReceiver for Receiver {
    fn receive(&mut self, into: &mut VecDeque<Parcel>, wait: Duration) -> Result<(), CarrierDied> {
        let deadline = Instant::now() + wait;
        match self.rx.recv_deadline(deadline) {
            Ok(notification) => self.accept(notification, into)?,
            // The error is either a timeout, which cannot come early, or a router that has gone.
            Err(_) if Instant::now() < deadline => return Err(CarrierDied),
            Err(_) => return Ok(()),
        }
        // Whatever else is there, without waiting for more. A dead router is met by the next call.
        let now = Instant::now();
        while let Ok(Some(notification)) = self.rx.recv_deadline(now) {
            self.accept(Some(notification), into)?;
        }
        Ok(())
    }
}

impl Receiver {
    fn accept(
        &self,
        notification: Option<Notification>,
        into: &mut VecDeque<Parcel>,
    ) -> Result<(), CarrierDied> {
        match notification {
            Some(Notification::Forward(forward)) => {
                let partition = partition(&forward.publish.topic);
                let parcel =
                    partition.map(|partition| Parcel { partition, payload: forward.publish.payload });
                into.extend(parcel);
            }
            Some(Notification::Unschedule) => self.rx.ready().map_err(|_| CarrierDied)?,
            // Acknowledgements of the subscriptions, and wake-ups for what was taken already.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_names_its_partition_and_fits_the_overhead() {
        for number in 0..PARTITIONS {
            let topic = topic(number);
            assert_eq!(partition(topic.as_bytes()), Some(number as u8));
            assert!(topic.is_ascii() && MESSAGE_OVERHEAD + topic.len() <= PARCEL_OVERHEAD);
        }
        for foreign in ["ev/16/n", "ev//n", "ev/-1/n", "ev/1/m", "x/1/n", DEADLY_TOPIC] {
            assert_eq!(partition(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
