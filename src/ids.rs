//! Names of things, one type each, so that a customer can never stand where a grant is meant.
//! Not here: anything a person would recognise; ids are numbers, names sit in the register's side tables.

use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::str::FromStr;

/// A text that is not the id it was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnId {
    /// What was expected, such as `c7`.
    pub expected: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not an id such as {}", self.found, self.expected)
    }
}

impl std::error::Error for NotAnId {}

/// For maps by such a number that each record asks: the register counts them, so that nobody chooses many that collide.
pub type ByNumber = BuildHasherDefault<NumberHasher>;

/// One multiplication for each number that is put in.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $letter:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl From<$name> for u64 {
            fn from(id: $name) -> u64 {
                id.0
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> $name {
                $name(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($letter)
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map($name)
                    .ok_or_else(|| NotAnId { expected: $example, found: text.to_owned() })
            }
        }
    };
}

numbered! {
    /// A customer (tenant): the sequence number of the event that created it. Written `c7`.
    CustomerId, "c", "c7"
}
numbered! {
    /// An owner: somebody with credentials for one customer's account. Written `o7`.
    OwnerId, "o", "o7"
}
numbered! {
    /// A member of the vendor's staff. Written `s7`.
    StaffId, "s", "s7"
}
numbered! {
    /// A team of staff: the sequence number of the event that created it; 0 is there from the beginning. Written `t7`.
    TeamId, "t", "t7"
}
numbered! {
    /// What was asked for in an emergency: the sequence number of the event that asked. Written `b7`.
    GlassId, "b", "b7"
}
numbered! {
    /// A grant. Written `g7`.
    GrantId, "g", "g7"
}
numbered! {
    /// A request of a staff member for access: the sequence number of the event that opened it. Written `r7`.
    RequestId, "r", "r7"
}
numbered! {
    /// A one-time code of an owner: the sequence number of the event that created it. Written `k7`.
    CodeId, "k", "k7"
}
numbered! {
    /// A hold on what is deleted of a customer. Written `h7`.
    HoldId, "h", "h7"
}
numbered! {
    /// An export of one customer's data: the sequence number of the event that asked for it. Written `e7`.
    ExportId, "e", "e7"
}
numbered! {
    /// A position in the register: the number of events up to and with this one; 0 is before the first.
    Sequence, "#", "#7"
}

impl Sequence {
    /// The place behind it.
    #[must_use]
    pub fn next(self) -> Sequence {
        Sequence(self.0.saturating_add(1))
    }
}

macro_rules! random {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let wrong = || NotAnId { expected: $example, found: text.to_owned() };
                let mut bytes = [0; $bytes];
                if text.len() != 2 * $bytes || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(wrong());
                }
                for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                    let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
                    *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
                }
                Ok($name(bytes))
            }
        }
    };
}

random! {
    /// One connection of one staff member, from sign-in to its end. Written as 16 hexadecimal digits.
    SessionId, 8, "0123456789abcdef"
}
random! {
    /// One intended change of the register: chosen before it is tried, so that a crash can be resolved by id.
    EventId, 16, "0123456789abcdef0123456789abcdef"
}
random! {
    /// One snapshot, as our own catalog names it; says nothing of whose rows are in it.
    SnapshotId, 16, "0123456789abcdef0123456789abcdef"
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
