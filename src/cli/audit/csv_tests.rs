//! Every name of an object is a column; nothing is lost between a record and its line.

use std::collections::HashMap;

use super::*;
use crate::audit::record::{Bind, Kind};
use crate::clock::Timestamp;

fn nameless() -> Names {
    Names { customer: Box::new(|_| None), staff: Box::new(|_| None) }
}

fn found(fill: impl FnOnce(&mut Record)) -> Found {
    let mut record = Record::new(Timestamp(1_795_305_600_000_000), Kind::Statement, None);
    fill(&mut record);
    let (still_sealed, fault) = (Vec::new(), None);
    let outcome = Some(Record::new(Timestamp(1_795_305_600_000_000), Kind::Outcome, None));
    Found {
        log: "portreeve/proxy-gate-1".to_owned(),
        position: 17,
        record,
        still_sealed,
        erased: Vec::new(),
        outcome,
        fault,
    }
}

/// The cells of the only line; nothing here holds a comma or a line end within quotes but where told.
fn cells(found: &Found) -> HashMap<String, String> {
    let mut out = Vec::new();
    row(&mut out, found, &nameless()).expect("written");
    let text = String::from_utf8(out).expect("UTF-8");
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    for c in text.strip_suffix("\r\n").expect("a line end").chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            _ => {}
        }
        if c != ',' || is_quoted {
            cells.last_mut().expect("one").push(c);
        }
    }
    assert_eq!(cells.len(), columns().count());
    columns().zip(cells).collect()
}

#[test]
fn every_name_of_an_object_is_a_column() {
    let object = object(&found(|_| {}), &nameless());
    let mut names: Vec<String> = object.as_object().expect("an object").keys().cloned().collect();
    names.retain(|name| name != "outcome");
    let outcome = object.get("outcome").and_then(Value::as_object).expect("an object");
    names.extend(outcome.keys().map(|name| format!("outcome_{name}")));
    let mut expected: Vec<String> = names.iter().map(|name| name.replace("_hex", "_base64")).collect();
    let mut columns: Vec<String> = columns().collect();
    expected.sort();
    columns.sort();
    assert_eq!(columns, expected);
}

#[test]
fn what_is_no_text_is_exact_and_nothing_is_not_empty() {
    let cells_of = |text: &[u8]| cells(&found(|record| record.values.text = Some(text.to_vec())));
    let cell = |cells: &HashMap<String, String>, name: &str| cells.get(name).expect(name).clone();
    let latin = cells_of(b"select '\xe4'");
    assert_eq!(cell(&latin, "text_base64"), "c2VsZWN0ICfkJw==");
    assert_eq!(cell(&cells_of(b""), "text"), "\"\"");
    assert_eq!(cell(&cells_of(b"select 1"), "text_base64"), "");
    assert_eq!(cell(&cells_of(b"a \"b\", c\r\nd"), "text"), "\"a \"\"b\"\", c\r\nd\"");
    let nothing = cells(&found(|_| {}));
    assert_eq!(cell(&nothing, "text"), "");
    assert_eq!(cell(&nothing, "position"), "17");
    let bound = cells(&found(|record| {
        record.values.binds = Some(vec![Bind { type_oid: 23, format: 1, value: Some(vec![0, 0, 0, 42]) }]);
    }));
    let binds = cell(&bound, "binds").trim_matches('"').replace("\"\"", "\"");
    let expected = serde_json::json!([{"oid": 23, "format": 1, "raw": "0000002a", "display": "42"}]);
    assert_eq!(serde_json::from_str::<Value>(&binds).expect("JSON"), expected);
}
