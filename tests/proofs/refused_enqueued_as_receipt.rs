//! A queued record is not a durable one.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Enqueued;
use portreeve::proxy::release::{Ledger, Present, Slip, ToServer};
use portreeve::wire::frame::Frame;

fn early(
    to: &mut ToServer,
    frame: &Frame,
    allowed: Authorized<Any>,
    enqueued: Enqueued,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(frame, allowed, enqueued, ledger, present) //~ E0308
}

fn main() {
    let _ = early;
}
