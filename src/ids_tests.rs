use std::collections::HashSet;
use std::hash::BuildHasher as _;

use super::*;

#[test]
fn an_id_reads_back_as_written() {
    assert_eq!("c7".parse(), Ok(CustomerId(7)));
    assert_eq!(GrantId(12).to_string().parse(), Ok(GrantId(12)));
    let session = SessionId([0, 1, 2, 3, 4, 5, 254, 255]);
    assert_eq!(session.to_string(), "000102030405feff");
    assert_eq!(session.to_string().parse(), Ok(session));
}

#[test]
fn another_kind_of_id_is_refused_by_name() {
    for wrong in ["g7", "7", "c", "c-7", "c+7", "c7x", "", "c99999999999999999999"] {
        let refused = wrong.parse::<CustomerId>().expect_err(wrong);
        assert_eq!(refused.to_string(), format!("\"{wrong}\" is not an id such as c7"));
    }
    assert!("00zz".parse::<SessionId>().is_err());
    assert!("+0+1+2+3+4+5+6+7".parse::<SessionId>().is_err());
}

#[test]
fn numbers_that_are_counted_are_spread_over_a_map() {
    let hash = |number: u64| ByNumber::default().hash_one(CustomerId(number));
    let mut of_place = vec![0; 1 << 10];
    let mut tags = HashSet::new();
    for number in 0..1 << 12 {
        // A map takes the lowest bits for the place and the highest seven to tell what is there apart.
        let (place, tag) = (hash(number) % (1 << 10), hash(number) >> 57);
        of_place[usize::try_from(place).expect("it is small")] += 1;
        tags.insert(tag);
    }
    assert!(of_place.iter().all(|count| *count <= 16), "four on average: {:?}", of_place.iter().max());
    assert_eq!(tags.len(), 128);
}
