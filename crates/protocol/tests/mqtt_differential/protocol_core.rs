//! `mqtt-protocol-core`: a sans-IO library for clients and servers.

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{self as theirs, GenericPacketTrait, v3_1_1};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError, SubackReturnCode};
use thng_pubsub_protocol::mqtt::{
    ConnAck, Connect, Packet, PacketError, PacketId, ProtocolLevel, Publish, QoS, SubAck, Subscribe,
    Unsubscribe,
};

use super::Oracle;

pub(super) struct ProtocolCore;

impl Oracle for ProtocolCore {
    type Packet = theirs::Packet;

    const LAX: &[(PacketError, &[u8])] = &[
        // It looks at the flags of PUBLISH only, and there not at DUP.
        (PacketError::ReservedFlags, b"\x41\x02\x00\x01"),
        (PacketError::DupAtQos0, b"\x38\x03\x00\x01a"),
        // Its packets are read by the same functions for both sides.
        (PacketError::WrongDirection, b"\xd0\x00"),
        // It reads the reason code of MQTT 5, which 3.1.1 does not have.
        (PacketError::WrongLength, b"\x40\x03\x00\x01\x00"),
        // It leaves what a string may hold to the application.
        (PacketError::NullCharacter, b"\x30\x03\x00\x01\x00"),
        (PacketError::EmptyTopic, b"\x30\x02\x00\x00"),
        (PacketError::WildcardInTopicName, b"\x30\x03\x00\x01#"),
        // It looks at the identifier when it makes a packet, and when it reads an acknowledgement of PUBLISH.
        (PacketError::ZeroPacketId, b"\x32\x05\x00\x01a\x00\x00"),
        (PacketError::ReservedConnectFlag, b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a"),
        (PacketError::WillFlagsWithoutWill, b"\x10\x0d\x00\x04MQTT\x04\x22\x00\x3c\x00\x01a"),
        (PacketError::WillQos, b"\x10\x12\x00\x04MQTT\x04\x1e\x00\x3c\x00\x01a\x00\x01w\x00\x00"),
        (PacketError::ReservedConnAckFlags, b"\x20\x02\x02\x00"),
        (PacketError::SessionPresentOnRefusal, b"\x20\x02\x01\x05"),
        // It reads the subscription options of MQTT 5.
        (PacketError::SubscribeQos, b"\x82\x06\x00\x01\x00\x01a\x04"),
    ];

    fn same(packet: &Packet<'_>) -> Option<theirs::Packet> {
        match packet {
            // It knows no 3.1.
            Packet::Connect(packet) if packet.level != ProtocolLevel::V3_1_1 => None,
            packet => Some(build(packet).expect("its builders take whatever may be on the wire")),
        }
    }

    fn encode(packet: &Packet<'_>) -> Option<Vec<u8>> {
        Self::same(packet).map(|packet| packet.to_continuous_buffer())
    }

    fn decode(bytes: &[u8]) -> Result<theirs::Packet, String> {
        match PacketBuilder::new().feed(&mut Cursor::new(bytes)) {
            PacketBuildResult::Complete(raw) => parse(&raw).map_err(|error| error.to_string()),
            PacketBuildResult::Incomplete => Err("incomplete".to_owned()),
            PacketBuildResult::Error(error) => Err(error.to_string()),
        }
    }
}

fn build(packet: &Packet<'_>) -> Result<theirs::Packet, MqttError> {
    Ok(match packet {
        Packet::Connect(packet) => connect(packet)?.into(),
        Packet::ConnAck(packet) => connack(packet)?.into(),
        Packet::Publish(packet) => publish(packet)?.into(),
        Packet::PubAck(id) => v3_1_1::Puback::builder().packet_id(id.get()).build()?.into(),
        Packet::PubRec(id) => v3_1_1::Pubrec::builder().packet_id(id.get()).build()?.into(),
        Packet::PubRel(id) => v3_1_1::Pubrel::builder().packet_id(id.get()).build()?.into(),
        Packet::PubComp(id) => v3_1_1::Pubcomp::builder().packet_id(id.get()).build()?.into(),
        Packet::Subscribe(packet) => subscribe(packet)?.into(),
        Packet::SubAck(packet) => suback(packet)?.into(),
        Packet::Unsubscribe(packet) => unsubscribe(packet)?.into(),
        Packet::UnsubAck(id) => v3_1_1::Unsuback::builder().packet_id(id.get()).build()?.into(),
        Packet::PingReq => v3_1_1::Pingreq::new().into(),
        Packet::PingResp => v3_1_1::Pingresp::new().into(),
        Packet::Disconnect => v3_1_1::Disconnect::new().into(),
    })
}

fn parse(raw: &RawPacket) -> Result<theirs::Packet, MqttError> {
    Ok(match raw.packet_type() {
        1 => raw.parse_exact(v3_1_1::Connect::parse)?.into(),
        2 => raw.parse_exact(v3_1_1::Connack::parse)?.into(),
        3 => {
            let PacketData::Publish(data) = &raw.data else { panic!("PUBLISH comes in shared memory") };
            v3_1_1::Publish::parse(raw.flags(), data.clone())?.0.into()
        }
        4 => raw.parse_exact(v3_1_1::Puback::parse)?.into(),
        5 => raw.parse_exact(v3_1_1::Pubrec::parse)?.into(),
        6 => raw.parse_exact(v3_1_1::Pubrel::parse)?.into(),
        7 => raw.parse_exact(v3_1_1::Pubcomp::parse)?.into(),
        8 => raw.parse_exact(v3_1_1::Subscribe::parse)?.into(),
        9 => raw.parse_exact(v3_1_1::Suback::parse)?.into(),
        10 => raw.parse_exact(v3_1_1::Unsubscribe::parse)?.into(),
        11 => raw.parse_exact(v3_1_1::Unsuback::parse)?.into(),
        12 => raw.parse_exact(v3_1_1::Pingreq::parse)?.into(),
        13 => raw.parse_exact(v3_1_1::Pingresp::parse)?.into(),
        14 => raw.parse_exact(v3_1_1::Disconnect::parse)?.into(),
        _ => return Err(MqttError::MalformedPacket),
    })
}

fn connect(packet: &Connect<'_>) -> Result<v3_1_1::Connect, MqttError> {
    let mut connect = v3_1_1::Connect::builder()
        .client_id(packet.client_id)?
        .clean_session(packet.clean_session)
        .keep_alive(packet.keep_alive_s);
    if let Some(will) = &packet.will {
        connect = connect.will_message(will.topic, will.payload.to_vec(), qos(will.qos), will.retain)?;
    }
    if let Some(user_name) = packet.user_name {
        connect = connect.user_name(user_name)?;
    }
    if let Some(password) = packet.password {
        connect = connect.password(password.to_vec())?;
    }
    connect.build()
}

fn connack(packet: &ConnAck) -> Result<v3_1_1::Connack, MqttError> {
    let code = ConnectReturnCode::try_from(packet.code as u8).map_err(|_| MqttError::MalformedPacket)?;
    v3_1_1::Connack::builder().session_present(packet.session_present).return_code(code).build()
}

fn publish(packet: &Publish<'_>) -> Result<v3_1_1::Publish, MqttError> {
    v3_1_1::Publish::builder()
        .dup(packet.dup)
        .qos(qos(packet.qos))
        .retain(packet.retain)
        .packet_id(packet.packet_id.map(PacketId::get))
        .topic_name(packet.topic)?
        .payload(packet.payload)
        .build()
}

fn subscribe(packet: &Subscribe<'_>) -> Result<v3_1_1::Subscribe, MqttError> {
    let entries: Result<Vec<_>, _> = packet
        .filters()
        .map(|(filter, highest)| theirs::SubEntry::new(filter, theirs::SubOpts::new().set_qos(qos(highest))))
        .collect();
    v3_1_1::Subscribe::builder().packet_id(packet.packet_id.get()).entries(entries?).build()
}

fn suback(packet: &SubAck<'_>) -> Result<v3_1_1::Suback, MqttError> {
    let codes: Result<Vec<_>, _> =
        packet.codes.iter().map(|&code| SubackReturnCode::try_from(code)).collect();
    let codes = codes.map_err(|_| MqttError::MalformedPacket)?;
    v3_1_1::Suback::builder().packet_id(packet.packet_id.get()).return_codes(codes).build()
}

fn unsubscribe(packet: &Unsubscribe<'_>) -> Result<v3_1_1::Unsubscribe, MqttError> {
    v3_1_1::Unsubscribe::builder().packet_id(packet.packet_id.get()).entries(packet.filters())?.build()
}

fn qos(ours: QoS) -> theirs::Qos {
    match ours {
        QoS::AtMostOnce => theirs::Qos::AtMostOnce,
        QoS::AtLeastOnce => theirs::Qos::AtLeastOnce,
        QoS::ExactlyOnce => theirs::Qos::ExactlyOnce,
    }
}
