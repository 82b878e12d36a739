use super::*;
use crate::grant::world::{NOON, minutes};

fn limited() -> Terms {
    Terms {
        longest: Duration::from_secs(3600),
        approvals: 2,
        break_glass: true,
        hours: Limit::To("mon-fri 09:00-17:00 Europe/Berlin".parse().expect("hours")),
        networks: Limit::To(vec!["192.0.2.0/24".parse().expect("a range"), "2001:db8::1".parse().expect("a range")]),
        regions: Limit::To(vec!["de".parse().expect("a region"), "FR".parse().expect("a region")]),
    }
}

#[test]
fn they_are_numbers_in_the_event_and_texts_beside_it() {
    for terms in [Terms::default(), limited()] {
        assert_eq!(Terms::from_parts(terms.bounds(), &terms.side()), Ok(terms));
    }
}

#[test]
fn whatever_is_limited_has_a_side_row() {
    let Terms { hours, networks, regions, .. } = limited();
    let some = [
        Terms { hours, ..Terms::default() },
        Terms { networks, ..Terms::default() },
        Terms { regions, ..Terms::default() },
        limited(),
    ];
    assert!(some.iter().all(Terms::has_side) && !Terms::default().has_side());
}

#[test]
fn what_was_erased_fits_nothing() {
    let erased = Terms::from_parts(limited().bounds(), &Personal::default()).expect("it reads");
    assert_eq!(erased, Terms::erased(limited().bounds()));
    let address = "192.0.2.7".parse().expect("an address");
    assert!(limited().admits(address) && !erased.admits(address));
    let region = "DE".parse().ok();
    assert!(limited().admits_from(region) && !erased.admits_from(region) && !limited().admits_from(None));
    assert_eq!(erased.hours_end(NOON), None);
}

#[test]
fn contradictions_are_refused_with_the_way_out() {
    let usual = Terms::default;
    let on = Mode::PerRequest;
    let hours = Limit::To("mon 09:00-17:00 UTC".parse().expect("hours"));
    let seconds = Duration::from_secs;
    let table: [(Terms, Mode, Option<Timestamp>, &str); 14] = [
        (Terms { longest: Duration::ZERO, ..usual() }, on, None, "the longest grant is 0 s: give at least 1m"),
        (Terms { longest: LONGEST_MAX * 2, ..usual() }, on, None, "at most 7d are possible, and there is no"),
        (Terms { longest: seconds(59), ..usual() }, on, None, "the longest grant is 59 s: give at least 1m"),
        (Terms { longest: seconds(60), ..usual() }, on, None, ""),
        (Terms { longest: seconds(7 * 86_400), ..usual() }, on, None, ""),
        (Terms { longest: seconds(7 * 86_400 + 1), ..usual() }, on, None, "at most 7d are possible"),
        (Terms { approvals: 0, ..usual() }, on, None, "0 approvals are none"),
        (Terms { approvals: 3, ..usual() }, on, None, "3 owners should approve, but the account has 2"),
        (Terms { approvals: 2, ..usual() }, Mode::Standing, None, "mode standing lets staff in without asking"),
        // Noon is a Saturday's.
        (Terms { hours: hours.clone(), ..usual() }, on, Some(minutes(60)), "next begin at 2026-11-23T09:00:00.000000Z"),
        // Monday, 09:00: as they begin, the switch goes off.
        (Terms { hours: hours.clone(), ..usual() }, on, Some(minutes(45 * 60)), "next begin at"),
        (Terms { approvals: 2, ..usual() }, on, None, ""),
        (Terms { hours: hours.clone(), ..usual() }, on, Some(minutes(4 * 1440)), ""),
        (Terms { hours, ..usual() }, on, None, ""),
    ];
    for (terms, mode, until, says) in table {
        let said = terms.check(mode, until, 2, NOON).err().map(|fault| fault.to_string()).unwrap_or_default();
        assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{said}");
    }
}

#[test]
fn lists_are_read_strictly() {
    let bounds = Terms { networks: Limit::Erased, regions: Limit::Erased, ..Terms::default() }.bounds();
    let read = |networks: &[&str], regions: &[&str]| {
        let list = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
        let side = Personal { networks: list(networks), regions: list(regions), ..Personal::default() };
        Terms::from_parts(bounds, &side).err().map(|fault| fault.to_string()).unwrap_or_default()
    };
    assert_eq!(read(&["192.0.2.0/24"], &["DE"]), "");
    assert!(read(&[], &["DE"]).contains("the list of addresses is empty"));
    assert!(read(&["192.0.2.7/24"], &["DE"]).contains("write 192.0.2.0/24"));
    assert!(read(&["192.0.2.7"; 257], &["DE"]).contains("more than 256 entries"));
    assert!(read(&["192.0.2.7"], &["Germany"]).contains("the two letters of a country"));
}
