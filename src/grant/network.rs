//! A range of addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address alone.
//! Not here: which list it stands in. An IPv4 address that arrives mapped into IPv6 is the IPv4 address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses, without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// Neither an address nor a range.
    #[error("\"{0}\" is no range of addresses: write one such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7")]
    NotANetwork(String),
    /// An address within the range, where the range begins elsewhere.
    #[error("\"{found}\" lies within a range and does not name it: write {range}, or {address} for that one address")]
    HostBits {
        /// What was written.
        found: String,
        /// The range it lies in.
        range: Network,
        /// The address alone.
        address: IpAddr,
    },
}

impl Network {
    /// Whether that address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                first(address.to_canonical(), self.bits) == self.address
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// How many bits an address of that family has.
fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first address of the range of so many leading bits that holds this one.
fn first(address: IpAddr, bits: u8) -> IpAddr {
    let hidden = u32::from(width(address).saturating_sub(bits));
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(hidden).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(hidden).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<Network, NetworkFault> {
        let wrong = || NetworkFault::NotANetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let digits = |bits: &str| bits.bytes().all(|b| b.is_ascii_digit()).then(|| bits.parse().ok()).flatten();
        let bits = match bits {
            Some(bits) => digits(bits).filter(|bits: &u8| *bits <= width(address)).ok_or_else(wrong)?,
            None => width(address),
        };
        let range = Network { address: first(address, bits), bits };
        if range.address != address {
            return Err(NetworkFault::HostBits { found: text.to_owned(), range, address });
        }
        Ok(range)
    }
}

/// As it is read back; a range of one address is the address.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
