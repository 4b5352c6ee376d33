//! The fields of a packet, taken one after the other from the bytes behind its fixed header.
//!
//! Each packet's `decode` draws from it and says with [`Reader::finish`] that it expects no more.

use super::string::{check_string, check_topic_filter, check_topic_name};
use super::{PacketError, PacketId};

/// What has not been read of one packet.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything up to the end.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn finish(self) -> Result<(), PacketError> {
        if self.0.is_empty() { Ok(()) } else { Err(PacketError::TrailingBytes) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PacketError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(PacketError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PacketError> {
        Ok(self.take(1)?[0])
    }

    /// Two bytes, most significant first (section 1.5.2).
    pub(super) fn u16(&mut self) -> Result<u16, PacketError> {
        let taken = self.take(2)?;
        Ok(u16::from_be_bytes([taken[0], taken[1]]))
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, PacketError> {
        PacketId::new(self.u16()?).ok_or(PacketError::ZeroPacketId) // [MQTT-2.3.1-1]
    }

    /// Bytes behind their own length of two bytes.
    pub(super) fn binary(&mut self) -> Result<&'a [u8], PacketError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn utf8(&mut self) -> Result<&'a str, PacketError> {
        core::str::from_utf8(self.binary()?).map_err(|_| PacketError::NotUtf8) // [MQTT-1.5.3-1]
    }

    pub(super) fn string(&mut self) -> Result<&'a str, PacketError> {
        let text = self.utf8()?;
        check_string(text).map(|()| text)
    }

    pub(super) fn topic_name(&mut self) -> Result<&'a str, PacketError> {
        let topic = self.utf8()?;
        check_topic_name(topic).map(|()| topic)
    }

    pub(super) fn topic_filter(&mut self) -> Result<&'a str, PacketError> {
        let filter = self.utf8()?;
        check_topic_filter(filter).map(|()| filter)
    }
}
