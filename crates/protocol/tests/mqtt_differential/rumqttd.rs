//! `rumqttd::protocol`: the codec of the broker that our bus embeds.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::protocol as theirs;
use rumqttd::protocol::Protocol;
use rumqttd::protocol::v4::V4;
use thng_pubsub_protocol::mqtt::{
    Connect, ConnectCode, Packet, PacketError, PacketId, ProtocolLevel, Publish, QoS, SubAck, SubAckCode,
    Subscribe, Will,
};

use super::Oracle;

pub(super) struct Rumqttd;

impl Oracle for Rumqttd {
    type Packet = theirs::Packet;

    const LAX: &[(PacketError, &[u8])] = &[
        // It looks at the flags of PUBLISH only, and there not at DUP.
        (PacketError::ReservedFlags, b"\x41\x02\x00\x01"),
        (PacketError::DupAtQos0, b"\x38\x03\x00\x01a"),
        // It is one function for both sides.
        (PacketError::WrongDirection, b"\xd0\x00"),
        // It does not ask for the end of what it has read.
        (PacketError::WrongLength, b"\x50\x03\x00\x01\x00"),
        (PacketError::TrailingBytes, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a\x00"),
        // Topics are bytes to it, and judged by its router.
        (PacketError::NotUtf8, b"\x30\x03\x00\x01\xff"),
        (PacketError::NullCharacter, b"\x30\x03\x00\x01\x00"),
        (PacketError::EmptyTopic, b"\x30\x02\x00\x00"),
        (PacketError::WildcardInTopicName, b"\x30\x03\x00\x01#"),
        // It looks at the identifier of PUBLISH only.
        (PacketError::ZeroPacketId, b"\x40\x02\x00\x00"),
        (PacketError::ReservedConnectFlag, b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a"),
        (PacketError::PasswordWithoutUserName, b"\x10\x10\x00\x04MQTT\x04\x42\x00\x3c\x00\x01a\x00\x01p"),
        (PacketError::ReservedConnAckFlags, b"\x20\x02\x02\x00"),
        (PacketError::SessionPresentOnRefusal, b"\x20\x02\x01\x05"),
        (PacketError::NoTopicFilters, b"\xa2\x02\x00\x01"),
        // It takes the lowest two bits.
        (PacketError::SubscribeQos, b"\x82\x06\x00\x01\x00\x01a\x04"),
    ];

    fn same(packet: &Packet<'_>) -> Option<theirs::Packet> {
        Some(match packet {
            Packet::Connect(packet) => connect(packet)?,
            Packet::ConnAck(packet) => theirs::Packet::ConnAck(
                theirs::ConnAck { session_present: packet.session_present, code: connect_code(packet.code) },
                None,
            ),
            Packet::Publish(packet) => theirs::Packet::Publish(publish(packet), None),
            Packet::PubAck(id) => theirs::Packet::PubAck(
                theirs::PubAck { pkid: id.get(), reason: theirs::PubAckReason::Success },
                None,
            ),
            Packet::PubRec(id) => theirs::Packet::PubRec(
                theirs::PubRec { pkid: id.get(), reason: theirs::PubRecReason::Success },
                None,
            ),
            Packet::PubRel(id) => theirs::Packet::PubRel(
                theirs::PubRel { pkid: id.get(), reason: theirs::PubRelReason::Success },
                None,
            ),
            Packet::PubComp(id) => theirs::Packet::PubComp(
                theirs::PubComp { pkid: id.get(), reason: theirs::PubCompReason::Success },
                None,
            ),
            Packet::Subscribe(packet) => theirs::Packet::Subscribe(subscribe(packet), None),
            Packet::SubAck(packet) => theirs::Packet::SubAck(suback(packet), None),
            Packet::Unsubscribe(packet) => theirs::Packet::Unsubscribe(
                theirs::Unsubscribe {
                    pkid: packet.packet_id.get(),
                    filters: packet.filters().map(str::to_owned).collect(),
                },
                None,
            ),
            Packet::UnsubAck(id) => {
                theirs::Packet::UnsubAck(theirs::UnsubAck { pkid: id.get(), reasons: vec![] }, None)
            }
            Packet::PingReq => theirs::Packet::PingReq(theirs::PingReq),
            Packet::PingResp => theirs::Packet::PingResp(theirs::PingResp),
            Packet::Disconnect => theirs::Packet::Disconnect(
                theirs::Disconnect { reason_code: theirs::DisconnectReasonCode::NormalDisconnection },
                None,
            ),
        })
    }

    fn encode(packet: &Packet<'_>) -> Option<Vec<u8>> {
        // It leaves an empty user name or password out, and its flag too.
        if let Packet::Connect(connect) = packet
            && (connect.user_name == Some("") || connect.password == Some(b""))
        {
            return None;
        }
        let mut bytes = BytesMut::new();
        V4.write(Self::same(packet)?, &mut bytes).expect("it writes whatever may be on the wire");
        Some(bytes.to_vec())
    }

    fn decode(bytes: &[u8]) -> Result<theirs::Packet, String> {
        V4.read_mut(&mut BytesMut::from(bytes), usize::MAX).map_err(|error| error.to_string())
    }
}

fn connect(packet: &Connect<'_>) -> Option<theirs::Packet> {
    // It knows no 3.1.
    if packet.level != ProtocolLevel::V3_1_1 {
        return None;
    }
    // It holds a password for a string.
    let password = str::from_utf8(packet.password.unwrap_or_default()).ok()?.to_owned();
    let username = packet.user_name.unwrap_or_default().to_owned();
    // It does not tell an empty user name or password from a missing one.
    let login =
        (!username.is_empty() || !password.is_empty()).then_some(theirs::Login { username, password });
    let connect = theirs::Connect {
        keep_alive: packet.keep_alive_s,
        client_id: packet.client_id.to_owned(),
        clean_session: packet.clean_session,
    };
    Some(theirs::Packet::Connect(connect, None, packet.will.as_ref().map(will), None, login))
}

fn will(will: &Will<'_>) -> theirs::LastWill {
    theirs::LastWill {
        topic: Bytes::copy_from_slice(will.topic.as_bytes()),
        message: Bytes::copy_from_slice(will.payload),
        qos: qos(will.qos),
        retain: will.retain,
    }
}

fn connect_code(code: ConnectCode) -> theirs::ConnectReturnCode {
    match code {
        ConnectCode::Accepted => theirs::ConnectReturnCode::Success,
        ConnectCode::UnacceptableProtocolVersion => theirs::ConnectReturnCode::RefusedProtocolVersion,
        ConnectCode::IdentifierRejected => theirs::ConnectReturnCode::ClientIdentifierNotValid,
        ConnectCode::ServerUnavailable => theirs::ConnectReturnCode::ServiceUnavailable,
        ConnectCode::BadUserNameOrPassword => theirs::ConnectReturnCode::BadUserNamePassword,
        ConnectCode::NotAuthorised => theirs::ConnectReturnCode::NotAuthorized,
    }
}

/// A PUBLISH above QoS 0 can be made outside its crate only from the form in which it is kept in its log.
fn publish(packet: &Publish<'_>) -> theirs::Publish {
    let mut log = BytesMut::new();
    log.put_u8(u8::from(packet.dup) << 3 | (packet.qos as u8) << 1 | u8::from(packet.retain));
    log.put_u16(packet.packet_id.map_or(0, PacketId::get));
    log.put_u16(packet.topic.len() as u16);
    log.put_slice(packet.topic.as_bytes());
    log.put_slice(packet.payload);
    theirs::Publish::deserialize(log.freeze())
}

fn subscribe(packet: &Subscribe<'_>) -> theirs::Subscribe {
    let filters = packet.filters().map(|(filter, highest)| theirs::Filter {
        path: filter.to_owned(),
        qos: qos(highest),
        nolocal: false,
        preserve_retain: false,
        retain_forward_rule: theirs::RetainForwardRule::OnEverySubscribe,
    });
    theirs::Subscribe { pkid: packet.packet_id.get(), filters: filters.collect() }
}

fn suback(packet: &SubAck<'_>) -> theirs::SubAck {
    let codes = packet.results().map(|result| match result {
        SubAckCode::Granted(granted) => theirs::SubscribeReasonCode::Success(qos(granted)),
        SubAckCode::Refused => theirs::SubscribeReasonCode::Failure,
    });
    theirs::SubAck { pkid: packet.packet_id.get(), return_codes: codes.collect() }
}

fn qos(ours: QoS) -> theirs::QoS {
    match ours {
        QoS::AtMostOnce => theirs::QoS::AtMostOnce,
        QoS::AtLeastOnce => theirs::QoS::AtLeastOnce,
        QoS::ExactlyOnce => theirs::QoS::ExactlyOnce,
    }
}
