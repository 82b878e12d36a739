//! A receipt is not Clone.

use portreeve::log::Receipt;

fn copy(receipt: &Receipt) -> Receipt {
    receipt.clone() //~ E0308
}

fn main() {
    let _ = copy;
}
