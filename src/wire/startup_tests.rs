use super::*;

fn startup(body: &[u8]) -> Bytes {
    packet(&[&VERSION_3_0.to_be_bytes()[..], body].concat()).expect("a short packet")
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn parameters(pairs: Pairs<'_>) -> Result<StartupParameters, Fault> {
    match parse(&build_startup(VERSION_3_0, pairs)?)? {
        First::Startup(startup) => check_parameters(&startup),
        other => panic!("{other:?} is no start-up"),
    }
}

#[test]
fn each_first_packet_is_read() {
    assert_eq!(parse(&ssl_request()), Ok(First::SslRequest));
    assert_eq!(parse(&Bytes::from_static(b"\0\0\0\x08\x04\xd2\x16\x30")), Ok(First::GssEncRequest));
    let cancel = cancel_request_packet(77, &[9; 32]).expect("a secret");
    assert_eq!(parse(&cancel), Ok(First::CancelRequest { pid: 77, secret: vec![9; 32].into() }));
    let pair = |name: &'static str, value: &'static str| (Bytes::from(name), Bytes::from(value));
    let expected = Startup { version: VERSION_3_0, parameters: vec![pair("user", "jane"), pair("database", "")] };
    assert_eq!(parse(&startup(b"user\0jane\0database\0\0\0")), Ok(First::Startup(expected)));
}

#[test]
fn a_first_packet_has_exactly_its_length() {
    let cases: [&[u8]; 12] = [
        b"\0\0\0\x07abc",
        b"\0\0\0\x09\x04\xd2\x16\x2f",
        b"\0\0\0\x09\x04\xd2\x16\x2fx",
        b"\0\0\x27\x11\0\x03\0\0",
        b"\xff\xff\xff\xff\0\x03\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        &startup(b""),
        &startup(b"user\0jane\0"),
        &startup(b"user\0jane\0\0\0"),
        &startup(b"user\0jane\0\0x\0y\0\0"),
        &startup(b"user\0jane"),
        b"\0\0\0\x0f\x04\xd2\x16\x2e\0\0\0\x01\0\0\0",
    ];
    for packet in cases {
        let fault = parse(&Bytes::copy_from_slice(packet)).expect_err("refused");
        assert_eq!(fault.sqlstate(), "08P01", "{}", packet.escape_ascii());
    }
    assert_eq!(packet_bytes(b"\0\0\0"), Ok(None));
    assert_eq!(packet_bytes(b"\0\0\x27\x10"), Ok(Some(10_000)));
}

#[test]
fn another_protocol_is_refused_and_a_newer_minor_version_negotiated() {
    let old = parse(&Bytes::from_static(b"\0\0\0\x09\0\x02\0\0\0")).expect_err("protocol 2");
    assert_eq!(old.sqlstate(), "0A000");
    let grease = ["_pq_.test_protocol_negotiation".to_owned()];
    let newer = (3 << 16) | 9999;
    let expected = b"v\0\0\0\x2b\0\x03\0\x02\0\0\0\x01_pq_.test_protocol_negotiation\0";
    assert_eq!(negotiate_protocol(newer, &grease).as_deref(), Some(&expected[..]));
    let expected = b"v\0\0\0\x2b\0\x03\0\0\0\0\0\x01_pq_.test_protocol_negotiation\0";
    assert_eq!(negotiate_protocol(VERSION_3_0, &grease).as_deref(), Some(&expected[..]));
    assert_eq!(negotiate_protocol(newer, &[]).as_deref(), Some(&b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0"[..]));
    assert_eq!(negotiate_protocol(VERSION_3_2, &[]), None);
    assert_eq!(negotiate_protocol(VERSION_3_0, &[]), None);
}

#[test]
fn the_usual_parameters_pass() {
    let checked = parameters(&[
        ("user", "jane"),
        ("database", "acme"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("application_name", "psql"),
        ("options", r"-c geqo=off --work-mem=4MB -cmy.note=a\ b\\c -c datestyle=German"),
        ("_pq_.test", "1"),
    ]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let forwarded = vec![
        pair("geqo", "off"),
        pair("work_mem", "4MB"),
        pair("my.note", r"a b\c"),
        pair("datestyle", "ISO"),
        pair("client_encoding", "UTF8"),
        pair("application_name", "psql"),
    ];
    let expected = StartupParameters {
        user: "jane".to_owned(),
        database: "acme".to_owned(),
        application_name: "psql".to_owned(),
        forwarded,
        unrecognised: vec!["_pq_.test".to_owned()],
    };
    assert_eq!(checked, Ok(expected));
}

#[test]
fn anything_else_is_refused_by_its_name() {
    let cases: [(Pairs<'_>, &str, &str); 20] = [
        (&[("database", "acme")], "28000", "no user name"),
        (&[("user", ""), ("database", "acme")], "28000", "no user name"),
        (&[("user", "jane")], "3D000", "no database name"),
        (&[("user", "jane"), ("database", "")], "3D000", "no database name"),
        (&[("user", "jane"), ("user", "root"), ("database", "acme")], "08P01", "\"user\" is given twice"),
        (&[("replication", "database")], "0A000", "replication"),
        (&[("replication", "true")], "0A000", "replication"),
        (&[("role", "postgres")], "0A000", "\"role\" is not accepted"),
        (&[("session_authorization", "x")], "0A000", "\"session_authorization\" is not accepted"),
        (&[("log_statement", "none")], "0A000", "\"log_statement\" is not accepted"),
        (&[("User", "jane")], "0A000", "\"User\" is not accepted"),
        (&[("geqo", "on"), ("GEQO", "off")], "08P01", "\"GEQO\" is given twice"),
        (&[("options", "-c role=postgres")], "0A000", "\"role\" is not accepted"),
        (&[("options", r"-c \Rol\e=postgres")], "0A000", "\"Role\" is not accepted"),
        (&[("options", "--session-authorization=x")], "0A000", "\"session_authorization\" is not accepted"),
        (&[("options", "-c local_preload_libraries=x")], "0A000", "\"local_preload_libraries\" is not accepted"),
        (&[("options", "-d 5")], "0A000", "\"-d\" is not accepted"),
        (&[("options", "-c")], "0A000", "\"-c\" is not accepted"),
        (&[("options", "-c geqo")], "0A000", "\"-c\" is not accepted"),
        (&[("options", "-c r\u{a0}ole=x")], "0A000", "\"-c\" is not accepted"),
    ];
    for (pairs, sqlstate, part) in cases {
        // The people's names come first where a case does not bring its own.
        let base = [("user", "jane"), ("database", "acme")];
        let own = pairs.iter().any(|(name, _)| *name == "user" || *name == "database");
        let all: Vec<_> = if own { pairs.to_vec() } else { base.iter().chain(pairs).copied().collect() };
        let fault = parameters(&all).expect_err(part);
        assert_eq!(fault.sqlstate(), sqlstate, "{fault}");
        assert!(fault.to_string().contains(part), "{fault}");
    }
}

#[test]
fn what_cannot_be_text_is_refused() {
    let First::Startup(startup) = parse(&startup(b"user\0j\xff\0database\0acme\0\0")).expect("well formed") else {
        panic!("no start-up");
    };
    assert_eq!(check_parameters(&startup).expect_err("not UTF-8").sqlstate(), "22021");
    assert_eq!(build_startup(VERSION_3_0, &[("user", "a\0b")]).expect_err("a NUL").sqlstate(), "XX000");
    assert!(build_startup(VERSION_3_0, &[("user", &"x".repeat(10_000))]).is_err());
}
