//! How often somebody may try to sign in: counted per address, per name and per both, before the password is checked.
//! Not here: the password itself (`sign_in`). Counts live in memory; a restart forgives.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::session::sha256;
use crate::clock::Timestamp;

/// Attempts for one name, wherever from, as a multiple of those from one address. An address the owner has signed in
/// from is exempt, so that strangers cannot keep an owner from switching access off.
const EVERYWHERE: u32 = 12;
/// How long an address counts as one the owner signs in from.
const KNOWN: Duration = Duration::from_secs(90 * 86_400);
/// Counters kept at most; the oldest makes room.
const KEPT_MAX: usize = 65_536;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Pair([u8; 16], [u8; 32]),
    Address([u8; 16]),
    Name([u8; 32]),
    Known([u8; 16], [u8; 32]),
}

/// How many attempts within which time.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Attempts are counted in windows of this length, from the first.
    pub window: Duration,
    /// Attempts for one name from one address.
    pub per_name: u32,
    /// Attempts from one address, whatever the name.
    pub per_address: u32,
}

impl Bounds {
    fn most(&self, key: Key) -> u32 {
        match key {
            Key::Pair(..) => self.per_name,
            Key::Address(_) => self.per_address,
            Key::Name(_) => self.per_name.saturating_mul(EVERYWHERE),
            Key::Known(..) => u32::MAX,
        }
    }

    fn lasts(&self, key: Key) -> Duration {
        match key {
            Key::Pair(..) | Key::Address(_) | Key::Name(_) => self.window,
            Key::Known(..) => KNOWN,
        }
    }

    fn wait(&self, windows: &HashMap<Key, Window>, key: Key, now: Timestamp) -> Option<Duration> {
        let window = windows.get(&key)?;
        let left = window.began.plus(self.lasts(key)).since(now);
        (window.count >= self.most(key) && !left.is_zero()).then_some(left)
    }

    fn make_room(&self, windows: &mut HashMap<Key, Window>, now: Timestamp) {
        windows.retain(|key, window| now < window.began.plus(self.lasts(*key)));
        if windows.len() + 3 > KEPT_MAX {
            let mut began: Vec<_> = windows.values().map(|window| window.began).collect();
            began.sort_unstable();
            let middle = began.get(began.len() / 2).copied().unwrap_or(now);
            windows.retain(|_, window| window.began > middle);
        }
    }
}

#[derive(Clone, Copy)]
struct Window {
    count: u32,
    began: Timestamp,
}

/// The counters of all sign-ins.
pub struct Attempts {
    bounds: Bounds,
    windows: Mutex<HashMap<Key, Window>>,
}

/// One host of IPv4, one network of 64 bits of IPv6: what one person commonly commands.
fn place(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => (u128::from(v6) >> 64 << 64).to_be_bytes(),
    }
}

impl Attempts {
    /// Nobody has tried yet.
    pub fn new(bounds: Bounds) -> Attempts {
        Attempts { bounds, windows: Mutex::default() }
    }

    /// Counts an attempt; an error says how long to wait before the next.
    pub fn admit(&self, address: IpAddr, name: &str, now: Timestamp) -> Result<(), Duration> {
        let (place, name) = (place(address), sha256(name.as_bytes()));
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() + 3 > KEPT_MAX {
            self.bounds.make_room(&mut windows, now);
        }
        let mut keys = vec![Key::Pair(place, name), Key::Address(place)];
        if !windows.contains_key(&Key::Known(place, name)) {
            keys.push(Key::Name(name));
        }
        let wait = keys.iter().filter_map(|key| self.bounds.wait(&windows, *key, now)).max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for key in keys {
            let window = windows.entry(key).or_insert(Window { count: 0, began: now });
            if now >= window.began.plus(self.bounds.lasts(key)) {
                *window = Window { count: 0, began: now };
            }
            window.count += 1;
        }
        Ok(())
    }

    /// The attempt succeeded: that address is known for that name from now on.
    pub fn succeeded(&self, address: IpAddr, name: &str, now: Timestamp) {
        let (place, name) = (place(address), sha256(name.as_bytes()));
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&Key::Pair(place, name));
        windows.insert(Key::Known(place, name), Window { count: 0, began: now });
        for key in [Key::Address(place), Key::Name(name)] {
            if let Some(window) = windows.get_mut(&key) {
                window.count = window.count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
