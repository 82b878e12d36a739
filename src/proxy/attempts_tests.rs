use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp(0).plus(Duration::from_secs(seconds))
}

#[test]
fn a_name_is_blocked_from_one_address_until_the_window_has_passed() {
    let attempts = Attempts::new(3, 15, MINUTE);
    for second in 0..3 {
        assert_eq!(attempts.blocked(HERE, "jane", at(second)), None);
        attempts.failed(HERE, "jane", at(second));
    }
    assert_eq!(attempts.blocked(HERE, "jane", at(10)), Some(Duration::from_secs(50)));
    assert_eq!(attempts.blocked(HERE, "joe", at(10)), None);
    assert_eq!(attempts.blocked(HERE, "jane", at(60)), None);
}

#[test]
fn an_address_that_tries_many_names_is_blocked_for_all() {
    let attempts = Attempts::new(3, 15, MINUTE);
    for name in 0..15 {
        attempts.failed(HERE, &format!("name{name}"), at(0));
    }
    assert!(attempts.blocked(HERE, "jane", at(1)).is_some());
    let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    assert_eq!(attempts.blocked(elsewhere, "jane", at(1)), None);
}

#[test]
fn memory_stays_bounded_whatever_is_tried() {
    let attempts = Attempts::new(3, 15, MINUTE);
    for name in 0..REMEMBERED_MAX + 100 {
        attempts.failed(HERE, &format!("name{name}"), at(0));
    }
    let remembered = attempts.failures.lock().map(|failures| failures.len()).unwrap_or_default();
    assert!(remembered <= REMEMBERED_MAX + 2, "{remembered} remembered");
}
