//! A frame passes without a record only if its type needs none.

use bytes::Bytes;
use portreeve::proxy::release::Unrecorded;

fn main() {
    let _ = Unrecorded(Bytes::from_static(b"Q\0\0\0\x0dselect 1\0")); //~ E0423
}
