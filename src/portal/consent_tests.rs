use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn read(body: &str) -> Result<Wish, (String, String)> {
    Wish::from_json(body.as_bytes(), NOW)
        .map_err(|error| (error.code().to_owned(), format!("{error}; {}", error.hint())))
}

#[test]
fn a_wish_reads_as_written() {
    let until = Some(Timestamp(1_900_000_000_000_000));
    let table = [
        (r#"{"mode":"off"}"#, Wish { mode: Mode::Off, scope: None, until: None, terms: None }),
        (
            r#"{"mode":"off","scope":"read","until":null}"#,
            Wish { mode: Mode::Off, scope: Some(Scope::Read), until: None, terms: None },
        ),
        (
            r#"{"mode":"per-request","scope":"read","terms":{"longest":"2h","approvals":2}}"#,
            Wish {
                mode: Mode::PerRequest,
                scope: Some(Scope::Read),
                until: None,
                terms: Some(Terms { longest: Duration::from_secs(7200), approvals: 2, ..Terms::default() }),
            },
        ),
        (
            r#"{"mode":"standing","scope":"write"}"#,
            Wish { mode: Mode::Standing, scope: Some(Scope::Write), until: None, terms: None },
        ),
        (
            r#"{"until":"2030-03-17T18:46:40+01:00","mode":"standing","scope":"read"}"#,
            Wish { mode: Mode::Standing, scope: Some(Scope::Read), until, terms: None },
        ),
    ];
    for (body, wish) in table {
        assert_eq!(read(body), Ok(wish), "{body}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let table = [
        ("", "not-json", "expected here"),
        ("[]", "not-json", "object"),
        ("{\"mode\":\"off\"} {}", "not-json", "trailing"),
        (r#"{"mod":"off"}"#, "unknown-field", "Did you mean \"mode\"?"),
        (r#"{"mode":"off","untill":null}"#, "unknown-field", "Did you mean \"until\"?"),
        (r#"{"mode":"off","frobnicate":1}"#, "unknown-field", "Known here: mode, scope, until, terms."),
        (r#"{"mode":"off","mode":"standing"}"#, "repeated-field", "\"mode\" is there twice"),
        (r#"{"mode":"of"}"#, "unknown-value", "Did you mean \"off\"?"),
        (r#"{"mode":7}"#, "not-a-text", "\"mode\" must be a text"),
        ("{}", "missing-field", "\"mode\" is missing"),
        (r#"{"mode":"standing"}"#, "missing-field", "\"scope\" is missing"),
        (r#"{"mode":"standing","scope":"metadata"}"#, "unknown-value", "read, write"),
        (r#"{"mode":"per-request"}"#, "missing-field", "\"scope\" is missing"),
        (r#"{"mode":"per-request","scope":"read","terms":{"hour":"x"}}"#, "terms", "unknown field `hour`"),
        (r#"{"mode":"per-request","scope":"read","terms":{"longest":"soon"}}"#, "duration", "such as \"15m\""),
        (r#"{"mode":"per-request","scope":"read","terms":{"hours":"always"}}"#, "terms", "write such as mon-fri"),
        (
            r#"{"mode":"per-request","scope":"read","terms":{"hours":"mon 09:00-10:00 Europe/Berln"}}"#,
            "terms",
            "did you mean Europe/Berlin?",
        ),
        (
            r#"{"mode":"per-request","scope":"read","terms":{"addresses":["192.0.2.7/24"]}}"#,
            "terms",
            "write 192.0.2.0/24, or 192.0.2.7",
        ),
        (r#"{"mode":"standing","scope":"read","until":"tomorrow"}"#, "not-a-time", "2030-01-31T17:00:00Z"),
        (r#"{"mode":"standing","scope":"read","until":"2020-01-01T00:00:00Z"}"#, "until-past", "not later than now"),
        (r#"{"mode":"off","until":"2030-01-01T00:00:00Z"}"#, "until-of-off", "does not go with"),
    ];
    for (body, code, says) in table {
        let (found, text) = read(body).expect_err(body);
        assert_eq!(found, code, "{body}: {text}");
        assert!(text.contains(says), "{body}: {text}");
    }
}

#[test]
fn the_forms_end_is_a_span_the_present_one_a_time_or_none() {
    let kept = Some(Timestamp(9));
    let until = |choice, time| until_of_form(choice, time, kept, NOW).map_err(|error| error.code());
    assert_eq!(until("2h", ""), Ok(Some(NOW.plus(Duration::from_secs(7200)))));
    assert_eq!(until("open", "2030-01-01T00:00"), Ok(None));
    assert_eq!(until("kept", ""), Ok(kept));
    assert_eq!(until("time", "2030-03-17T17:46"), Ok(Some(Timestamp(1_899_999_960_000_000))));
    assert_eq!(until("time", "soon"), Err("until"));
    assert_eq!(until("time", ""), Err("until"));
    assert_eq!(until("", ""), Err("until"));
}

#[test]
fn times_are_written_in_utc() {
    assert_eq!(rfc3339(Timestamp(1_900_000_000_000_000)), "2030-03-17T17:46:40Z");
    assert_eq!(rfc3339(Timestamp(1_900_000_000_250_000)), "2030-03-17T17:46:40.250Z");
    assert_eq!(rfc3339(Timestamp(i64::MAX)).chars().last(), Some('Z'));
}
