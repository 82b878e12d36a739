use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;

const ID: &str = "00112233445566778899aabbccddeeff";
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn key(byte: u8) -> (Ed25519KeyPair, [u8; 32]) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).expect("32 bytes are a seed");
    let public = pair.public_key().as_ref().try_into().expect("32 bytes");
    (pair, public)
}

/// The moment so many days after 1 January 2026.
fn on(day: i64) -> At {
    At(Timestamp(1_767_225_600_000_000 + day * 86_400_000_000))
}

fn body(day: i64, findings: Findings, next: Option<Next>) -> Body {
    Body {
        certificate: String::new(),
        part: Part::Live,
        number: 0,
        of: 0,
        issued: on(day),
        customer: "c7".to_owned(),
        account: Some("acme".to_owned()),
        controller: Some("ACME <GmbH> \u{7}\"".to_owned()),
        processor: None,
        sub_processors: vec![],
        contract: None,
        trigger: Trigger { kind: TriggerKind::Closure, at: on(0), by: "owner".to_owned() },
        scope: Scope {
            databases: vec!["crm".to_owned()],
            tables: 2,
            layout: "shared".to_owned(),
            categories: vec!["contact".to_owned()],
            subjects: vec!["customers of the customer".to_owned()],
        },
        method: Method {
            what: "DELETE in batches".to_owned(),
            tool: "portreeve 0.1.0".to_owned(),
            configuration: "ab".repeat(32),
            plan: "sha256:…".to_owned(),
        },
        people: People { planned: "system".to_owned(), approved: vec!["s7".to_owned()], ran: "keeper-1".to_owned() },
        times: Times { started: on(day - 1), ended: on(day), clocks: 3, skew_ms: 12 },
        findings,
        residue: Residue { levels: vec![Traces::L0, Traces::L1], report: vec![] },
        exceptions: vec![],
        not_covered: vec!["the customer's own exports".to_owned()],
        ledger: Ledger { sequence: 41, hash: "cd".repeat(32) },
        previous: None,
        next,
    }
}

fn live() -> Findings {
    Findings::Live(Live {
        tables: vec![Table { name: "public.contacts".to_owned(), planned: 1200, deleted: 1200, left: 0 }],
        commit_lsn: "0/16B3748".to_owned(),
        replicas: vec![Replica { name: "db-2".to_owned(), replayed: on(31) }],
        needles: Needles { probed: 40, found: 0 },
        orphans: 0,
    })
}

fn snapshot(id: &str) -> Snapshot {
    Snapshot {
        id: id.to_owned(),
        backend: "main".to_owned(),
        taken: on(30),
        deleted: on(44),
        absent: on(44),
        seen_by: "list of the directory".to_owned(),
    }
}

fn backups() -> Findings {
    Findings::Backups(Backups {
        held: 2,
        snapshots: vec![snapshot("s1"), snapshot("s2")],
        rechecked: vec![on(32), on(38)],
        wal_absent: None,
        replayed: 0,
    })
}

fn archives() -> Findings {
    let archive = Archive {
        id: "a1".to_owned(),
        made: on(0),
        returned: Some(on(5)),
        deleted: on(89),
        absent: on(89),
        key_destroyed: on(89),
    };
    Findings::Archive(Archives { archives: vec![archive], value_keys: 3, values_unreadable: on(89) })
}

fn logs() -> Findings {
    Findings::Logs(Logs {
        logs: vec![Log { name: "proxy-gate-1".to_owned(), records: 512, unreadable: 512 }],
        skeleton_unreadable: on(364),
        application: ApplicationLogs { oldest: on(10), said_by: "uid 0".to_owned() },
    })
}

/// The parts in their order, with the day on which each is signed.
fn bodies() -> Vec<Body> {
    let next = |part, day| Some(Next { part, due: on(day) });
    vec![
        body(31, live(), next(Part::Backups, 90)),
        body(45, backups(), next(Part::Archive, 90)),
        body(90, archives(), next(Part::Logs, 365)),
        body(365, logs(), None),
    ]
}

fn certificate(id: &str, signer: u8, parts: usize) -> Certificate {
    let mut certificate = Certificate::new(id);
    for body in bodies().into_iter().take(parts) {
        certificate.sign(body, &key(signer).0).expect("signed");
    }
    certificate
}

fn findings(text: &str) -> Vec<Finding> {
    verify(text, &key(1).1, NOW).findings
}

/// Changes the parsed file and writes it in its one form again.
fn rewritten(certificate: &Certificate, change: impl FnOnce(&mut Value)) -> String {
    let mut file: Value = serde_json::from_str(&certificate.to_text()).expect("JSON");
    change(&mut file);
    canonical::written(&file).expect("numbers fit") + "\n"
}

#[test]
fn a_whole_certificate_is_sound_and_grows_part_by_part() {
    let mut grown = Certificate::new(ID);
    for (at, body) in bodies().into_iter().enumerate() {
        assert_eq!(grown.next(), Some(Part::ALL[at]));
        grown.sign(body, &key(1).0).expect("signed");
        let text = grown.to_text();
        let day = [31, 45, 90, 365][at];
        let verdict = verify(&text, &key(1).1, on(day).0);
        assert_eq!((verdict.findings, verdict.parts.len()), (vec![], at + 1));
        grown = Certificate::from_text(&text).expect("the same again");
    }
    assert_eq!(grown, certificate(ID, 1, 4));
    assert_eq!(grown.sign(bodies().remove(0), &key(1).0), Err(Unsignable::Complete));
}

#[test]
fn the_form_is_pinned() {
    let text = certificate(ID, 1, 1).to_text();
    let begins = concat!(
        r#"{"format":"portreeve-certificate/1","id":"00112233445566778899aabbccddeeff","#,
        r#""parts":[{"body":{"account":"acme","certificate":"0011"#
    );
    assert!(text.starts_with(begins), "{text}");
    assert!(text.contains(r#""controller":"ACME <GmbH> \u0007\"""#), "{text}");
    assert!(text.ends_with("\"}]}\n"), "{text}");
    assert_eq!(key_id(&key(1).1).len(), 16);
}

/// No byte can be changed: each flip of a bit is found.
#[test]
fn a_flipped_bit_anywhere_is_found() {
    let text = certificate(ID, 1, 2).to_text();
    // Before the third part is due, so that nothing else is found.
    let findings = |text: &str| verify(text, &key(1).1, on(50).0).findings;
    assert_eq!(findings(&text), []);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let changed = String::from_utf8_lossy(&bytes);
        assert!(!findings(&changed).is_empty(), "byte {at} was flipped");
    }
    for end in (0..text.len()).step_by(11) {
        assert!(!findings(text.get(..end).unwrap_or_default()).is_empty(), "cut at {end}");
    }
}

#[test]
fn each_fault_has_its_own_words() {
    let whole = certificate(ID, 1, 4);
    let text = whole.to_text();
    let other_key = key_id(&key(2).1);
    let part = |file: &Value, at: usize| file["parts"][at].clone();
    let other: Value = serde_json::from_str(&certificate(&"ff".repeat(16), 1, 4).to_text()).expect("JSON");
    let cases: [(&str, String, &str); 12] = [
        ("nothing", "hello".to_owned(), "not a certificate in its one form: it is no JSON"),
        ("another form", text.replace(",\"id\"", ", \"id\""), "spaces or line breaks are not as they were written"),
        ("something added", rewritten(&whole, |file| file["note"] = "x".into()), "holds something that nobody signed"),
        (
            "a changed figure",
            text.replace("\"deleted\":1200", "\"deleted\":1300"),
            "entry 1 was changed after it was signed",
        ),
        (
            "a changed signature",
            rewritten(&whole, |file| file["parts"][1]["signature"] = "AAAA".into()),
            "entry 2 was changed after",
        ),
        (
            "another key",
            certificate(ID, 2, 4).to_text(),
            &format!("entry 1 is signed with key {other_key}, not with the key given"),
        ),
        (
            "part 2 is missing",
            rewritten(&whole, |file| drop(file["parts"].as_array_mut().expect("parts").remove(1))),
            "part 2 (backups) is missing",
        ),
        ("no part", rewritten(&whole, |file| file["parts"] = serde_json::json!([])), "part 1 (live) is missing"),
        (
            "another certificate's part",
            rewritten(&whole, |file| file["parts"][2] = part(&other, 2)),
            &format!("entry 3 is part of another certificate, {}", "ff".repeat(16)),
        ),
        (
            "twice",
            rewritten(&whole, |file| file["parts"][1] = part(file, 0)),
            "part 1 (live) is there twice or out of order",
        ),
        (
            "cut off",
            certificate(ID, 1, 2).to_text(),
            "part 3 (archive) was due at 2026-04-01T00:00:00.000000Z and is not here",
        ),
        (
            "a part exchanged for another of ours",
            {
                let mut exchanged = Certificate::new(ID);
                let mut first = bodies().remove(0);
                first.ledger.sequence = 40;
                exchanged.sign(first, &key(1).0).expect("signed");
                let exchanged: Value = serde_json::from_str(&exchanged.to_text()).expect("JSON");
                rewritten(&whole, |file| file["parts"][0] = part(&exchanged, 0))
            },
            "part 2 (backups) follows another part than the one before it",
        ),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (what, text, says) in cases {
        let told: Vec<String> = findings(&text).iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains(says)), "{what}: {told:?}");
        assert!(seen.insert(told.join("; ")), "{what} has words of its own: {told:?}");
    }
}

/// Each row: what was not confirmed, and the words in which signing is refused.
#[test]
fn what_was_not_confirmed_is_not_signed() {
    let with_live = |change: fn(&mut Live)| {
        let Findings::Live(mut live) = live() else { unreachable!() };
        change(&mut live);
        Findings::Live(live)
    };
    let with_backups = |change: fn(&mut Backups)| {
        let Findings::Backups(mut backups) = backups() else { unreachable!() };
        change(&mut backups);
        Findings::Backups(backups)
    };
    let with_logs = |change: fn(&mut Logs)| {
        let Findings::Logs(mut logs) = logs() else { unreachable!() };
        change(&mut logs);
        Findings::Logs(logs)
    };
    for (parts, findings, says) in [
        (0, with_live(|live| live.tables[0].left = 1), "1 rows are left in public.contacts"),
        (0, with_live(|live| live.needles.found = 2), "2 of 40 known values were found"),
        (0, with_live(|live| live.orphans = 3), "3 rows were left without"),
        (0, backups(), "part live is next, the findings are of part backups"),
        (1, with_backups(|backups| drop(backups.snapshots.pop())), "2 snapshots held the rows, 1 are named"),
        (
            1,
            with_backups(|backups| backups.snapshots[0].absent = on(43)),
            "snapshot s1 was not taken, deleted and seen absent",
        ),
        (1, with_backups(|backups| backups.snapshots[1].absent = on(46)), "snapshot s2 was not"),
        (1, with_backups(|backups| backups.rechecked.clear()), "rows were not looked for again"),
        (3, with_logs(|logs| logs.logs[0].unreadable = 511), "1 of 512 records of log proxy-gate-1 can be opened"),
    ] {
        let mut signed = certificate(ID, 1, parts);
        let mut body = bodies().remove(parts);
        body.findings = findings;
        let refused = signed.sign(body, &key(1).0).expect_err(says).to_string();
        assert!(refused.contains(says), "{refused}");
        assert_eq!(signed, certificate(ID, 1, parts), "nothing was added");
    }
    let mut hashed = bodies().remove(0);
    hashed.exceptions = vec![Exception {
        kind: ExceptionKind::Anonymised,
        authority: "controller".to_owned(),
        scope: "SHA-256 hash of e-mail".to_owned(),
        review: None,
    }];
    let refused = Certificate::new(ID).sign(hashed, &key(1).0).expect_err("hashing is no anonymising").to_string();
    assert!(refused.contains("is not anonymous"), "{refused}");
    let mut another = bodies().remove(1);
    another.customer = "c8".to_owned();
    let refused = certificate(ID, 1, 1).sign(another, &key(1).0).expect_err("another customer").to_string();
    assert_eq!(refused, "it is about c8, the parts before about c7");
}

#[test]
fn a_checker_refuses_what_a_signer_should_have() {
    // Signed by somebody with the key and without our rules.
    let mut wrong = bodies().remove(0);
    let Findings::Live(found) = &mut wrong.findings else { unreachable!() };
    found.tables[0].left = 5;
    (wrong.certificate, wrong.part, wrong.number, wrong.of) = (ID.to_owned(), Part::Live, 1, 4);
    let body = serde_json::to_value(&wrong).expect("JSON");
    let signature = key(1).0.sign(&signed(&canonical::written(&body).expect("numbers fit")));
    let forged = Certificate {
        parts: vec![Signed { body, key: key_id(&key(1).1), signature: STANDARD.encode(signature) }],
        id: ID.to_owned(),
    };
    let verdict = verify(&forged.to_text(), &key(1).1, on(40).0);
    assert_eq!(verdict.findings.len(), 1);
    assert!(verdict.findings[0].to_string().contains("5 rows are left in public.contacts"));
    assert!(!verdict.parts[0].is_sound);
}

#[test]
fn the_page_prints_says_what_is_wrong_and_runs_nothing() {
    let sound = page(&verify(&certificate(ID, 1, 4).to_text(), &key(1).1, NOW), "k1").into_string();
    for part in [
        "<h1>Certificate of erasure</h1>",
        "@page { size: A4",
        "Part 2 of 4: backups",
        "main/s2",
        "ACME &lt;GmbH&gt;",
        "2026-02-14T00:00:00.000000Z",
        "portreeve verify-proof FILE --key KEY-FILE",
        "4 of 4 parts are signed and unchanged",
    ] {
        assert!(sound.contains(part), "{part}");
    }
    assert!(!sound.contains("<script") && !sound.contains("http"), "nothing is fetched or run");
    let cut = page(&verify(&certificate(ID, 1, 1).to_text(), &key(1).1, NOW), "k1").into_string();
    assert!(cut.contains("Do not rely on this certificate") && cut.contains("part 2 (backups) was due"), "{cut}");
}

#[test]
fn the_document_names_every_field() {
    let document = include_str!("CERTIFICATE.md");
    let file: Value = serde_json::from_str(&certificate(ID, 1, 4).to_text()).expect("JSON");
    let mut missing = Vec::new();
    fields(&file, &mut |name| {
        if !document.contains(&format!("`{name}`")) && !document.contains(&format!("\"{name}\"")) {
            missing.push(name.to_owned());
        }
    });
    assert!(missing.is_empty(), "CERTIFICATE.md says nothing of {missing:?}");
}

fn fields(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            found(name);
            fields(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..=1_u64 << 53).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What is written is read as the same, and there is no second way to write it.
    #[test]
    fn there_is_one_form(value in any_json()) {
        let text = canonical::written(&value).expect("numbers fit") + "\n";
        prop_assert_eq!(canonical::read(&text), Some(value.clone()));
        let pretty = serde_json::to_string_pretty(&value).expect("JSON") + "\n";
        prop_assert!(pretty == text || canonical::read(&pretty).is_none());
    }

    /// Nothing that is handed in stops the checker.
    #[test]
    fn anything_may_be_checked(text in ".{0,400}", value in any_json()) {
        prop_assert!(!findings(&text).is_empty());
        let file = serde_json::json!({"format": FORMAT, "id": ID, "parts": [value]});
        prop_assert!(!findings(&(canonical::written(&file).expect("numbers fit") + "\n")).is_empty());
    }
}
