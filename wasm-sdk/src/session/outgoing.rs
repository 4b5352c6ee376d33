//! Sends packets in the order of MQTT: subscriptions, repeated packets, the queue.

use thng_pubsub_protocol::{
    mqtt::{PacketError, PacketId, Publish, QoS, Subscribe, Unsubscribe, encode_pingreq},
    rejection,
};

use super::publishes::Outgoing;
use super::requests::{Item, PendingCall};
use super::{CallId, Code, Effect, Failure, Link, Session};

/// Topic filters in one SUBSCRIBE of a resubscription. Small enough for servers that limit them, large enough that a
/// thousand subscriptions are ten packets.
const RESUBSCRIBE_FILTERS_MAX: usize = 100;

/// Bytes of the topic filters in one SUBSCRIBE of a resubscription, unless one alone is longer. Servers limit the size
/// of a packet too.
const RESUBSCRIBE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one send, which over a WebSocket is one message: servers bound those. A packet may be split over several
/// `[MQTT-6.0.0-3]` `[MQTT-6.0.0-4]`.
pub(super) const SEND_BYTES_MAX: usize = 64 * 1024;

impl Session {
    /// Asks for an answer to each publish that is refused. Nothing waits for what the server says to that: one that does
    /// not know the topic refuses it, or is silent.
    pub(super) fn ask_for_rejections(&mut self, now: u64) {
        let Some(id) = self.ids.take() else { return };
        let mut packet = Vec::new();
        checked_before(Subscribe::new(id, &[(rejection::TOPIC, QoS::AtMostOnce)]).encode(&mut packet));
        self.rejections = Some(id);
        self.send(packet, now);
    }

    pub(super) fn send_subscribe(&mut self, pending_call: PendingCall, now: u64) {
        let Some(id) = self.ids.take() else {
            self.subscriptions.remove_handler(&pending_call.topic, pending_call.handler);
            return self.settle_call(pending_call, Err(Failure::new(Code::QueueFull)));
        };
        let item = Item {
            topic: pending_call.topic.clone(),
            qos: self.subscriptions.qos(&pending_call.topic),
            pending_calls: vec![pending_call],
            is_restored: false,
        };
        self.send_items(id, vec![item], now);
    }

    /// Subscribes to everything anew, and answers with it the calls that waited for a connection.
    pub(super) fn resubscribe(&mut self, now: u64) {
        let (mut items, mut handlers) = (Vec::new(), Vec::new());
        for (topic, qos, count) in self.subscriptions.topics() {
            items.push(Item { topic: topic.into(), qos, pending_calls: Vec::new(), is_restored: true });
            handlers.push(count);
        }
        for pending_call in self.requests.take_waiting(&|_| true) {
            // A call that waits has its topic and its callback in the table.
            if let Ok(at) = self.subscriptions.find(&pending_call.topic) {
                items[at].pending_calls.push(pending_call);
                items[at].is_restored = items[at].pending_calls.len() < handlers[at];
            }
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for item in items {
            bytes += item.topic.len();
            if batch.len() == RESUBSCRIBE_FILTERS_MAX || bytes > RESUBSCRIBE_BYTES_MAX {
                bytes = item.topic.len();
                self.send_batch(std::mem::take(&mut batch), now);
            }
            batch.push(item);
        }
        self.send_batch(batch, now);
    }

    fn send_batch(&mut self, items: Vec<Item>, now: u64) {
        if !items.is_empty() {
            let id = self.ids.take().expect("publishes leave identifiers for subscriptions");
            self.send_items(id, items, now);
        }
    }

    fn send_items(&mut self, id: PacketId, items: Vec<Item>, now: u64) {
        let filters: Vec<(&str, QoS)> = items.iter().map(|item| (item.topic.as_str(), item.qos)).collect();
        let mut packet = Vec::new();
        checked_before(Subscribe::new(id, &filters).encode(&mut packet));
        self.requests.subscribe_sent(id, items);
        self.send(packet, now);
        self.expect_answer(now);
    }

    /// Asks for no more messages on these topics, which were subscribed to.
    pub(super) fn send_unsubscribe(&mut self, topics: &[String], call_id: CallId, now: u64) {
        let Some(id) = self.ids.take() else {
            return self.settle(call_id, Err(Failure::new(Code::QueueFull).of_topic(&topics[0])));
        };
        let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
        let mut packet = Vec::new();
        checked_before(Unsubscribe::new(id, &filters).encode(&mut packet));
        self.requests.unsubscribe_sent(id, call_id);
        self.send(packet, now);
        self.expect_answer(now);
    }

    /// Sends what may be sent: first what an earlier connection left unacknowledged, then the queue. Only publishes wait for
    /// space in the buffer of the socket: other packets are short, and pings and acknowledgements are urgent.
    pub(super) fn send_publishes(&mut self, now: u64) {
        if !self.is_up() {
            return;
        }
        while !self.buffer.is_full()
            && let Some(publish) = self.publishes.next_redelivery()
        {
            let Outgoing { topic, payload, .. } = &publish.message;
            let mut packet = Vec::new();
            checked_before(publish_packet(Some(publish.id), true, topic, payload).encode(&mut packet));
            self.send(packet, now);
        }
        while !self.buffer.is_full()
            && let Some(qos) = self.publishes.next_queued_qos()
        {
            let id = match qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce | QoS::ExactlyOnce => match self.ids.take() {
                    None => break,
                    id => id,
                },
            };
            self.used_at = now;
            let message = self.publishes.take_oldest().expect("its QoS was just read");
            let mut packet = Vec::new();
            checked_before(publish_packet(id, false, &message.topic, &message.payload).encode(&mut packet));
            self.send(packet, now);
            match id {
                Some(id) => self.publishes.sent(id, message),
                None => self.settle(message.call_id, Ok(())),
            }
        }
        self.expect_answer(now);
    }

    pub(super) fn send_ping(&mut self, now: u64) {
        let mut packet = Vec::new();
        encode_pingreq(&mut packet);
        self.send(packet, now);
        self.buffer.expect_answer();
    }

    /// Packets that follow each other directly go out together, within [`SEND_BYTES_MAX`].
    pub(super) fn send(&mut self, packet: Vec<u8>, now: u64) {
        let Some(socket) = self.socket() else {
            return;
        };
        self.buffer.sent(packet.len());
        if let Link::Up { keep_alive, .. } = &mut self.link {
            keep_alive.sent(now);
        }
        if let Some(Effect::Send(to, bytes)) = self.effects.back_mut()
            && *to == socket
            && bytes.len() + packet.len() <= SEND_BYTES_MAX
        {
            return bytes.extend_from_slice(&packet);
        }
        for part in packet.chunks(SEND_BYTES_MAX) {
            self.effects.push_back(Effect::Send(socket, part.to_vec()));
        }
    }

    /// An answer of the server is pending from now on, if none was before.
    pub(super) fn expect_answer(&mut self, now: u64) {
        let is_unanswered = self.requests.is_unanswered() || self.publishes.is_unanswered();
        if is_unanswered && self.unanswered_since.is_none() {
            self.unanswered_since = Some(now);
            self.buffer.expect_answer();
        }
    }
}

/// A message: at QoS 1 if there is an identifier, else at QoS 0.
pub(super) fn publish_packet<'a>(
    id: Option<PacketId>,
    dup: bool,
    topic: &'a str,
    payload: &'a [u8],
) -> Publish<'a> {
    let qos = if id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    Publish { dup, qos, retain: false, packet_id: id, topic, payload }
}

/// What a call brought was encoded once when it was accepted, so that it can be encoded again.
///
/// Not `expect`: printing the error would take as much space in the module as all of MQTT.
fn checked_before(encoded: Result<(), PacketError>) {
    assert!(encoded.is_ok(), "a packet that was encoded before cannot be encoded");
}
