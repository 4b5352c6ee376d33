//! CONNECT and CONNACK: how a client introduces itself, and what the server answers.
//!
//! CONNECT is the only packet that names its protocol level, and so the only one that is read by its own.
//! Whether a client identifier or a key is good is for the server to say.

use alloc::vec::Vec;

use super::encode::{binary_bytes, put_binary, put_u16, string_bytes, topic_name_bytes};
use super::frame::encode_header;
use super::reader::Reader;
use super::{PacketError, PacketType, ProtocolLevel, QoS};

// The connect flags (section 3.1.2.3).
const USER_NAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL_QOS: u8 = 0x18;
const WILL_QOS_SHIFT: u32 = WILL_QOS.trailing_zeros();
const WILL: u8 = 0x04;
const CLEAN_SESSION: u8 = 0x02;
const RESERVED: u8 = 0x01;

/// The first packet of a connection (section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The level that the whole connection is to speak.
    pub level: ProtocolLevel,
    /// Whether the session starts empty and ends with the connection; else it is resumed and kept.
    pub clean_session: bool,
    /// The longest silence of the client, in seconds; 0 turns the limit off (section 3.1.2.10).
    pub keep_alive_s: u16,
    /// The name of the session, 0 to 65,535 bytes. An empty one comes with a clean session or is to be refused
    /// with [`ConnectCode::IdentifierRejected`] `[MQTT-3.1.3-8]`, which is left to the server.
    pub client_id: &'a str,
    /// What is to be published if the client leaves without DISCONNECT.
    pub will: Option<Will<'a>>,
    /// The client identifier.
    pub user_name: Option<&'a str>,
    /// The proof of it, any bytes; only with a user name `[MQTT-3.1.2-22]`.
    pub password: Option<&'a [u8]>,
}

/// The message that a server publishes for a client that is lost (section 3.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where to: a topic name, held to the rules of a PUBLISH.
    pub topic: &'a str,
    /// Any bytes up to 65,535 of them.
    pub payload: &'a [u8],
    /// With which quality of service it is published.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
}

impl<'a> Connect<'a> {
    pub(super) fn decode(mut body: Reader<'a>) -> Result<Self, PacketError> {
        let level = decode_level(&mut body)?;
        let flags = body.u8()?;
        check_flags(flags, level)?;
        let keep_alive_s = body.u16()?;
        // The fields of the payload come in this order and only if flagged [MQTT-3.1.3-1].
        let client_id = body.string()?;
        let will = match flags & WILL {
            0 => None, // [MQTT-3.1.2-11]
            _ => Some(Will::decode(flags, &mut body)?),
        };
        let user_name = match has_field(flags, USER_NAME, level, &body) {
            true => Some(body.string()?),
            false => None,
        };
        let password = match has_field(flags, PASSWORD, level, &body) {
            true => Some(body.binary()?),
            false => None,
        };
        body.finish()?;
        Ok(Self {
            level,
            clean_session: flags & CLEAN_SESSION != 0,
            keep_alive_s,
            client_id,
            will,
            user_name,
            password,
        })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`PacketError::PasswordWithoutUserName`], [`PacketError::StringTooLong`], [`PacketError::NullCharacter`],
    /// and for the topic of the will [`PacketError::EmptyTopic`] and [`PacketError::WildcardInTopicName`];
    /// `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        let remaining_bytes = self.remaining_bytes()?;
        encode_header(out, PacketType::Connect.first_byte(), remaining_bytes, remaining_bytes)?;
        put_binary(out, self.level.name().as_bytes());
        out.extend_from_slice(&[self.level.byte(), self.flags()]);
        put_u16(out, self.keep_alive_s);
        put_binary(out, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            put_binary(out, will.topic.as_bytes());
            put_binary(out, will.payload);
        }
        if let Some(user_name) = self.user_name {
            put_binary(out, user_name.as_bytes());
        }
        if let Some(password) = self.password {
            put_binary(out, password);
        }
        Ok(())
    }

    fn remaining_bytes(&self) -> Result<usize, PacketError> {
        if self.password.is_some() && self.user_name.is_none() {
            return Err(PacketError::PasswordWithoutUserName); // [MQTT-3.1.2-22]
        }
        let mut bytes = 2 + self.level.name().len() + 1 + 1 + 2 + string_bytes(self.client_id)?;
        if let Some(will) = &self.will {
            bytes += topic_name_bytes(will.topic)? + binary_bytes(will.payload)?;
        }
        if let Some(user_name) = self.user_name {
            bytes += string_bytes(user_name)?;
        }
        if let Some(password) = self.password {
            bytes += binary_bytes(password)?;
        }
        Ok(bytes)
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_session {
            flags |= CLEAN_SESSION;
        }
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << WILL_QOS_SHIFT;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.user_name.is_some() {
            flags |= USER_NAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

fn decode_level(body: &mut Reader<'_>) -> Result<ProtocolLevel, PacketError> {
    let level = match body.binary()? {
        b"MQTT" => ProtocolLevel::V3_1_1,
        b"MQIsdp" => ProtocolLevel::V3_1,
        _ => return Err(PacketError::UnknownProtocolName), // [MQTT-3.1.2-1]
    };
    // Judged before anything else is read: what follows it may have another layout, as in MQTT 5.
    if body.u8()? != level.byte() {
        return Err(PacketError::UnacceptableProtocolLevel); // [MQTT-3.1.2-2]
    }
    Ok(level)
}

fn check_flags(flags: u8, level: ProtocolLevel) -> Result<(), PacketError> {
    // MQTT 3.1 has no rule for the reserved flag, and disregards the will's flags when there is no will.
    if level != ProtocolLevel::V3_1 {
        if flags & RESERVED != 0 {
            return Err(PacketError::ReservedConnectFlag); // [MQTT-3.1.2-3]
        }
        if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
            return Err(PacketError::WillFlagsWithoutWill); // [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15]
        }
    }
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(PacketError::PasswordWithoutUserName); // [MQTT-3.1.2-22], and the text of MQTT 3.1
    }
    Ok(())
}

/// Whether the user name or the password comes next.
///
/// Its flag says so `[MQTT-3.1.2-18]` to `[MQTT-3.1.2-21]`; but in MQTT 3.1 the end of the packet has precedence
/// over the flag, for the sake of older clients.
fn has_field(flags: u8, flag: u8, level: ProtocolLevel, body: &Reader<'_>) -> bool {
    flags & flag != 0 && !(level == ProtocolLevel::V3_1 && body.is_empty())
}

impl<'a> Will<'a> {
    fn decode(flags: u8, body: &mut Reader<'a>) -> Result<Self, PacketError> {
        let qos = QoS::from_bits((flags & WILL_QOS) >> WILL_QOS_SHIFT).ok_or(PacketError::WillQos)?; // [MQTT-3.1.2-14]
        Ok(Self {
            topic: body.topic_name()?, // [MQTT-3.1.3-10], and a PUBLISH will have to carry it
            payload: body.binary()?,
            qos,
            retain: flags & WILL_RETAIN != 0,
        })
    }
}

/// The server's answer to CONNECT (section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server has kept a session of this client; only with [`ConnectCode::Accepted`]
    /// `[MQTT-3.2.2-4]`, and never at level 3.1, which knows no such flag.
    pub session_present: bool,
    /// Whether the connection is accepted, or why not.
    pub code: ConnectCode,
}

/// The return codes of CONNACK (table 3.1). After any but the first the server closes `[MQTT-3.2.2-5]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectCode {
    /// The connection is open.
    Accepted = 0,
    /// The server does not speak this level of the protocol.
    UnacceptableProtocolVersion = 1,
    /// The client identifier is well-formed but not allowed.
    IdentifierRejected = 2,
    /// The connection is fine but the service is not there.
    ServerUnavailable = 3,
    /// The user name or the password is malformed or wrong.
    BadUserNameOrPassword = 4,
    /// The client may not connect.
    NotAuthorised = 5,
}

impl ConnectCode {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Accepted,
            1 => Self::UnacceptableProtocolVersion,
            2 => Self::IdentifierRejected,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorised,
            _ => return None,
        })
    }
}

impl ConnAck {
    pub(super) fn decode(mut body: Reader<'_>, level: Option<ProtocolLevel>) -> Result<Self, PacketError> {
        let flags = match (body.u8()?, level) {
            (_, Some(ProtocolLevel::V3_1)) => 0, // MQTT 3.1 does not use this byte.
            (flags, _) => flags,
        };
        if flags > 1 {
            return Err(PacketError::ReservedConnAckFlags); // section 3.2.2.1
        }
        let code = ConnectCode::from_byte(body.u8()?).ok_or(PacketError::ReservedConnectCode)?;
        let connack = Self { session_present: flags == 1, code };
        connack.check().map(|()| connack)
    }

    /// Appends the packet to `out` (4 bytes).
    ///
    /// # Errors
    /// [`PacketError::SessionPresentOnRefusal`]; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        self.check()?;
        let flags = u8::from(self.session_present);
        out.extend_from_slice(&[PacketType::ConnAck.first_byte(), 2, flags, self.code as u8]);
        Ok(())
    }

    fn check(&self) -> Result<(), PacketError> {
        if self.session_present && self.code != ConnectCode::Accepted {
            return Err(PacketError::SessionPresentOnRefusal); // [MQTT-3.2.2-4]
        }
        Ok(())
    }
}
