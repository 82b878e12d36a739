use super::super::fixture::signing;
use super::*;
use crate::secret::Secret;

fn key(seed: u8) -> DataKey {
    DataKey::new(&Secret::new([seed; 32]))
}

/// One of each kind.
pub(in crate::log) fn words() -> BTreeSet<Word> {
    let act = Word::Act { session: 7, staff: 3 };
    BTreeSet::from([act, Word::Session(8), Word::Staff(4), Word::Relation(5), Word::State(6)])
}

/// The bits of one text.
pub(in crate::log) fn bits() -> Pieces {
    let mut bits = Pieces::default();
    bits.add(b"SELECT * FROM contacts");
    bits
}

/// With bits, but for the tag 9.
fn to_seal(tag: u8) -> ToSeal {
    let at = |seed, position| DataKeyAt { key: Box::new(key(seed)), position };
    let position = 40 + u64::from(tag);
    let place = InSegment { origin: "portreeve/proxy-gate-1".to_owned(), segment: 3, tag: [tag; 16] };
    let texts = (tag != 9).then(|| TextsToSeal::Bits(at(tag + 1, position - 1), bits()));
    ToSeal { place, key: at(tag, position), from: position + 1, words: words(), texts }
}

/// Two blocks of a segment whose first block is all sevens.
pub(in crate::log) fn blocks() -> Blocks {
    let head =
        Head { block: sha256(&[&[7; 4096]]), segment: 3, end: End { position: 91, batch: 43, previous: [42; 32] } };
    Blocks::new(head, [9, 2].map(|tag| to_seal(tag).seal(&[tag; 16])).into())
}

/// The same with each other's contents.
pub(in crate::log) fn swapped(blocks: &Blocks) -> Blocks {
    let mut swapped = blocks.clone();
    let count = swapped.blocks.len();
    assert!(count > 1, "there is more than one");
    for (at, block) in blocks.blocks.iter().enumerate() {
        let other = &mut swapped.blocks[(at + 1) % count];
        other.sealed.clone_from(&block.sealed);
        other.texts.clone_from(&block.texts);
    }
    swapped
}

#[test]
fn what_is_written_is_read_and_nothing_that_was_changed() {
    let (blocks, public) = (blocks(), signing(1).public());
    let bytes = blocks.to_bytes(&signing(1));
    let read = Blocks::parse(&bytes, &public).expect("whole");
    assert_eq!(read, blocks);
    let found = |tag: u8| read.of(&[tag; 16]).map(|block| (block.key, block.from));
    assert_eq!([2, 9, 5].map(found), [Some((42, 43)), Some((49, 50)), None]);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(Blocks::parse(&changed, &public), None, "byte {at}");
    }
    assert_eq!(Blocks::parse(&bytes, &signing(2).public()), None, "another key");
    for length in 0..bytes.len() {
        assert_eq!(Blocks::parse(&bytes[..length], &public), None, "cut at {length}");
    }
    assert_eq!(Blocks::parse(&[bytes.as_slice(), &[0]].concat(), &public), None, "longer");
}

#[test]
fn a_block_opens_in_its_place_alone() {
    let (block, origin) = (to_seal(2).seal(&[1; 16]), "portreeve/proxy-gate-1");
    assert_eq!(block.open(origin, 3, &key(2)), Some(words()));
    assert_eq!(block.open(origin, 3, &key(3)), None, "another data key");
    assert_eq!(block.open("portreeve/other", 3, &key(2)), None, "another log");
    assert_eq!(block.open(origin, 4, &key(2)), None, "another segment");
    assert_eq!(Block { tag: [3; 16], ..block.clone() }.open(origin, 3, &key(2)), None, "another recipient");
    assert_eq!(Block { key: 43, ..block.clone() }.open(origin, 3, &key(2)), None, "another data key's place");
    let mut changed = block.clone();
    changed.sealed[60] ^= 1;
    assert_eq!(changed.open(origin, 3, &key(2)), None, "changed");
    // Nothing that is sealed as a record's part is taken for a block, nor the other way round.
    let place = |kind| Place { kind, slot: 0, position: 42, at: Timestamp(0), segment: 3, tag: [2; 16], link: [0; 32] };
    let mut sealed = Vec::new();
    let binding = |kind| Binding::new(origin, &place(kind).to_bytes(), Part::Skeleton);
    seal(&key(2), &binding(Kind::Statement), &[1; 16], &to_content(&words()), &mut sealed);
    assert_eq!(Block { sealed, ..block.clone() }.open(origin, 3, &key(2)), None);
    for kind in [Kind::Statement, Kind::Outcome] {
        assert!(open(&key(2), &binding(kind), &block.sealed).is_err());
    }
}

#[test]
fn nothing_of_the_words_shows_and_few_have_one_length() {
    let mut few = to_seal(2);
    few.words = BTreeSet::new();
    assert_eq!(few.seal(&[1; 16]).sealed.len(), to_seal(2).seal(&[1; 16]).sealed.len());
    let bytes = blocks().to_bytes(&signing(1));
    let shown = |number: u64| bytes.windows(8).any(|window| window == number.to_le_bytes());
    assert!(shown(42) && shown(43), "where the data key stands, and from where on it tells, are in every leaf");
    assert!(![7_u64, 4, 5, 6].into_iter().any(shown), "the words are not there");
    let content = bits().to_content();
    assert!(!bytes.windows(8).any(|window| window == &content[3..11]), "nor the bits");
}

#[test]
fn bits_open_in_their_place_alone() {
    let (block, origin) = (to_seal(2).seal(&[1; 16]), "portreeve/proxy-gate-1");
    let opened = |block: &Block, origin: &str, segment, seed| block.open_texts(origin, segment, &key(seed));
    assert_eq!(opened(&block, origin, 3, 3), Some(bits()));
    assert_eq!(opened(&block, origin, 3, 2), None, "another data key");
    assert_eq!(opened(&block, "portreeve/other", 3, 3), None, "another log");
    assert_eq!(opened(&block, origin, 4, 3), None, "another segment");
    assert_eq!(opened(&Block { tag: [3; 16], ..block.clone() }, origin, 3, 3), None, "another recipient");
    let SealedTexts { key: position, sealed } = block.texts.clone().expect("bits");
    let moved = Block { texts: Some(SealedTexts { key: position + 1, sealed }), ..block.clone() };
    assert_eq!(opened(&moved, origin, 3, 3), None, "another data key's place");
    assert_eq!(to_seal(9).seal(&[1; 16]).texts, None);
    // Words are not taken for bits, nor the other way round, even under one data key.
    let of_one = |texts: &SealedTexts| Block { key: texts.key, sealed: texts.sealed.clone(), ..block.clone() };
    assert_eq!(block.texts.as_ref().map(of_one).and_then(|block| block.open(origin, 3, &key(3))), None);
}
