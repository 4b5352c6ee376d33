//! A carrier in memory, for tests: the simplest that keeps the contract.
//!
//! The contract tests run against it and against the product's carrier; it is also what rumqttd's cost is
//! measured against. Bounded only by the credits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::BusSettings;
use super::carrier::{
    Carrier, CarrierDied, CarrierError, CarrierLink, CarrierReceiver, CarrierSender, Parcel,
};

#[derive(Debug)]
pub(super) struct Memory;

#[derive(Debug, Default)]
struct Channel {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    dead: bool,
}

impl Carrier for Memory {
    fn open(&mut self, config: &BusSettings) -> Result<CarrierLink, CarrierError> {
        let channels: Vec<Arc<Channel>> = (0..config.dispatchers).map(|_| Arc::default()).collect();
        let receivers = channels
            .iter()
            .map(|channel| Box::new(Receiver(Arc::clone(channel))) as Box<dyn CarrierReceiver>);
        Ok(CarrierLink { receivers: receivers.collect(), sender: Box::new(Sender(channels)) })
    }
}

struct Sender(Vec<Arc<Channel>>);

impl CarrierSender for Sender {
    fn send(&mut self, batch: &mut Vec<Parcel>) {
        for (index, channel) in self.0.iter().enumerate() {
            let mut queue = channel.queue.lock();
            let own = batch.iter().filter(|parcel| usize::from(parcel.partition) % self.0.len() == index);
            let before = queue.parcels.len();
            if !queue.dead {
                queue.parcels.extend(own.cloned());
            }
            if queue.parcels.len() > before {
                channel.arrived.notify_one();
            }
        }
        batch.clear();
    }

    fn kill(&mut self) {
        for channel in &self.0 {
            // What was on the way is lost, as it is with a router that dies.
            *channel.queue.lock() = Queue { parcels: VecDeque::new(), dead: true };
            channel.arrived.notify_one();
        }
    }
}

struct Receiver(Arc<Channel>);

impl CarrierReceiver for Receiver {
    fn receive(&mut self, into: &mut VecDeque<Parcel>, wait: Duration) -> Result<(), CarrierDied> {
        let mut queue = self.0.queue.lock();
        let nothing = |queue: &mut Queue| queue.parcels.is_empty() && !queue.dead;
        self.0.arrived.wait_while_for(&mut queue, nothing, wait);
        into.append(&mut queue.parcels);
        if queue.dead { Err(CarrierDied) } else { Ok(()) }
    }
}
