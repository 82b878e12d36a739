use super::*;
use crate::audit::keys::Part;
use crate::audit::record::{Kind, Record};

fn found(at: i64, log: &str, position: u64) -> Found {
    let record = Record::new(Timestamp(at), Kind::Statement, Some(CustomerId(7)));
    let log = format!("portreeve/{log}");
    Found { log, position, record, still_sealed: vec![], erased: vec![], outcome: None, fault: None }
}

fn positions(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.place.position).collect()
}

#[test]
fn a_page_is_the_newest_that_stand_before_the_last_one_shown() {
    let all = || vec![found(1, "a", 1), found(5, "a", 2), found(5, "b", 3), found(5, "b", 4), found(9, "a", 5)];
    let first = page(all(), &Range { limit: 2, ..Range::default() });
    assert_eq!(positions(&first), [5, 4]);
    let before = first.last().map(|entry| entry.place.clone());
    let second = Range { limit: 2, before, ..Range::default() };
    assert_eq!(positions(&page(all(), &second)), [3, 2]);
    assert_eq!(query(CustomerId(7), &second, 9).until, Some(Timestamp(6)), "the same moment is looked at again");
}

#[test]
fn frames_that_share_a_record_are_each_on_a_page_newest_first() {
    let frame = |frame| {
        let mut found = found(5, "a", 2);
        found.record.skeleton.frame = Some(frame);
        found
    };
    let all = || vec![found(1, "a", 1), frame(7), frame(8), frame(9)];
    let frames =
        |entries: &[Entry]| entries.iter().map(|entry| entry.record.skeleton.frame).collect::<Vec<Option<u64>>>();
    let first = page(all(), &Range { limit: 2, ..Range::default() });
    assert_eq!(frames(&first), [Some(9), Some(8)]);
    let before = first.last().map(|entry| entry.place.clone());
    let second = page(all(), &Range { limit: 2, before, ..Range::default() });
    assert_eq!(frames(&second), [Some(7), None], "none is skipped where a page ends within a record");
}

#[test]
fn the_query_is_for_one_customer_and_what_owners_see() {
    let range = Range { since: Some(Timestamp(3)), until: Some(Timestamp(4)), before: None, limit: 5 };
    let query = query(CustomerId(7), &range, 69);
    assert_eq!((query.customer, query.kinds.as_slice()), (Some(CustomerId(7)), &KINDS[..]));
    assert_eq!((query.since, query.until, query.limit), (range.since, range.until, 69));
}

#[test]
fn what_cannot_be_read_whole_says_so() {
    let mut sealed = found(1, "a", 1);
    sealed.still_sealed = vec![Part::Values];
    assert!(entry(sealed).fault.is_some());
    let broken = Found { fault: Some("it does not open".to_owned()), ..found(1, "a", 1) };
    assert_eq!(entry(broken).fault.as_deref(), Some("it does not open"));
    assert_eq!(entry(found(1, "a", 1)).fault, None);
}

#[test]
fn a_proxys_word_on_a_session_is_read_strictly() {
    let told = r#"{"session":"0101010101010101","staff":3,"customer":7,"grant":12,"scope":"read","since":5,
                   "address":"192.0.2.7","application":"psql","statements":4}"#;
    let live = |text: &str| serde_json::from_str::<Told>(text).map_err(|e| silent(&e.to_string())).and_then(Told::live);
    let read = live(told).expect("it reads");
    assert_eq!((read.session, read.staff, read.customer), (SessionId([1; 8]), StaffId(3), CustomerId(7)));
    assert_eq!((read.grant, read.scope, read.since, read.statements), (GrantId(12), Scope::Read, Timestamp(5), 4));
    assert!(live(&told.replace("0101010101010101", "01")).is_err());
    assert!(live(&told.replace("\"read\"", "\"all\"")).is_err());
    assert!(live("{}").is_err());
}
