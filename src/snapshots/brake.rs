//! Holds a snapshot back to so many bytes a second, so that it leaves room on the disk and the road for others.
//! Not here: what else may slow it down; it only ever waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long it sleeps at a time: to be stopped soon.
const NAP: Duration = Duration::from_millis(100);

/// A pace from its first byte on. A pause elsewhere is not caught up with a burst of more than a second's worth.
pub(super) struct Brake {
    bytes_per_second_max: u64,
    from: Instant,
    passed: u64,
}

impl Brake {
    pub(super) fn new(bytes_per_second_max: u64) -> Brake {
        Brake { bytes_per_second_max: bytes_per_second_max.max(1), from: Instant::now(), passed: 0 }
    }

    /// Waits until `bytes` more may have passed, or it is stopped.
    pub(super) fn hold(&mut self, bytes: u64, stopped: &AtomicBool) {
        self.passed = self.passed.saturating_add(bytes);
        while let Some(early) = self.due().checked_sub(self.from.elapsed()).filter(|early| !early.is_zero()) {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(early.min(NAP));
        }
        if self.from.elapsed() > self.due() + Duration::from_secs(1) {
            (self.from, self.passed) = (Instant::now(), 0);
        }
    }

    /// How long what has passed takes at the least.
    fn due(&self) -> Duration {
        let micros = u128::from(self.passed) * 1_000_000 / u128::from(self.bytes_per_second_max);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
#[path = "brake_tests.rs"]
mod tests;
