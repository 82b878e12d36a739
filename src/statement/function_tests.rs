use super::*;

#[test]
fn a_known_number_has_a_name_and_types_and_another_has_none() {
    assert_eq!(known(954).map(|function| (function.name, function.types)), Some(("loread", &[INT4, INT4][..])));
    assert_eq!((display(964), display(16400)), ("lo_unlink".to_owned(), "function 16400".to_owned()));
}

#[test]
fn numbers_stand_once_and_in_order() {
    assert!(KNOWN.is_sorted_by(|a, b| a.oid < b.oid));
}
