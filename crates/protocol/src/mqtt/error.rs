//! Why bytes are no packet, or a packet has no bytes: one variant for each rule, with its normative number.
//!
//! Decoder and encoders return it. The transport closes the connection on it and logs its sentence, which is written
//! for the developer of the device's firmware. The caller decides what the peer receives.

use core::fmt;

/// The rule of MQTT that a packet breaks.
///
/// Its text is a sentence in English, without the packet's bytes: it may be logged as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketError {
    /// Packet type 0 or 15 (table 2.1).
    ReservedPacketType,
    /// A packet type that this side never sends (table 2.1, direction of flow).
    WrongDirection,
    /// The flags of the fixed header are not those of the packet type `[MQTT-2.2.2-2]`.
    ReservedFlags,
    /// The fourth byte of the remaining length announces a fifth (section 2.2.3).
    RemainingLengthTooLong,
    /// The packet is larger than the receiver allows. This limit is the receiver's own.
    TooLarge,
    /// A packet type of fixed size announces another one (sections 3.2, 3.4 to 3.7, 3.11 to 3.14).
    WrongLength,
    /// A field reaches past the end of the packet.
    Truncated,
    /// Bytes are left over after the last field.
    TrailingBytes,
    /// A string is not well-formed UTF-8 `[MQTT-1.5.3-1]`.
    NotUtf8,
    /// A string holds U+0000 `[MQTT-1.5.3-2]`.
    NullCharacter,
    /// A string or a binary field is longer than 65,535 bytes (section 1.5.3). Only encoding finds this.
    StringTooLong,
    /// The remaining length is above 268,435,455 (section 2.2.3). Only encoding finds this.
    PacketTooLong,
    /// The packet identifier is 0 `[MQTT-2.3.1-1]`.
    ZeroPacketId,
    /// A PUBLISH has a packet identifier at QoS 0, or none above `[MQTT-2.3.1-5]`. Only encoding finds this.
    PacketIdAgainstQos,
    /// A PUBLISH has QoS 3 `[MQTT-3.3.1-4]`.
    PublishQos,
    /// A PUBLISH has DUP at QoS 0 `[MQTT-3.3.1-2]`.
    DupAtQos0,
    /// A topic name or topic filter is empty `[MQTT-4.7.3-1]`.
    EmptyTopic,
    /// A topic name holds `+` or `#` `[MQTT-3.3.2-2]`.
    WildcardInTopicName,
    /// CONNECT names a protocol that is not MQTT `[MQTT-3.1.2-1]`: the server closes without an answer.
    UnknownProtocolName,
    /// CONNECT names MQTT, but not level 3 or 4 with its own name `[MQTT-3.1.2-2]`: the server answers with
    /// [`ConnectCode::UnacceptableProtocolVersion`](super::ConnectCode::UnacceptableProtocolVersion) and closes.
    UnacceptableProtocolLevel,
    /// Bit 0 of the connect flags is set `[MQTT-3.1.2-3]`.
    ReservedConnectFlag,
    /// The will has QoS 3 `[MQTT-3.1.2-14]`.
    WillQos,
    /// Will QoS or will retain is set, and there is no will `[MQTT-3.1.2-13]` `[MQTT-3.1.2-15]`.
    WillFlagsWithoutWill,
    /// CONNECT has a password and no user name `[MQTT-3.1.2-22]`.
    PasswordWithoutUserName,
    /// Bits 7 to 1 of CONNACK's acknowledge flags are not zero (section 3.2.2.1).
    ReservedConnAckFlags,
    /// CONNACK's return code is above 5 (table 3.1).
    ReservedConnectCode,
    /// CONNACK refuses the connection and says that a session is present `[MQTT-3.2.2-4]`.
    SessionPresentOnRefusal,
    /// SUBSCRIBE or UNSUBSCRIBE names no topic filter `[MQTT-3.8.3-3]` `[MQTT-3.10.3-2]`.
    NoTopicFilters,
    /// The byte after a topic filter of SUBSCRIBE is not 0, 1 or 2 `[MQTT-3-8.3-4]`.
    SubscribeQos,
    /// SUBACK answers for no topic filter `[MQTT-3.8.4-5]`.
    NoSubAckCodes,
    /// A return code of SUBACK is not 0, 1, 2 or 128 `[MQTT-3.9.3-2]`.
    ReservedSubAckCode,
}

impl PacketError {
    /// The sentence that [`Display`](fmt::Display) writes.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedPacketType => "the packet type is 0 or 15, which are reserved (table 2.1)",
            Self::WrongDirection => {
                "only the other side of a connection may send a packet of this type (table 2.1)"
            }
            Self::ReservedFlags => {
                "the low four bits of the first byte are not those of this packet type [MQTT-2.2.2-2]"
            }
            Self::RemainingLengthTooLong => "the remaining length has more than four bytes (section 2.2.3)",
            Self::TooLarge => "the packet is larger than this receiver allows",
            Self::WrongLength => "the remaining length is not the one that every packet of this type has",
            Self::Truncated => "a field reaches past the end that the remaining length announced",
            Self::TrailingBytes => "bytes are left over between the last field and the end of the packet",
            Self::NotUtf8 => "a string is not well-formed UTF-8 [MQTT-1.5.3-1]",
            Self::NullCharacter => "a string contains the null character U+0000 [MQTT-1.5.3-2]",
            Self::StringTooLong => "a string or binary field is longer than 65535 bytes (section 1.5.3)",
            Self::PacketTooLong => "the packet is longer than 268435455 bytes (section 2.2.3)",
            Self::ZeroPacketId => "the packet identifier is 0 [MQTT-2.3.1-1]",
            Self::PacketIdAgainstQos => {
                "a PUBLISH needs a packet identifier at QoS 1 and 2 and has none at QoS 0 [MQTT-2.3.1-5]"
            }
            Self::PublishQos => "both QoS bits of a PUBLISH are set: there is no QoS 3 [MQTT-3.3.1-4]",
            Self::DupAtQos0 => "the DUP flag of a PUBLISH at QoS 0 is set [MQTT-3.3.1-2]",
            Self::EmptyTopic => "a topic name or topic filter is empty [MQTT-4.7.3-1]",
            Self::WildcardInTopicName => "a topic name contains the wildcard + or # [MQTT-3.3.2-2]",
            Self::UnknownProtocolName => "the protocol name of CONNECT is not MQTT or MQIsdp [MQTT-3.1.2-1]",
            Self::UnacceptableProtocolLevel => {
                "the protocol level of CONNECT is not 4 for MQTT or 3 for MQIsdp [MQTT-3.1.2-2]"
            }
            Self::ReservedConnectFlag => "the reserved bit 0 of the connect flags is set [MQTT-3.1.2-3]",
            Self::WillQos => "both will QoS bits of CONNECT are set: there is no QoS 3 [MQTT-3.1.2-14]",
            Self::WillFlagsWithoutWill => {
                "CONNECT sets will QoS or will retain without the will flag [MQTT-3.1.2-13] [MQTT-3.1.2-15]"
            }
            Self::PasswordWithoutUserName => "CONNECT has a password but no user name [MQTT-3.1.2-22]",
            Self::ReservedConnAckFlags => {
                "reserved bits of the acknowledge flags of CONNACK are set (section 3.2.2.1)"
            }
            Self::ReservedConnectCode => "the return code of CONNACK is above 5 (table 3.1)",
            Self::SessionPresentOnRefusal => {
                "a CONNACK that refuses the connection says that a session is present [MQTT-3.2.2-4]"
            }
            Self::NoTopicFilters => {
                "SUBSCRIBE or UNSUBSCRIBE has no topic filter [MQTT-3.8.3-3] [MQTT-3.10.3-2]"
            }
            Self::SubscribeQos => "the byte after a topic filter of SUBSCRIBE is above 2 [MQTT-3-8.3-4]",
            Self::NoSubAckCodes => "SUBACK has no return code [MQTT-3.8.4-5]",
            Self::ReservedSubAckCode => "a return code of SUBACK is not 0, 1, 2 or 128 [MQTT-3.9.3-2]",
        }
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for PacketError {}
