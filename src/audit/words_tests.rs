use super::*;
use crate::audit::record::{Kind, Record, Values};
use crate::clock::Timestamp;

const SESSION: SessionId = SessionId([1, 2, 3, 4, 5, 6, 7, 8]);

fn relation_words(names: &[&str]) -> Vec<Word> {
    names.iter().map(|name| Word::Relation(relation(name))).collect()
}

#[test]
fn numbers_are_those_of_the_format() {
    // FNV-1a's own test vectors.
    for (text, number) in [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
    {
        assert_eq!((relation(text), state(text)), (number, number), "{text}");
    }
    assert_eq!(relation("Public.CONTACTS"), relation("public.contacts"));
    assert_ne!(relation("GRÖSSE"), relation("größe"), "alike in ASCII only, as a search compares them");
    assert_ne!(state("42p01"), state("42P01"));
    assert_eq!(session(SESSION), 0x0807_0605_0403_0201);
}

#[test]
fn a_record_has_the_words_of_all_its_frames_and_of_its_preamble() {
    let mut record = Record::new(Timestamp(0), Kind::Statement, None);
    record.skeleton.relations = Some(vec!["public.contacts".to_owned(), "t".to_owned()]);
    let preamble = Preamble::of(&Record {
        skeleton: Skeleton { session: Some(SESSION), staff: Some(3), ..Skeleton::default() },
        ..record.clone()
    });
    record.add(Skeleton { sqlstate: Some("42P01".to_owned()), ..Skeleton::default() }, Values::default());
    record.add(Skeleton { staff: Some(4), ..Skeleton::default() }, Values::default());
    let words: BTreeSet<Word> = Words::of(&record.skeleton, Some(&preamble)).all().collect();
    let number = session(SESSION);
    let acts = [3, 4].map(|staff| Word::Act { session: number, staff });
    let names = relation_words(&["public.contacts", "contacts", "t"]);
    assert_eq!(words, acts.into_iter().chain(names).chain([Word::State(state("42P01"))]).collect());
    // What is read back, with the preamble spliced in, has the same.
    let (skeleton, _) = record.encode(Some(&preamble)).expect("encoded");
    let read: Skeleton = minicbor::decode(&skeleton).expect("read");
    assert_eq!(Words::of(&read, None).all().collect::<BTreeSet<_>>(), words);
    let each =
        record.unfold().into_iter().flat_map(|one| Words::of(&one.skeleton, Some(&preamble)).all().collect::<Vec<_>>());
    assert_eq!(each.collect::<BTreeSet<_>>(), words, "and so have its frames, one by one");
    for (session, staff, expected) in
        [(Some(SESSION), None, Some(Word::Session(number))), (None, Some(7), Some(Word::Staff(7))), (None, None, None)]
    {
        let skeleton = Skeleton { session, staff, ..Skeleton::default() };
        assert_eq!(Words::of(&skeleton, None).all().next(), expected);
    }
}

fn some(count: u64) -> BTreeSet<Word> {
    let words = (0..count).flat_map(|n| [Word::Relation(n), Word::State(n), Word::Staff(n), Word::Session(n)]);
    words.chain((0..count).map(|n| Word::Act { session: n, staff: !n })).collect()
}

#[test]
fn a_content_is_read_as_it_was_written_and_its_length_tells_little() {
    for (count, length) in [(0, 256), (1, 256), (4, 256), (5, 512), (9, 512), (10, 1024), (800, 65_536)] {
        let (words, content) = (some(count), to_content(&some(count)));
        assert_eq!(content.len() + 1, length, "{count}");
        assert_eq!(from_content(&content), Some(words), "{count}");
    }
}

#[test]
fn what_is_not_written_as_it_must_be_is_no_content() {
    let content = to_content(&some(3));
    assert!(from_content(&content).is_some());
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = content.clone();
        change(&mut changed);
        from_content(&changed)
    };
    assert_eq!(changed(&|bytes| bytes[0] = 6), None, "a kind that is none");
    assert_eq!(changed(&|bytes| bytes[254] = 1), None, "something behind the words");
    assert_eq!(changed(&|bytes| bytes.truncate(254)), None, "shorter");
    assert_eq!(changed(&|bytes| bytes.push(0)), None, "longer");
    assert_eq!(changed(&|bytes| bytes.copy_within(17..34, 0)), None, "twice the same");
    assert_eq!(changed(&|bytes| bytes[250] = 5), None, "cut off in a word");
    assert_eq!(from_content(&[]), None);
    assert_eq!(from_content(&vec![0; (2 << 20) - 1]), None, "larger than any");
}
