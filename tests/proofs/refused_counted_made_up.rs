//! COPY data passes only if the session counted and digested it.

use bytes::Bytes;
use portreeve::session::Counted;
use portreeve::wire::frame::Frame;

fn main() {
    let frame = Frame::new(Bytes::from_static(b"d\0\0\0\x05x")).expect("a whole frame");
    let _ = Counted(frame); //~ E0423
}
