use super::*;

const TWO: &[u8] = b"Z\0\0\0\x05ID\0\0\0\x08wxyz";

#[test]
fn the_position_is_between_messages_only_where_one_ended() {
    for cut in 0..=TWO.len() {
        let mut boundary = Boundary::default();
        let (first, second) = TWO.split_at(cut);
        boundary.advance(first);
        assert_eq!(boundary.is_between(), matches!(cut, 0 | 6 | 15), "after {cut} bytes");
        let rest = boundary.rest_of_message(second);
        let expected = match cut {
            0 | 6 | 15 => 0,
            1..6 => 6 - cut,
            _ => 15 - cut,
        };
        assert_eq!(rest, expected, "after {cut} bytes");
        boundary.advance(second);
        assert!(boundary.is_between());
    }
}

#[test]
fn a_message_without_a_body_ends_with_its_header() {
    let mut boundary = Boundary::default();
    boundary.advance(b"1\0\0\0\x04");
    assert!(boundary.is_between());
}

#[test]
fn a_body_that_is_not_there_yet_belongs_to_its_message() {
    let mut boundary = Boundary::default();
    boundary.advance(b"D\0\0\x10\0");
    assert_eq!(boundary.rest_of_message(&[0; 100]), 100);
    assert!(!boundary.is_between());
}
