//! The seam between the engine and whatever carries its envelopes.
//!
//! The publisher's side hands parcels to a [`BusSender`], the dispatchers take them from [`BusReceiver`]s.
//! What holds on every bus, and is tested on each by the contract tests: parcels of one partition arrive in
//! the order of sending, each once, as long as no more than the credits are on the way; each arrives at the
//! receiver that its partition belongs to; when the bus dies, its receivers say so.
//!
//! A bus knows nothing of notes, sequences, credits or replay.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::EngineConfig;

/// What a bus may charge for a parcel on top of its payload, in bytes. rumqttd: 4 and the topic.
pub(super) const PARCEL_OVERHEAD: usize = 16;

/// An envelope and the partition it travels in.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) partition: u8,
    pub(super) payload: Bytes,
}

/// Builds buses: one at the start, and another whenever one has died.
pub(super) trait Carrier: Send {
    /// Builds a bus that is ready: what is sent from now on arrives at its receivers.
    ///
    /// # Errors
    /// [`BusError`] if it cannot be built at present.
    fn open(&mut self, config: &EngineConfig) -> Result<Bus, BusError>;
}

/// The two ends of a bus.
pub(super) struct Bus {
    pub(super) sender: Box<dyn BusSender>,
    /// One per dispatcher. Partition `p` arrives at receiver `p % receivers.len()`.
    pub(super) receivers: Vec<Box<dyn BusReceiver>>,
}

/// The publisher's end.
pub(super) trait BusSender: Send {
    /// Takes all of `batch`. Never waits for a receiver.
    ///
    /// A bus that died takes it and says nothing: its receivers report the death, and what was on the way
    /// is replayed on the next bus.
    fn send(&mut self, batch: &mut Vec<Parcel>);

    /// Fault injection: makes the bus die as it would from a defect.
    #[cfg(test)]
    fn kill(&mut self);
}

/// A dispatcher's end.
pub(super) trait BusReceiver: Send {
    /// Appends what has arrived, waiting for at most `wait` if there is nothing. May return with nothing.
    ///
    /// # Errors
    /// [`BusDied`] if nothing will ever arrive again.
    fn receive(&mut self, into: &mut VecDeque<Parcel>, wait: Duration) -> Result<(), BusDied>;
}

/// The bus has died; nothing arrives any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bus died")]
pub(super) struct BusDied;

/// Why a bus could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BusError(pub(super) String);

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("receivers", &self.receivers.len()).finish_non_exhaustive()
    }
}
