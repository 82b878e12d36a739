//! A receipt is consumed: one frame each.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Receipt;
use portreeve::proxy::release::{Ledger, Present, Slip, ToServer};
use portreeve::wire::frame::Frame;

fn twice(
    to: &mut ToServer,
    frame: &Frame,
    one: Authorized<Any>,
    two: Authorized<Any>,
    receipt: Receipt,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(frame, one, receipt, ledger, present)?;
    to.forward(frame, two, receipt, ledger, present) //~ E0382
}

fn main() {
    let _ = twice;
}
