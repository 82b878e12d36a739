use super::*;
use crate::audit::record::{Skeleton, Values};

fn refused(content: &[u8]) -> String {
    read::<Skeleton>(content).expect_err("it is not as it must be")
}

#[test]
fn what_is_written_is_read_and_a_field_nobody_knows_is_passed_over() {
    let further = Some(vec![Skeleton { frame: Some(2), ..Skeleton::default() }]);
    let skeleton = Skeleton { staff: Some(3), relations: Some(vec!["t".to_owned()]), further, ..Skeleton::default() };
    let written = minicbor::to_vec(&skeleton).expect("CBOR");
    assert_eq!(read(&written), Ok(skeleton));
    assert_eq!(read(&[0xa0]), Ok(Values::default()));
    // Field 1 is 3; field 900 is a list of a map and a text.
    let newer = [0xa2, 1, 3, 0x19, 3, 132, 0x82, 0xa1, 0, 0xf6, 0x61, b'x'];
    assert_eq!(read(&newer), Ok(Skeleton { staff: Some(3), ..Skeleton::default() }));
}

/// A reader that takes the first of two and one that takes the last would show different records.
#[test]
fn what_another_reader_would_read_otherwise_is_refused() {
    assert!(refused(&[0xa2, 1, 3, 1, 4]).contains("field 1 is there twice"));
    assert!(refused(&[0xa1, 0x18, 28, 0x81, 0xa2, 3, 1, 3, 2]).contains("field 3 is there twice"), "within another");
    for indefinite in [&[0xbf, 1, 3, 0xff][..], &[0xa1, 10, 0x9f, 0xff], &[0xa1, 4, 0x7f, 0x61, b'x', 0xff]] {
        assert!(refused(indefinite).contains("not definite"), "{indefinite:x?}");
    }
    assert!(refused(&[0xa1, 1, 3, 0]).contains("left over"));
    assert!(refused(&[0xa1, 1, 3, 0xa1, 1, 4]).contains("left over"), "a second one behind it");
    for cut in [&[][..], &[0xa1], &[0xa1, 1], &[0xa1, 4, 0x62, b'x'], &[0xa1, 0x61, b'x', 3]] {
        assert!(!refused(cut).is_empty(), "{cut:x?}");
    }
    let deep: Vec<u8> = [0x81; 100_000].into_iter().chain([0]).collect();
    assert!(refused(&deep).contains("nested too deeply"));
}
