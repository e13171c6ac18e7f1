//! The open connections, and which one closes when there are too many.
//!
//! A new connection always gets a place. If none is free, the peer with the most connections loses the one whose last request is
//! the oldest. So a peer that opens hundreds of connections takes them from itself, and many such peers take them from each
//! other. A probe, which opens few connections and sends its request at once, gets its answer in every crowd, and the server need
//! not know which peer is a probe.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The connections that are open.
pub(super) struct Crowd {
    places: usize,
    per_peer: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Counts admissions and requests, and so keeps their order.
    now: u64,
    guests: Vec<Guest>,
}

struct Guest {
    id: u64,
    peer: IpAddr,
    /// When it was admitted or last sent a request, by [`Open::now`].
    asked: u64,
    leave: CancellationToken,
}

/// The place of one connection; free again when it is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    id: u64,
    leave: CancellationToken,
}

impl Crowd {
    /// Limits the number of connections, and that of one peer.
    pub fn new(places: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { places, per_peer, open: Mutex::default() })
    }

    /// Gives a connection from `address` a place. Another connection may have to close for it.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Place {
        let peer = peer(address);
        let leave = CancellationToken::new();
        let mut open = self.open();
        let own = open.held_by(peer);
        let leaver = if own >= self.per_peer {
            open.longest_silent(|guest| guest.peer == peer)
        } else if open.guests.len() >= self.places {
            let held = open.held();
            let most = held.values().max();
            open.longest_silent(|guest| held.get(&guest.peer) == most)
        } else {
            None
        };
        if let Some(index) = leaver {
            open.guests.swap_remove(index).leave.cancel();
        }
        open.now += 1;
        let id = open.now;
        open.guests.push(Guest { id, peer, asked: id, leave: leave.clone() });
        drop(open);
        Place { crowd: Arc::clone(self), id, leave }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn held_by(&self, peer: IpAddr) -> usize {
        self.guests.iter().filter(|guest| guest.peer == peer).count()
    }

    fn held(&self) -> HashMap<IpAddr, usize> {
        let mut held = HashMap::new();
        for guest in &self.guests {
            *held.entry(guest.peer).or_default() += 1;
        }
        held
    }

    fn longest_silent(&self, of: impl Fn(&Guest) -> bool) -> Option<usize> {
        let candidates = self.guests.iter().enumerate().filter(|(_, guest)| of(guest));
        candidates.min_by_key(|(_, guest)| guest.asked).map(|(index, _)| index)
    }
}

impl Place {
    /// Notes that the connection has sent a request.
    pub fn asked(&self) {
        let mut open = self.crowd.open();
        open.now += 1;
        let now = open.now;
        if let Some(guest) = open.guests.iter_mut().find(|guest| guest.id == self.id) {
            guest.asked = now;
        }
    }

    /// Waits until another connection needs the place.
    pub async fn needed(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.open().guests.retain(|guest| guest.id != self.id);
    }
}

/// The peer of an address. For IPv6 it is the network of 64 bits, because a host with one address in it can use them all.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if !six.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(crowd: &Arc<Crowd>, address: &str) -> Place {
        crowd.admit(address.parse().unwrap())
    }

    fn gone(places: &[Place]) -> Vec<bool> {
        places.iter().map(|place| place.leave.is_cancelled()).collect()
    }

    #[test]
    fn a_peer_with_all_its_places_loses_the_connection_with_the_oldest_request() {
        let crowd = Crowd::new(9, 3);
        let own = ["10.0.0.1", "10.0.0.1", "10.0.0.1"].map(|address| admit(&crowd, address));
        let other = admit(&crowd, "10.0.0.2");
        own[0].asked();
        let next = admit(&crowd, "10.0.0.1");
        assert_eq!(gone(&own), [false, true, false]);
        assert_eq!(gone(&[other, next]), [false, false]);
    }

    #[test]
    fn a_full_server_takes_a_place_from_the_peer_with_the_most() {
        let crowd = Crowd::new(5, 4);
        let all = ["10.0.0.9", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.1"].map(|address| admit(&crowd, address));
        let probe = admit(&crowd, "10.0.0.3");
        assert_eq!(gone(&all), [false, true, false, false, false]);
        let second = admit(&crowd, "10.0.0.3");
        assert_eq!(gone(&all), [false, true, true, false, false]);
        assert_eq!(gone(&[probe, second]), [false, false]);
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let crowd = Crowd::new(2, 2);
        let kept = admit(&crowd, "10.0.0.1");
        drop(admit(&crowd, "10.0.0.1"));
        let next = admit(&crowd, "10.0.0.1");
        assert_eq!(gone(&[kept, next]), [false, false]);
    }

    #[test]
    fn a_network_of_addresses_is_one_peer() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::1", "::2", false),
        ] {
            let peers = [one, other].map(|address| peer(address.parse().unwrap()));
            assert_eq!(peers[0] == peers[1], same, "{one} {other}");
        }
    }
}
