//! Asking the clocks that the guard compares: the machine's since boot, and the database's.
//! Not here: the verdict (`retention/clock_guard.rs`). `/proc/uptime` counts CLOCK_BOOTTIME, proc(5).

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use crate::clock::Timestamp;

/// A second opinion about the time: the machine's, or a test's.
pub trait Witness: Send + Sync + 'static {
    /// Since boot, sleep included.
    ///
    /// # Errors
    /// If the kernel does not say.
    fn since_boot(&self) -> Result<Duration>;

    /// Which boot.
    ///
    /// # Errors
    /// If the kernel does not say.
    fn boot(&self) -> Result<[u8; 16]>;

    /// What the database's clock says, of which it answered `said`.
    fn database(&self, said: Timestamp) -> Timestamp;
}

/// This machine's kernel, and the database as it answered.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Witness for Machine {
    fn since_boot(&self) -> Result<Duration> {
        let text = fs::read_to_string("/proc/uptime")?;
        let seconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        span.ok_or_else(|| Error::new(ErrorKind::InvalidData, "/proc/uptime does not begin with seconds"))
    }

    fn boot(&self) -> Result<[u8; 16]> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32);
        let wrong = || Error::new(ErrorKind::InvalidData, "the kernel's boot_id is no UUID");
        number.map(u128::to_be_bytes).ok_or_else(wrong)
    }

    fn database(&self, said: Timestamp) -> Timestamp {
        said
    }
}
