use super::*;

fn prepared(text: &str, types: &[u32]) -> Prepared {
    Prepared::read(text, types).expect("a line")
}

fn bytes(value: impl AsRef<[u8]>) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(value.as_ref()))
}

#[test]
fn parameters_are_texts_unless_somebody_says_otherwise() {
    let line = prepared("REQUEST $1 FOR $2 CODE $3", &[0, 705, 23]);
    assert_eq!(line.types, [TEXT, TEXT, 23]);
    let raw = [bytes("acme"), None, bytes(493_201_i32.to_be_bytes())];
    let (values, binds) = line.bind(&[0, 0, 1], &raw).expect("values");
    assert_eq!(values, [Some("acme".to_owned()), None, Some("493201".to_owned())]);
    assert_eq!(binds[0].value.as_deref(), Some(b"acme".as_slice()));
    assert_eq!(binds[2].value, None, "a code is not kept");
    let (values, _) = line.bind(&[1], &[bytes("acme"), None, None]).expect("one format for all");
    assert_eq!(values[0].as_deref(), Some("acme"));
}

#[test]
fn what_cannot_be_bound_is_said() {
    let line = prepared("WITHDRAW $1", &[]);
    let fault = |line: &Prepared, formats: &[u16], raw: &[Option<Bytes>]| {
        let report = line.bind(formats, raw).expect_err("it does not bind");
        (report.sqlstate, report.message)
    };
    assert_eq!(fault(&line, &[], &[]).1, "bind message supplies 0 parameters, but the line requires 1");
    assert_eq!(fault(&line, &[0], &[bytes(b"\xff")]), ("22021", "parameter $1 is not UTF-8".to_owned()));
    assert_eq!(fault(&line, &[1], &[bytes(b"\xff")]).0, "22021");
    let float = prepared("WITHDRAW $1", &[701]);
    assert_eq!(fault(&float, &[1], &[bytes(1.5_f64.to_be_bytes())]).0, "0A000");
    assert_eq!(Prepared::read("SHOW grants; SHOW requests", &[]).expect_err("two").sqlstate, "42601");
    assert_eq!(Prepared::read("WITHDRAW $33", &[]).expect_err("too many").sqlstate, "42P02");
    assert_eq!(Prepared::read("WITHDRAW $0", &[]).expect_err("there is no $0").sqlstate, "42P02");
    assert!(Prepared::read(" ", &[]).expect("blank").line.is_none());
}

#[test]
fn statements_and_portals_come_and_go() {
    let mut shelf = Shelf::default();
    let (named, unnamed) = (Bytes::from_static(b"s"), Bytes::new());
    assert_eq!(shelf.statement(&named).expect_err("none").sqlstate, "26000");
    shelf.prepare(named.clone(), prepared("SHOW grants", &[])).expect("new");
    let twice = shelf.prepare(named.clone(), prepared("SHOW grants", &[])).expect_err("twice");
    assert_eq!(twice.message, "prepared statement \"s\" already exists");
    for _ in 0..2 {
        shelf.prepare(unnamed.clone(), prepared("SHOW grants", &[])).expect("the unnamed one is replaced");
    }
    shelf.bind((unnamed.clone(), &named), (&[], &[]), vec![1]).expect("bound");
    let odd = shelf.bind((unnamed.clone(), &named), (&[], &[]), vec![0, 0]).expect_err("too few formats");
    assert_eq!(odd.message, "bind message has 2 result formats but the line has 10 columns");
    assert!(matches!(shelf.portal(&unnamed).expect("a portal").progress, Progress::Bound));
    shelf.close_portals();
    assert_eq!(shelf.portal(&unnamed).expect_err("gone").sqlstate, "34000");
    for number in 0..KEPT_MAX - 2 {
        let name = Bytes::from(format!("s{number}"));
        shelf.prepare(name, prepared("SHOW grants", &[])).expect("room");
    }
    assert_eq!(
        shelf.prepare(Bytes::from("one more"), prepared("SHOW grants", &[])).expect_err("full").sqlstate,
        "54000"
    );
    shelf.forget();
    assert!(shelf.statement(&named).is_err());
}
