use super::super::batch::DATA_KEY_BYTES;
use super::*;

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        segment: 3,
        first_position: 100,
        first_batch: 20,
        created: Timestamp(5),
        length: 1 << 20,
        previous: [1; 32],
        root: [2; 32],
        origin: "portreeve/a".to_owned(),
    }
}

fn batch_header() -> BatchHeader {
    BatchHeader { batch: 9, first_position: 100, leaves: 2, length: 4096, written: Timestamp(6), previous: [3; 32] }
}

#[test]
fn a_file_name_gives_the_number_and_no_other_name_does() {
    assert_eq!(file_name(7), "000000000007.segment");
    assert_eq!(number_of("000000000007.segment"), Some(7));
    for other in ["7.segment", "000000000007.segment.new", "spare", "+00000000007.segment", "checkpoint"] {
        assert_eq!(number_of(other), None, "{other}");
    }
}

#[test]
fn headers_read_back_and_no_byte_of_them_can_be_changed() {
    let segment = segment_header().to_bytes();
    assert_eq!(SegmentHeader::parse(&segment), Some(segment_header()));
    for at in 0..segment.len() {
        let mut changed = segment.clone();
        changed[at] ^= 4;
        assert_eq!(SegmentHeader::parse(&changed), None, "byte {at}");
    }
    let batch = batch_header().to_bytes();
    assert_eq!(BatchHeader::parse(&batch), Some(batch_header()));
    for at in 0..batch.len() {
        let mut changed = batch;
        changed[at] ^= 4;
        assert_eq!(BatchHeader::parse(&changed), None, "byte {at}");
        assert_eq!(BatchHeader::parse(&batch[..at]), None, "cut to {at}");
    }
}

#[test]
fn a_header_that_cannot_be_is_none() {
    for unsound in [
        BatchHeader { leaves: 0, ..batch_header() },
        BatchHeader { length: 4095, ..batch_header() },
        BatchHeader { leaves: 24, ..batch_header() },
        BatchHeader { leaves: u32::MAX, ..batch_header() },
        BatchHeader { first_position: u64::MAX - 1, ..batch_header() },
    ] {
        assert_eq!(BatchHeader::parse(&unsound.to_bytes()), None, "{unsound:?}");
    }
    let last = BatchHeader { first_position: u64::MAX - 2, ..batch_header() };
    assert_eq!(BatchHeader::parse(&last.to_bytes()), Some(last));
}

/// A file that says it is endless: these bytes, then zeros.
struct Endless(Vec<u8>);

impl ReadAt for Endless {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        assert!(bytes.len() as u64 <= BATCH_BYTES_MAX, "{} bytes at {offset} are read at once", bytes.len());
        bytes.fill(0);
        let from = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        bytes.iter_mut().zip(from).for_each(|(byte, from)| *byte = *from);
        Ok(())
    }
}

#[test]
fn a_batch_that_says_it_is_longer_than_any_is_not_read() {
    let block = BLOCK_BYTES as u64;
    let lengths = [(1 << 50, u32::MAX), (1 << 50, 2), (BATCH_BYTES_MAX + block, 2), (u64::MAX - block + 1, u32::MAX)];
    for (length, leaves) in lengths {
        let header = BatchHeader { length, leaves, ..batch_header() };
        let file = Endless(header.to_bytes().to_vec());
        for depth in [Depth::Leaves, Depth::Parts] {
            let found = batch_at(&file, 0, u64::MAX, depth).expect("readable");
            let Found::Bad(bad) = found else { panic!("{length} bytes: {found:?}") };
            assert_eq!((bad.what, bad.header), ("the batch is longer than any that is written", Some(header.clone())));
        }
    }
    // The largest record that there can be, with its data keys, fits.
    let largest = 2 * (PART_BYTES_MAX + 4096) + content_start(3) + 2 * DATA_KEY_BYTES;
    assert!((largest as u64) < BATCH_BYTES_MAX);
}
