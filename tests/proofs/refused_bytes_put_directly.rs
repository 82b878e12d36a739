//! Nothing but the rule puts bytes into the buffers.

use bytes::Bytes;
use portreeve::proxy::release::ToClient;

fn slip(to: &mut ToClient, row: Bytes) {
    to.put(row); //~ E0624
}

fn main() {
    let _ = slip;
}
