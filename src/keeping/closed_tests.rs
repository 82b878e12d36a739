use super::*;

/// Rows that came back go without being asked about; a database that came back and is held waits for people.
#[test]
fn what_came_back_was_approved_before_unless_it_is_held() {
    let at = Timestamp;
    let clean = Purge { planned: Some(([1; 32], at(1))), verified: Some((at(2), 9, 1)), ..Purge::default() };
    let back = Purge { rechecked: Some((at(3), 1)), ..clean };
    let held = Purge { held: Some((at(4), People::One)), ..back };
    let approved = Purge { approved: [Some((grant::By::Operator, at(5))), None], ..held };
    for (name, purge, expected) in [
        ("nothing came back", clean, Approval::Unasked),
        ("rows came back", back, Approval::Given),
        ("another database came back", held, Approval::Waits),
        ("people approved it", approved, Approval::Given),
    ] {
        assert_eq!(approval(&purge, People::One), expected, "{name}");
    }
}
