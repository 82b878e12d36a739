use proptest::prelude::*;

use super::*;
use crate::grant::{Condition, Mode, Refusal, Scope};
use crate::ids::{CustomerId, StaffId};

fn given(text: &str) -> Value {
    Value::Given(text.to_owned())
}

fn one(text: &str) -> Line {
    let mut lines = read(text).expect("it is a line");
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// What is told of a line that is none: message and hint.
fn told(text: &str) -> (String, String) {
    let report = read(text).expect_err("it is not a line");
    assert_eq!(report.severity, Severity::Error);
    (report.message, report.hint.unwrap_or_default())
}

#[test]
fn lines_in_the_order_somebody_likes() {
    assert_eq!(one("show grants"), Line::Show(Shown::Grants));
    assert_eq!(one(" SHOW Help ; ;"), Line::Help);
    assert_eq!(one("withdraw 7;"), Line::Withdraw(given("7")));
    assert_eq!(one("ANSWER r7 'those of May'"), Line::Answer(given("r7"), given("those of May")));
    assert_eq!(one("RELEASE \"acme\""), Line::Release(given("acme")));
    let Line::Request(customer, clauses) =
        one("REQUEST acme TICKET 'SUP-1' FOR '2 hours' reason 'it''s wrong' scope READ CODE $1;")
    else {
        panic!("it asks");
    };
    assert_eq!(customer, given("acme"));
    assert_eq!(clauses.get("REASON"), Some(&given("it's wrong")));
    assert_eq!(clauses.get("SCOPE"), Some(&given("READ")));
    assert_eq!(clauses.get("CODE"), Some(&Value::Parameter(0)));
    assert_eq!(clauses.get("PURPOSE"), None);
    assert_eq!(read("SHOW grants; SHOW requests").expect("two").len(), 2);
    assert_eq!(read(" -- nothing\n;").expect("none"), []);
    assert_eq!(one("set extra_float_digits = 3"), Line::Setting("SET"));
    assert_eq!(one("BEGIN READ ONLY"), Line::Begin);
    assert_eq!(one("rollback"), Line::End("ROLLBACK"));
}

#[test]
fn whatever_else_is_typed_is_answered_with_what_can_be() {
    for (typed, message, hint) in [
        ("SHOWW grants", "\"SHOWW\" is not a word of the desk: did you mean SHOW?", "Type SHOW GRANTS;"),
        ("SHOW everything", "there is no \"everything\" to show", "Type: SHOW GRANTS | REQUESTS"),
        ("SHOW", "there is no \"\" to show", "Type: SHOW GRANTS"),
        ("select 1", "the desk holds no data to query", "connect with dbname set to its name"),
        ("REQUEST", "a customer is missing", "Type: REQUEST customer FOR"),
        ("REQUEST acme FOR", "the value of FOR is missing", "Type: REQUEST customer FOR"),
        ("REQUEST acme FOR 2 hours", "\"HOURS\" is not expected there", "Type: REQUEST customer FOR '2 hours'"),
        ("REQUEST acme RESON 'x'", "\"RESON\" is not expected there: did you mean REASON?", "Type: REQUEST"),
        ("REQUEST acme FOR 1h FOR 2h", "FOR is said twice", "Type: REQUEST"),
        ("OPEN acme CHANNEL mail", "\"CHANNEL\" is not expected there", "Type: OPEN customer"),
        ("RELEASE acme globex", "\"globex\" is not expected there", "Type: RELEASE customer;"),
        ("REQUEST acme 'x'", "'x' is not expected there", "Type: REQUEST"),
        ("= 1", "a line begins with a word, not with \"=\"", "SHOW HELP;"),
        ("REQUEST acme REASON 'it", "a text that begins with a quote has no end", "Write texts as '…'"),
    ] {
        let (said, hinted) = told(typed);
        assert_eq!(said, message, "{typed}");
        assert!(hinted.contains(hint), "{typed}: {hinted}");
    }
    let many = "SHOW grants;".repeat(17);
    assert_eq!(told(&many).0, "too many lines at once");
}

/// What help says can be typed can be; alternatives and what is in brackets apart.
#[test]
fn usage_is_typable() {
    for verb in Verb::ALL {
        let usage: String = verb.usage().replace(['[', ']'], "");
        let mut words: Vec<&str> = Vec::new();
        let mut skip = false;
        for word in usage.split(' ') {
            match word {
                "|" => skip = true,
                _ if skip => skip = false,
                word => words.push(word),
            }
        }
        let typed = words.join(" ");
        read(&typed).unwrap_or_else(|report| panic!("{typed}: {report:?}"));
    }
}

/// What a refused sign-in tells people to type is a line of the desk, for the customer it is about.
#[test]
fn hints_of_refusals_are_typable() {
    let mut world = crate::grant::world::World::with_people();
    for (mode, verb) in [(Mode::Standing, "OPEN"), (Mode::PerRequest, "REQUEST")] {
        world.consent(mode, Scope::Read, None);
        let (staff, customer) = (StaffId(3), CustomerId(1));
        let conditions = vec![Condition::NoGrant { staff, customer }];
        let refusal = Refusal { staff, customer, conditions, portal_url: String::new() };
        let hint = refusal.hint(&world.state);
        let (_, typed) = hint.split_once("with dbname=portreeve and type: ").expect("the desk is named");
        assert!(typed.starts_with(verb) && typed.ends_with(';'), "{typed}");
        match one(typed) {
            Line::Open(customer, clauses) | Line::Request(customer, clauses) => {
                assert_eq!((customer, clauses.get("SCOPE")), (given("acme"), Some(&given("read"))));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn durations_as_people_write_them() {
    for (text, seconds) in
        [("2 hours", 7200), ("1h", 3600), ("90 min", 5400), (" 45 s ", 45), ("1 Day", 86_400), ("30minutes", 1800)]
    {
        assert_eq!(words::duration(text).map(|span| span.as_secs()), Some(seconds), "{text}");
    }
    for text in ["", "2", "hours", "1.5 h", "-1 h", "2 fortnights", "99999999999999999999 s", "9999999999999999999 d"] {
        assert_eq!(words::duration(text), None, "{text}");
    }
}

#[test]
fn parameters_and_the_one_that_holds_a_code() {
    let line = one("REQUEST $1 FOR $3 CODE $2");
    assert_eq!((line.parameters(), line.code_parameter()), (3, Some(1)));
    assert_eq!(line.columns(), Some(shows::GRANTS));
    assert_eq!((one("REQUEST acme CODE 1").code_parameter(), one("SHOW session").parameters()), (None, 0));
    assert_eq!(one("REQUEST acme").columns(), Some(shows::REQUESTS));
}

proptest! {
    /// Whatever comes, it is a line or an error with a way out; and the record of it holds no code.
    #[test]
    fn anything_is_read(text in "(?i)(request|code|'|\"|--|/\\*|\\$|;|[0-9]{6}| |\\PC){0,40}") {
        if let Err(report) = read(&text) {
            prop_assert!(report.hint.is_some());
        }
        let kept = crate::proxy::desk::lexer::without_codes(&text);
        prop_assert!(!kept.to_ascii_lowercase().contains("code 493201"));
    }
}
