//! A queued record is not a durable one.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Enqueued;
use portreeve::proxy::release::{Burst, Ledger, Present, Slip, ToServer};

fn early(
    to: &mut ToServer,
    burst: Burst,
    allowed: Authorized<Any>,
    enqueued: Enqueued,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(burst, allowed, enqueued, ledger, present) //~ E0308
}

fn main() {
    let _ = early;
}
