use super::*;

#[test]
fn a_place_that_does_not_answer_comes_after_the_others_until_it_does() {
    let (mut places, start) = (Places::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let names = |places: &Places| places.all().into_iter().map(|(_, database)| database).collect::<Vec<_>>();
    for database in ["a", "b", "c"] {
        places.touch("main", database, at(0));
    }
    places.silent("main", "a", at(1));
    assert_eq!(names(&places).last().map(String::as_str), Some("a"));
    places.silent("main", "b", at(2));
    places.touch("main", "a", at(3));
    assert_eq!(names(&places), ["c", "a", "b"], "whoever signs in there changes nothing of that");
    places.let_go("main", "a", at(4));
    places.let_go("main", "c", at(4));
    assert_eq!(names(&places).last().map(String::as_str), Some("b"));
    places.let_go("main", "b", at(5));
    places.silent("main", "c", at(6));
    assert_eq!(names(&places).last().map(String::as_str), Some("c"));
    for database in ["a", "b", "c"] {
        places.let_go("main", database, at(0) + LOOKED_AFTER);
    }
    assert_eq!(names(&places), ["a"], "it was touched later");
    places.silent("main", "gone", at(7));
    assert_eq!(places.all().len(), 1, "nothing was ever done there");
}
