use super::*;
use crate::grant::world::{JANE, OLGA};

#[test]
fn whoever_caused_it_is_said_in_words() {
    let all = [By::Owner(OLGA), By::Staff(JANE), By::VendorApp, By::Operator, By::System];
    assert_eq!(all.map(|by| by.to_string()), ["owner o2", "staff s3", "vendor-app", "operator", "system"]);
}
