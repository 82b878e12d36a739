use super::*;

#[test]
fn a_place_survives_the_address_bar() {
    let place = Place { at: Timestamp(1_800_000_000_000_001), log: "proxy-gate.1".to_owned(), position: 9, frame: 3 };
    assert_eq!(Place::from_cursor(&place.cursor()), Some(place));
    for wrong in ["", "1", "1.2", "1.2.3", "1.2.3.", "x.2.3.a", "1.-2.3.a", "1.2.x.a", "99999999999999999999.1.1.a"] {
        assert_eq!(Place::from_cursor(wrong), None, "{wrong}");
    }
}

#[test]
fn pages_neither_overlap_nor_skip_when_times_are_equal() {
    let places: Vec<_> = [(1, "b", 1, 0), (1, "a", 2, 8), (1, "a", 2, 7), (1, "a", 1, 6), (0, "z", 5, 0)]
        .map(|(at, log, position, frame)| Place { at: Timestamp(at), log: log.to_owned(), position, frame })
        .into();
    let page = |before: Option<Place>| {
        let range = Range { before, ..Range::default() };
        places.iter().filter(|place| range.holds(place)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(page(None), places);
    assert_eq!(page(Some(places[1].clone())), places[2..]);
    assert!(page(Some(places[4].clone())).is_empty());
}

#[test]
fn a_range_takes_its_first_moment_and_leaves_its_last() {
    let range = Range { since: Some(Timestamp(5)), until: Some(Timestamp(7)), ..Range::default() };
    let held: Vec<_> = (0..10)
        .filter(|at| range.holds(&Place { at: Timestamp(*at), log: "a".to_owned(), position: 0, frame: 0 }))
        .collect();
    assert_eq!(held, [5, 6]);
}
