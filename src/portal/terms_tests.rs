use super::*;

fn read(text: &str) -> Result<Terms, String> {
    let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
    written.read().map_err(|error| error.to_string())
}

#[test]
fn terms_are_shown_as_they_are_read() {
    let texts = [
        r#"{"longest":"8h","approvals":1,"break_glass":false,"hours":null,"addresses":null,"regions":null}"#,
        r#"{"longest":"90m","approvals":2,"break_glass":true,"hours":"mon-fri 09:00-17:00 Europe/Berlin",
            "addresses":["192.0.2.0/24","2001:db8::1"],"regions":["DE","FR"]}"#,
    ];
    for text in texts {
        let terms = read(text).expect("terms");
        assert_eq!(terms_json(&terms), serde_json::from_str::<Value>(text).expect("JSON"));
    }
    assert_eq!(read("{}"), Ok(Terms::default()), "what is left out is as if nobody had said anything");
    let erased = terms_json(&Terms { hours: Limit::Erased, ..Terms::default() });
    assert_eq!(erased.get("hours"), Some(&json!("erased")), "{erased}");
}

#[test]
fn the_forms_lists_may_stand_on_lines_or_between_commas() {
    let form = |addresses: &str, regions: &str| Form {
        csrf: String::new(),
        seen: 0,
        longest: "2h".to_owned(),
        approvals: String::new(),
        break_glass: "yes".to_owned(),
        hours: "  ".to_owned(),
        addresses: addresses.to_owned(),
        regions: regions.to_owned(),
    };
    let terms = form("192.0.2.0/24,\r\n2001:db8::1", "de fr").read().expect("terms");
    assert_eq!((terms.longest.as_secs(), terms.approvals, terms.break_glass), (7200, 1, true));
    assert_eq!(terms.hours, Limit::Free);
    assert_eq!(terms_json(&terms).get("addresses"), Some(&json!(["192.0.2.0/24", "2001:db8::1"])));
    assert_eq!(terms_json(&terms).get("regions"), Some(&json!(["DE", "FR"])));
    assert!(form("", "Germany").read().is_err_and(|error| error.to_string().contains("two letters")));
}

#[test]
fn durations_are_short() {
    let shown = |seconds| short(Duration::from_secs(seconds));
    assert_eq!([0, 45, 90, 5400, 7200, 86_400].map(shown), ["0s", "45s", "90s", "90m", "2h", "1d"]);
}
