use super::*;
use crate::grant::world::{JANE, minutes};

#[test]
fn right_codes_in_between_forgive_no_wrong_ones() {
    let codes = WrongCodes::default();
    let wrong = |minute| codes.look(JANE, minutes(minute), || None);
    let right = |minute| codes.look(JANE, minutes(minute), || Some(7));
    for minute in 0..4 {
        assert_eq!(wrong(minute), Looked::Wrong);
    }
    assert_eq!((right(5), wrong(6)), (Looked::Fits(7), Looked::Wrong));
    let unseen = codes.look(JANE, minutes(14), || panic!("it is not looked at"));
    assert_eq!((unseen, wrong(14)), (Looked::Blocked, Looked::Blocked));
    assert_eq!(codes.look(StaffId(JANE.0 + 1), minutes(14), || Some(8)), Looked::Fits(8), "others are not blocked");
    // A window after the first, and not after the last.
    assert_eq!((right(15), wrong(15)), (Looked::Fits(7), Looked::Wrong));
}
