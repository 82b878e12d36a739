use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::audit::record::{Bind, Record};
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, minutes};
use crate::ids::{GrantId, SessionId};

/// The values of an attribute, in order.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What holds for every page, whatever it shows.
fn check(page: &str) {
    let ids = values(page, "id");
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "an id stands twice: {ids:?}");
    for attribute in ["for", "aria-labelledby", "aria-describedby"] {
        for pointed in values(page, attribute) {
            assert!(ids.contains(&pointed), "{attribute}=\"{pointed}\" points nowhere");
        }
    }
    let fields =
        page.matches("<input").count() - page.matches("type=\"hidden\"").count() + page.matches("<select").count();
    assert_eq!(values(page, "for").len(), fields, "each field has its label");
    for once in ["<h1", "<main", "<title>", "<html lang=\"en\">", "href=\"#main\""] {
        assert_eq!(page.matches(once).count(), 1, "{once}");
    }
    for never in ["<script", " style=", " onclick=", "javascript:", "<img", "http://", "https://"] {
        assert!(!page.contains(never), "{never} in {page}");
    }
    assert_eq!(page.matches("<form").count(), page.matches("method=\"post\"").count());
}

fn live() -> Live {
    Live {
        session: SessionId([1; 8]),
        staff: JANE,
        customer: ACME,
        grant: GrantId(9),
        scope: Scope::Read,
        since: NOON,
        address: "192.0.2.7".to_owned(),
        application: "<b>psql</b>\u{202e}".to_owned(),
        statements: 1,
    }
}

fn statement() -> Entry {
    let mut record = Record::new(minutes(3), Kind::Statement, Some(ACME));
    record.skeleton.staff = Some(JANE.0);
    record.skeleton.verb = Some("execute".to_owned());
    record.values.text = Some(b"select $1 -- \"><script>alert(1)</script>".to_vec());
    record.values.binds = Some(vec![Bind { type_oid: 23, format: 1, value: Some(vec![0, 0, 0, 7]) }]);
    record.values.reason = Some("invoices & totals".to_owned());
    record.values.ticket = Some("SUP-1".to_owned());
    let place = Place { at: record.at, log: "proxy-gate 1".to_owned(), position: 5, frame: 0 };
    Entry { place, record, outcome: None, fault: None }
}

fn shown<'a>(world: &'a World, now: Timestamp, with: impl FnOnce(&mut Account<'a>)) -> String {
    let (owner, customer) = (world.state.owner(OLGA).expect("olga"), world.state.customer(ACME).expect("acme"));
    let mut view = Account {
        state: &world.state,
        owner,
        customer,
        csrf: "token",
        now,
        notice: None,
        stale: false,
        observing: None,
        live: None,
        book: None,
    };
    with(&mut view);
    let page = account(&view).into_string();
    check(&page);
    page
}

/// During a roll-out an owner who decided nothing reads that on top, and one who did does not.
#[test]
fn a_roll_out_is_told_until_the_owner_decides() {
    let mut world = World::with_people();
    let observing = Some(Observing { until: minutes(600) });
    let is_told = |world: &World, now| {
        shown(world, now, |view| view.observing = observing)
            .contains("your support team may read your data without asking")
    };
    assert!(is_told(&world, NOON));
    assert!(!is_told(&world, minutes(600)), "it ends by itself");
    assert!(!shown(&world, NOON, |_| {}).contains("being introduced"), "without one nothing is said");
    world.consent(Mode::Off, Scope::Read, None);
    assert!(!is_told(&world, NOON), "off is off");
}

#[test]
fn every_page_is_whole_and_has_a_name_for_every_field() {
    check(&sign_in(None, "").into_string());
    check(&sign_in(Some("That did not work."), "\"><script>").into_string());
    check(&error(&Error::NotFound("page")).into_string());
    let mut world = World::with_people();
    shown(&world, NOON, |_| {});
    world.consent(Mode::Standing, Scope::Write, Some(minutes(60)));
    world.grant(Scope::Write, minutes(30));
    let (sessions, entry) = ([live()], statement());
    let next = Some(entry.place.clone());
    let whole = History { entries: vec![entry], left_out: vec!["proxy-<2>".to_owned()] };
    let book = Book { history: whole, next, first: true };
    let page = shown(&world, minutes(5), |view| {
        view.live = Some(&sessions);
        view.book = Some(&book);
        view.notice = Some(Notice::SwitchedOn);
        view.stale = true;
    });
    for told in [
        "<title>Saved. Your support team can come in as you chose. acme – Portreeve</title>",
        "may see and change everything",
        "1 statement so far",
        "&lt;b&gt;psql&lt;/b&gt;\\u{202e}",
        "End jane's session now",
        "End jane's visit",
        "jane ran a statement",
        "<code>7</code>",
        "What became of it is not recorded yet.",
        "Why: invoices &amp; totals (SUP-1)",
        "href=\"/history?before=1795262580000000.5.0.proxy-gate%201\"",
        "what stands here may be out of date",
        "This is not the whole history: what is written in proxy-&lt;2&gt; cannot be read.",
    ] {
        assert!(page.contains(told), "{told} in {page}");
    }
    let history = history(
        &world.state,
        world.state.owner(OLGA).expect("olga"),
        world.state.customer(ACME).expect("acme"),
        "token",
        &book,
    )
    .into_string();
    check(&history);
}

#[test]
fn the_page_says_whether_somebody_may_come_in_and_offers_the_way_out() {
    let mut world = World::with_people();
    let off = shown(&world, NOON, |_| {});
    assert!(off.contains("Nobody may see your data.") && !off.contains("Switch off now"));
    world.consent(Mode::Standing, Scope::Read, Some(minutes(60)));
    let on = shown(&world, minutes(59), |_| {});
    assert!(on.contains("Your support team may see everything") && on.contains("2026-11-21 13:00 UTC"));
    assert!(on.contains("Switch off now"));
    let over = shown(&world, minutes(60), |_| {});
    assert!(over.contains("Nobody may see your data.") && over.contains("What you had allowed ended"), "{over}");
    assert!(!over.contains("Switch off now"));
}

#[test]
fn results_read_as_sentences() {
    let world = World::with_people();
    let told = |result: &str, rows: u64, relations: &[&str]| {
        let mut entry = statement();
        entry.record.skeleton.relations = Some(relations.iter().map(ToString::to_string).collect());
        let mut done = Record::new(minutes(3), Kind::Outcome, Some(ACME));
        done.skeleton.result = Some(result.to_owned());
        (done.skeleton.rows, done.skeleton.bytes) = (Some(rows), Some(40 * rows));
        done.skeleton.sqlstate = (result == "error").then(|| "42P01".to_owned());
        done.values.message = (result == "error").then(|| "relation \"x\" does not exist".to_owned());
        entry.outcome = Some(done);
        words::result(&world.state, &entry).expect("a statement has a result")
    };
    let table = [
        (told("done", 12, &["contacts"]), "12 rows from contacts were sent to jane's screen (480 bytes)."),
        (told("done", 1, &[]), "1 row was sent to jane's screen (40 bytes)."),
        (told("done", 0, &["contacts"]), "No rows were sent."),
        (told("error", 0, &[]), "It failed (SQLSTATE 42P01): relation \"x\" does not exist."),
        (
            told("error", 2, &[]),
            "It failed (SQLSTATE 42P01): relation \"x\" does not exist. \
                                 Before that, 2 rows were sent to jane's screen (80 bytes).",
        ),
        (told("skipped", 0, &[]), "It was not run: an earlier step had failed."),
        (told("unknown", 0, &[]), "What became of it is not known: the gate or the database stopped."),
        (
            told("unknown", 3, &[]),
            "What became of it is not known: the gate or the database stopped. \
                                   Before that, 3 rows were sent to jane's screen (120 bytes).",
        ),
    ];
    for (told, due) in table {
        assert_eq!(told, due);
    }
}

/// Contrast of two colours as WCAG 2.2 defines it.
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |colour: &str| {
        let wide: String =
            if colour.len() == 4 { colour.chars().flat_map(|c| [c, c]).skip(1).collect() } else { colour.into() };
        let digits = wide.trim_start_matches('#');
        let part = |at: usize| {
            let value = u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    };
    let (a, b) = (luminance(one) + 0.05, luminance(other) + 0.05);
    a.max(b) / a.min(b)
}

#[test]
fn colours_can_be_told_apart_in_light_and_dark() {
    let style = include_str!("style.css");
    for scheme in style.split(":root {").skip(1) {
        let rules = scheme.split('}').next().expect("a block");
        let colours: BTreeMap<_, _> =
            rules.split(';').filter_map(|rule| rule.trim().strip_prefix("--")?.split_once(": ")).collect();
        let text = [("ink", "page"), ("ink", "soft"), ("link", "page"), ("stop", "page")];
        for (one, other) in text {
            let contrast = contrast(colours[one], colours[other]);
            assert!(contrast >= 4.5, "{one} on {other}: {contrast:.2}");
        }
        for mark in ["line", "stop", "good"] {
            assert!(contrast(colours[mark], colours["soft"]) >= 3.0, "{mark}");
        }
    }
    assert_eq!(style.matches(":root {").count(), 2);
    assert!((contrast("#000", "#ffffff") - 21.0).abs() < 0.01);
}

#[test]
fn what_was_lately_done_is_worth_a_moment() {
    assert_eq!(
        time(NOON.plus(Duration::from_secs(61))).into_string(),
        "<time datetime=\"2026-11-21T12:01:01Z\" title=\"2026-11-21T12:01:01Z\">2026-11-21 12:01 UTC</time>"
    );
}
