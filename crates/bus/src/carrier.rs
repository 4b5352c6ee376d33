//! The contract between the bus and the carrier of its envelopes.
//!
//! The publisher's side hands parcels to a [`CarrierSender`], the dispatchers take them from [`CarrierReceiver`]s.
//! Every carrier makes three promises, which the contract tests check:
//! - Parcels of one partition arrive in the order of sending, each once, while no more than the credits are in flight.
//! - Each arrives at the receiver of its partition.
//! - When the carrier dies, its receivers report it.
//!
//! A carrier knows nothing of notifications, sequences, credits or replay.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::BusSettings;

/// What a carrier may charge for a parcel on top of its payload, in bytes. rumqttd: 4 and the topic.
pub(super) const PARCEL_OVERHEAD: usize = 16;

/// An envelope and the partition it travels in.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) partition: u8,
    pub(super) payload: Bytes,
}

/// Opens links: one at the start, and another whenever one has died.
pub(super) trait Carrier: Send {
    /// Opens a link that is ready: what is sent from now on arrives at its receivers.
    ///
    /// # Errors
    /// [`CarrierError`] if it cannot be opened at present.
    fn open(&mut self, config: &BusSettings) -> Result<CarrierLink, CarrierError>;
}

/// The two ends of a link.
pub(super) struct CarrierLink {
    pub(super) sender: Box<dyn CarrierSender>,
    /// One per dispatcher. Partition `p` arrives at receiver `p % receivers.len()`.
    pub(super) receivers: Vec<Box<dyn CarrierReceiver>>,
}

/// The publisher's end.
pub(super) trait CarrierSender: Send {
    /// Takes all of `batch`. Never waits for a receiver.
    ///
    /// A dead link takes it and returns: its receivers report the death, and what was on the way is replayed on
    /// the next link.
    fn send(&mut self, batch: &mut Vec<Parcel>);

    /// Fault injection: makes the link die as it would from a defect.
    #[cfg(any(test, feature = "fault-injection"))]
    fn kill(&mut self);
}

/// A dispatcher's end.
pub(super) trait CarrierReceiver: Send {
    /// Appends what has arrived, waiting for at most `wait` if there is nothing. May return with nothing.
    ///
    /// # Errors
    /// [`CarrierDied`] if nothing will ever arrive again.
    fn receive(&mut self, into: &mut VecDeque<Parcel>, wait: Duration) -> Result<(), CarrierDied>;
}

/// The link has died; nothing arrives any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bus died")]
pub(super) struct CarrierDied;

/// Why a link could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CarrierError(pub(super) String);

impl fmt::Debug for CarrierLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarrierLink").field("receivers", &self.receivers.len()).finish_non_exhaustive()
    }
}
