//! How many connections each address has. Bounded by the number of connections.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use hashbrown::HashMap;
use parking_lot::Mutex;

/// Bits of an IPv6 address that tell one network from another: who has a network has all of its addresses.
const IPV6_NETWORK_BITS: u32 = 64;

/// The addresses that are connected.
#[derive(Debug)]
pub struct Addresses {
    connected: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
}

/// A connection that counts; dropping it ends that.
#[derive(Debug)]
pub(super) struct CountedConnection {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// For up to `most` connections of each address.
    pub fn new(most: usize) -> Self {
        Self { connected: Mutex::default(), most }
    }

    /// Counts a connection, or says that its address has as many as it may have.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<CountedConnection> {
        let address = network(address);
        let mut connected = self.connected.lock();
        let count = connected.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(CountedConnection { addresses: Arc::clone(self), address })
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut connected = self.addresses.connected.lock();
        let Some(count) = connected.get_mut(&self.address) else { return };
        *count -= 1;
        if *count == 0 {
            connected.remove(&self.address);
            // A storm of clients must not leave its size behind.
            if connected.len() * 4 < connected.capacity() {
                connected.shrink_to_fit();
            }
        }
    }
}

/// What counts as one address: of IPv6 the network, and IPv4 in IPv6 as itself.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let host_bits = 128 - IPV6_NETWORK_BITS;
            Ipv6Addr::from_bits(address.to_bits() >> host_bits << host_bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(addresses: &Arc<Addresses>, address: &str) -> Option<CountedConnection> {
        addresses.enter(address.parse().expect("an address"))
    }

    #[test]
    fn each_address_has_so_many_and_an_ipv6_network_counts_as_one() {
        let addresses = Arc::new(Addresses::new(2));
        let first = enter(&addresses, "192.0.2.1").expect("the first");
        let second = enter(&addresses, "::ffff:192.0.2.1").expect("the same, written as IPv6");
        assert!(enter(&addresses, "192.0.2.1").is_none());
        let other = enter(&addresses, "192.0.2.2").expect("another one");
        let one = enter(&addresses, "2001:db8::1").expect("a network");
        let two = enter(&addresses, "2001:db8::ffff:2").expect("the same network");
        assert!(enter(&addresses, "2001:db8::3").is_none());
        assert!(enter(&addresses, "2001:db8:0:1::3").is_some(), "the next network");
        drop(second);
        assert!(enter(&addresses, "192.0.2.1").is_some());
        drop((first, other, one, two));
        assert!(addresses.connected.lock().is_empty(), "nothing is left behind");
    }
}
