use super::*;

fn at(hours: i64) -> Timestamp {
    Timestamp(hours * 3_600_000_000)
}

#[test]
fn the_same_is_recorded_once_a_day_and_what_is_new_at_once() {
    let recorded = Recorded::default();
    let (acme, globex) = (CustomerId(1), CustomerId(2));
    let say = |customer, text, hours| {
        let is_due = recorded.is_due(customer, text, at(hours));
        if is_due {
            recorded.note(customer, text, at(hours));
        }
        is_due
    };
    for (customer, text, hours, is_due) in [
        (acme, "the server is away", 100, true),
        (acme, "the server is away", 101, false),
        (acme, "3 rows of others point here", 101, true),
        (acme, "5 rows of others point here", 102, false),
        (globex, "the server is away", 102, true),
        // one that comes and goes is no news
        (acme, "the server is away", 123, false),
        (acme, "the server is away", 124, true),
        (acme, "the server is away", 147, false),
        // a clock that was set back hides nothing
        (acme, "the server is away", 90, true),
    ] {
        assert_eq!(say(customer, text, hours), is_due, "{customer}: {text} at {hours}");
    }
}
