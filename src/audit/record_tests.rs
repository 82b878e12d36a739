use super::*;

fn who(mut record: Record) -> Record {
    record.skeleton.session = Some(SessionId([1; 8]));
    (record.skeleton.staff, record.skeleton.grant) = (Some(2), Some(3));
    record.skeleton.scope = Some("read".to_owned());
    record.skeleton.gate = Some("overlap".to_owned());
    record.values.staff = Some("jane".to_owned());
    record.values.reason = Some("a reason".to_owned());
    record
}

/// Frame, verb and text of one frame's own part.
fn own(frame: u64, verb: &str, text: Option<&str>, encoding: &str) -> (Skeleton, Values) {
    let skeleton = Skeleton { frame: Some(frame), verb: Some(verb.to_owned()), ..Skeleton::default() };
    let text = text.map(|text| text.as_bytes().to_vec());
    (skeleton, Values { text, encoding: Some(encoding.to_owned()), ..Values::default() })
}

/// As if each frame had a record of its own.
fn alone((skeleton, values): (Skeleton, Values)) -> Record {
    who(Record { skeleton, values, ..Record::new(Timestamp(5), Kind::Statement, Some(CustomerId(7))) })
}

#[test]
fn folded_and_unfolded_it_is_what_each_frame_would_have_had_alone() {
    let table: [&[(Option<&str>, &str)]; 6] = [
        &[(Some("a"), "query")],
        &[(Some("a"), "parse"), (Some("a"), "bind"), (Some("a"), "describe"), (Some("a"), "execute")],
        &[(Some("a"), "bind"), (Some("b"), "bind"), (Some("b"), "execute"), (Some("a"), "bind")],
        &[(None, "close"), (Some("a"), "parse"), (None, "describe"), (Some("a"), "bind")],
        &[(Some("a"), "parse"), (None, "close"), (None, "close"), (Some("a"), "parse")],
        &[(Some("a"), "parse"), (Some("a"), "latin"), (Some("a"), "bind")],
    ];
    for frames in table {
        let own = |(index, (text, verb)): (usize, &(Option<&str>, &str))| {
            own(index as u64 + 1, verb, *text, if *verb == "latin" { "LATIN1" } else { "UTF8" })
        };
        let mut parts = frames.iter().enumerate().map(own);
        let expected: Vec<Record> = frames.iter().enumerate().map(own).map(alone).collect();
        let mut folded = alone(parts.next().expect("one"));
        parts.for_each(|(skeleton, values)| folded.add(skeleton, values));
        let skeleton = minicbor::to_vec(&folded.skeleton).expect("CBOR");
        let values = minicbor::to_vec(&folded.values).expect("CBOR");
        let read = Record {
            skeleton: minicbor::decode(&skeleton).expect("a skeleton"),
            values: minicbor::decode(&values).expect("values"),
            ..folded
        };
        assert_eq!(read.unfold(), expected, "{frames:?}");
    }
}

#[test]
fn one_text_is_kept_once() {
    let text = "x".repeat(1000);
    let mut folded = alone(own(1, "parse", Some(&text), "UTF8"));
    for frame in 2..=10 {
        let (skeleton, values) = own(frame, "bind", Some(&text), "UTF8");
        folded.add(skeleton, values);
    }
    assert!(minicbor::to_vec(&folded.values).expect("CBOR").len() < 1200);
    assert!(folded.unfold().iter().all(|record| record.values.text.as_deref() == Some(text.as_bytes())));
}

#[test]
fn a_part_that_stays_sealed_leaves_the_other_whole() {
    let mut folded = alone(own(1, "bind", Some("a"), "UTF8"));
    let (skeleton, values) = own(2, "execute", Some("a"), "UTF8");
    folded.add(skeleton, values);
    let erased = Record { values: Values::default(), ..folded.clone() }.unfold();
    let frames: Vec<_> = erased.iter().map(|record| record.skeleton.frame).collect();
    assert_eq!(frames, [Some(1), Some(2)]);
    assert!(erased.iter().all(|record| record.values == Values::default() && record.skeleton.staff == Some(2)));
    let texts = Record { skeleton: Skeleton::default(), ..folded }.unfold();
    assert!(texts.iter().all(|record| record.values.text.as_deref() == Some(b"a") && record.skeleton.frame.is_none()));
}

#[test]
fn a_preamble_reads_as_if_it_stood_in_each() {
    let mut shared = who(Record::new(Timestamp(0), Kind::Statement, None));
    // As many pairs as need a second byte in the map's head.
    let texts = [&mut shared.values.ticket, &mut shared.values.address, &mut shared.values.application];
    texts.into_iter().for_each(|text| *text = Some("x".repeat(300)));
    let preamble = Preamble::of(&shared);
    let (skeleton, values) = own(7, "query", Some("a"), "UTF8");
    let own = Record { skeleton, values, ..Record::new(Timestamp(5), Kind::Statement, None) };
    let (skeleton, values) = own.encode(Some(&preamble)).expect("encoded");
    let skeleton: Skeleton = minicbor::decode(&skeleton).expect("a skeleton");
    let values: Values = minicbor::decode(&values).expect("values");
    let expected = Skeleton { frame: Some(7), verb: Some("query".to_owned()), ..shared.skeleton.clone() };
    assert_eq!(skeleton, expected);
    let text = Some(b"a".to_vec());
    assert_eq!(values, Values { text, encoding: Some("UTF8".to_owned()), ..shared.values.clone() });
    let alone = own.encode(Some(&Preamble::of(&Record::new(Timestamp(0), Kind::Statement, None))));
    assert_eq!(alone, own.encode(None));
}
