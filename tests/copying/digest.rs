//! Ten gigabytes of COPY data through a session: the digest is right and the memory is not felt.
//! Not here: the gate around it (`files.rs` sends 200 MB through that).

use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{BufMut as _, BytesMut};
use portreeve::clock::Timestamp;
use portreeve::session::{Event, Session, Step};
use portreeve::wire::frame::{Frame, cut};

const MESSAGE_BYTES: usize = 1 << 20;
const MESSAGES: u64 = 10 << 10;
const FRAME_BYTES_MAX: usize = 64 << 20;
/// What all of it may add to what was there before.
const GROWTH_KIB_MAX: u64 = 16 << 10;
const COPY_IN_TEXT: &[u8] = b"G\0\0\0\x07\0\0\0";

/// The most memory this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A frontend message, cut out of a buffer as the relay does it.
fn message(buffer: &mut BytesMut, tag: u8, body: &[u8]) -> Frame {
    buffer.put_u8(tag);
    buffer.put_u32(u32::try_from(body.len() + 4).expect("short"));
    buffer.put_slice(body);
    cut(buffer, FRAME_BYTES_MAX).expect("a message").expect("a whole one")
}

#[test]
fn ten_gigabytes_are_digested_in_bounded_memory() {
    let (mut session, mut events) = (Session::new(Timestamp(0)), Vec::new());
    let mut buffer = BytesMut::new();
    let query = message(&mut buffer, b'Q', b"copy t from stdin\0");
    assert!(matches!(session.client(&query, Timestamp(0)), Ok(Step::Gate(_))));
    session.server(COPY_IN_TEXT, Timestamp(0), &mut events).expect("an answer");
    assert_eq!(events, [Event::CopyInStarted]);
    let mut data = b"0123456789abcde\n".repeat(MESSAGE_BYTES / 16);
    let (mut expected, before, began) = (Context::new(&SHA256), peak_kib(), Instant::now());
    for number in 0..MESSAGES {
        // No message is like another.
        data.splice(..8, number.to_be_bytes().map(|byte| byte | 0x80));
        expected.update(&data);
        let frame = message(&mut buffer, b'd', &data);
        let step = session.client(&frame, Timestamp(0)).expect("data");
        assert!(matches!(step, Step::Copy(counted) if counted.frame().body().len() == MESSAGE_BYTES));
    }
    let done = message(&mut buffer, b'c', b"");
    let Ok(Step::Gate(statement)) = session.client(&done, Timestamp(0)) else { unreachable!("CopyDone is gated") };
    let (grown, took) = (peak_kib() - before, began.elapsed());
    println!("{} GiB in {took:.1?}, {grown} KiB more than before", MESSAGES >> 10);
    assert_eq!(statement.skeleton.copied_bytes, Some(MESSAGES * MESSAGE_BYTES as u64));
    assert_eq!(statement.skeleton.copied_lines, Some(MESSAGES * MESSAGE_BYTES as u64 / 16));
    assert_eq!(statement.values.digest.as_deref(), Some(expected.finish().as_ref()));
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more for ten gigabytes");
}
