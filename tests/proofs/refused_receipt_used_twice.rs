//! A receipt is consumed: one frame each.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Receipt;
use portreeve::proxy::release::{Burst, Ledger, Present, Slip, ToServer};

fn twice(
    to: &mut ToServer,
    [first, second]: [Burst; 2],
    one: Authorized<Any>,
    two: Authorized<Any>,
    receipt: Receipt,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(first, one, receipt, ledger, present)?;
    to.forward(second, two, receipt, ledger, present) //~ E0382
}

fn main() {
    let _ = twice;
}
