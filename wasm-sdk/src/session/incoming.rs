//! Handles each packet from the server.

use thng_pubsub_protocol::{
    mqtt::{
        ConnAck, ConnectCode, Decoder, PACKET_BYTES_MAX, Packet, PacketId, ProtocolLevel, Publish, QoS, Side,
        SubAck, encode_puback,
    },
    rejection,
};

use super::requests::Answer;
use super::{Code, Effect, Failure, Link, Notice, Session};
use crate::keep_alive::KeepAlive;

const DECODER: Decoder =
    Decoder { side: Side::Server, level: Some(ProtocolLevel::V3_1_1), max_packet_bytes: PACKET_BYTES_MAX };

impl Session {
    pub(super) fn receive(&mut self, bytes: &[u8], now: u64) {
        if let Link::Up { keep_alive, .. } = &mut self.link {
            keep_alive.received(now);
        }
        let mut input = std::mem::take(&mut self.received);
        input.extend_from_slice(bytes);
        let mut read = 0;
        let socket = self.socket();
        // A packet may end the connection: the bytes behind it are dropped then.
        while self.socket() == socket {
            match DECODER.decode(&input[read..]) {
                Ok(None) => {
                    input.drain(..read);
                    self.received = input;
                    return;
                }
                Ok(Some((packet, packet_bytes))) => {
                    read += packet_bytes;
                    if let Err(reason) = self.handle(packet, now) {
                        self.break_off(Failure::with_detail(Code::Protocol, reason), now);
                    }
                }
                Err(error) => self.break_off(Failure::with_detail(Code::Protocol, error.reason()), now),
            }
        }
    }

    /// # Errors
    /// Why the packet should not have come.
    fn handle(&mut self, packet: Packet<'_>, now: u64) -> Result<(), &'static str> {
        match (packet, &self.link) {
            (Packet::ConnAck(connack), Link::Accepting { .. }) => self.handle_connack(connack, now),
            (Packet::ConnAck(_), _) => return Err("a second CONNACK"),
            (_, Link::Accepting { .. } | Link::Opening { .. }) => return Err("a packet before CONNACK"),
            (Packet::Publish(publish), _) => return self.handle_publish(publish, now),
            (Packet::PubAck(id), _) => self.handle_puback(id, now),
            (Packet::SubAck(suback), _) => return self.handle_suback(suback, now),
            (Packet::UnsubAck(id), _) => self.handle_unsuback(id, now),
            (Packet::PingResp, _) => {}
            (
                Packet::Connect(_)
                | Packet::PubRec(_)
                | Packet::PubRel(_)
                | Packet::PubComp(_)
                | Packet::Subscribe(_)
                | Packet::Unsubscribe(_)
                | Packet::PingReq
                | Packet::Disconnect,
                _,
            ) => return Err("a packet that nothing was sent for"),
        }
        Ok(())
    }

    fn handle_connack(&mut self, connack: ConnAck, now: u64) {
        let (code, detail) = match connack.code {
            ConnectCode::Accepted => return self.accepted(now),
            ConnectCode::UnacceptableProtocolVersion => (Code::ConnectRefused, "CONNACK 1: protocol version"),
            ConnectCode::IdentifierRejected => (Code::ConnectRefused, "CONNACK 2: client identifier"),
            ConnectCode::ServerUnavailable => {
                let failure = Failure::with_detail(Code::ServerUnavailable, "CONNACK 3");
                return self.break_off(failure, now);
            }
            ConnectCode::BadUserNameOrPassword => (Code::Unauthorized, "CONNACK 4"),
            ConnectCode::NotAuthorised => (Code::Unauthorized, "CONNACK 5"),
        };
        // Asking again would bring the same answer.
        self.end(Failure::with_detail(code, detail));
    }

    fn accepted(&mut self, now: u64) {
        let Some(socket) = self.socket() else {
            return;
        };
        self.retries = true;
        self.used_at = now;
        self.link =
            Link::Up { socket, since: now, keep_alive: KeepAlive::new(self.options.keep_alive_s, now) };
        self.effects.push_back(Effect::Report(Notice::Connected));
        self.ask_for_rejections(now);
        // With a clean session the server knows nothing of earlier subscriptions, whatever it says of a session.
        self.resubscribe(now);
        self.send_publishes(now);
    }

    fn handle_publish(&mut self, publish: Publish<'_>, now: u64) -> Result<(), &'static str> {
        if publish.topic == rejection::TOPIC {
            self.handle_rejection(publish.payload);
            return Ok(());
        }
        let handlers = self.subscriptions.handlers(publish.topic);
        if !handlers.is_empty() {
            self.effects.push_back(Effect::Deliver(handlers, publish.payload.to_vec(), publish.retain));
        }
        match (publish.qos, publish.packet_id) {
            (QoS::AtMostOnce, _) => Ok(()),
            (QoS::AtLeastOnce, Some(id)) => {
                let mut packet = Vec::new();
                encode_puback(id, &mut packet);
                self.send(packet, now);
                Ok(())
            }
            (QoS::AtLeastOnce | QoS::ExactlyOnce, _) => Err("a PUBLISH with a QoS that was never asked for"),
        }
    }

    /// The server says why it has refused a publish. Its acknowledgement follows.
    fn handle_rejection(&mut self, document: &[u8]) {
        let failure = Failure::with_detail(Code::PublishRefused, String::from_utf8_lossy(document));
        match rejection::packet_id(document) {
            Some(id) => {
                if let Some((call_id, topic)) = self.publishes.rejected(id) {
                    let failure = failure.of_topic(topic);
                    self.settle(call_id, Err(failure));
                }
            }
            // A publish at QoS 0, whose call was settled when it was sent.
            None => self.effects.push_back(Effect::Report(Notice::Error(failure))),
        }
    }

    /// An acknowledgement of nothing is ignored: it may be the second one of a publish that was sent twice.
    fn handle_puback(&mut self, id: PacketId, now: u64) {
        if let Some(call_id) = self.publishes.acknowledged(id) {
            self.ids.release(id);
            if let Some(call_id) = call_id {
                self.settle(call_id, Ok(()));
            }
            self.backoff.connection_served();
            self.answered(now);
            self.send_publishes(now);
        }
    }

    fn handle_suback(&mut self, suback: SubAck<'_>, now: u64) -> Result<(), &'static str> {
        if self.rejections == Some(suback.packet_id) {
            // Whatever it says: a server that refuses sends nothing on the topic.
            self.rejections = None;
            self.ids.release(suback.packet_id);
            return Ok(());
        }
        let Some(answers) = self.requests.subscribe_answered(&suback) else {
            return Err("a SUBACK that fits no SUBSCRIBE");
        };
        self.ids.release(suback.packet_id);
        for answer in answers {
            self.handle_subscribe_answer(answer);
        }
        self.answered(now);
        Ok(())
    }

    fn handle_subscribe_answer(&mut self, Answer { item, is_granted }: Answer) {
        let refusal = Failure::new(Code::SubscribeRefused);
        for pending_call in item.pending_calls {
            self.backoff.connection_served();
            if is_granted {
                self.settle_call(pending_call, Ok(()));
            } else {
                self.subscriptions.remove_handler(&pending_call.topic, pending_call.handler);
                self.settle_call(pending_call, Err(refusal.clone()));
            }
        }
        if item.is_restored && !is_granted {
            // No call waits for what was restored. It stays in the table, so that the next connection asks again.
            let failure = refusal.of_topic(&item.topic);
            self.effects.push_back(Effect::Report(Notice::Error(failure)));
        }
    }

    fn handle_unsuback(&mut self, id: PacketId, now: u64) {
        if let Some(call_id) = self.requests.unsubscribe_answered(id) {
            self.ids.release(id);
            self.settle(call_id, Ok(()));
            self.backoff.connection_served();
            self.answered(now);
        }
    }

    /// The server has answered something; the time of other pending answers starts anew.
    fn answered(&mut self, now: u64) {
        self.used_at = now;
        self.unanswered_since = None;
        self.expect_answer(now);
    }
}
