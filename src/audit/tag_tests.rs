use super::*;
use crate::ids::CustomerId;
use crate::secret::Secret;

#[test]
fn a_tag_changes_with_the_segment_the_log_and_the_key() {
    let tagger = |key, origin| Tagger::new(&TagKey(Secret::new([key; 32])), origin);
    let tag = tagger(1, "portreeve/a").tag(0);
    assert_eq!(tagger(1, "portreeve/a").tag(0), tag);
    for other in [tagger(1, "portreeve/a").tag(1), tagger(1, "portreeve/b").tag(0), tagger(2, "portreeve/a").tag(0)] {
        assert_ne!(other, tag);
    }
    assert_ne!(tagger(1, "portreeve/a").link(None), tagger(1, "portreeve/a").link(Some(&[1; 32])));
}

#[test]
fn a_reader_recognises_those_whose_tag_keys_it_holds() {
    let (seven, eight) = (Recipient::Customer(CustomerId(7)), Recipient::Customer(CustomerId(8)));
    let recipients = Recipients::new();
    recipients.set_tag(seven, TagKey(Secret::new([7; 32])));
    recipients.set_tag(Recipient::Vendor, TagKey(Secret::new([1; 32])));
    let mut tags = Tags::new(&recipients, "portreeve/a");
    let tag_of = |key, segment| Tagger::new(&TagKey(Secret::new([key; 32])), "portreeve/a").tag(segment);
    for segment in [0, 1, 0] {
        assert_eq!(tags.recognise(segment, &tag_of(7, segment)), Some(seven));
        assert_eq!(tags.recognise(segment, &tag_of(1, segment)), Some(Recipient::Vendor));
        assert_eq!(tags.recognise(segment, &tag_of(7, segment + 1)), None);
        assert_eq!(tags.recognise(segment, &tag_of(8, segment)), None, "{eight} is not known");
    }
}
