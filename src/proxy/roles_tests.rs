use super::*;
use crate::entropy::OsEntropy;

fn roles() -> Roles {
    Roles::new("gate", 8, Arc::new(OsEntropy))
}

#[tokio::test]
async fn a_grant_takes_a_place_only_while_somebody_is_about_it() {
    let roles = roles();
    let places = |roles: &Roles| roles.slots.lock().expect("unpoisoned").len();
    let (one, other) = (roles.slot(GrantId(7)), roles.slot(GrantId(7)));
    roles.forget(GrantId(7), &one, &*one.lock().await);
    assert_eq!(places(&roles), 1, "somebody else waits for it");
    drop(other);
    roles.forget(GrantId(7), &one, &*one.lock().await);
    assert_eq!(places(&roles), 0);
    assert!(Arc::ptr_eq(&roles.slot(GrantId(8)), &roles.slot(GrantId(8))));
}
