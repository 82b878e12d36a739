use super::*;
use crate::entropy::OsEntropy;

fn roles() -> Roles {
    Roles::new("gate", 8, Arc::new(OsEntropy))
}

fn key(grant: u64) -> Key {
    (GrantId(grant), None)
}

#[tokio::test]
async fn a_grant_takes_a_place_only_while_somebody_is_about_it() {
    let roles = roles();
    let places = |roles: &Roles| roles.slots.lock().expect("unpoisoned").len();
    let (one, other) = (roles.slot(key(7)), roles.slot(key(7)));
    roles.forget(&key(7), &one, &*one.lock().await);
    assert_eq!(places(&roles), 1, "somebody else waits for it");
    drop(other);
    roles.forget(&key(7), &one, &*one.lock().await);
    assert_eq!(places(&roles), 0);
    let at_replica = roles.slot((GrantId(8), Some("reader".to_owned())));
    assert!(!Arc::ptr_eq(&roles.slot(key(8)), &at_replica), "a role of its own");
    assert!(Arc::ptr_eq(&roles.slot(key(8)), &roles.slot(key(8))));
}
