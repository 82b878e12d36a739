use proptest::prelude::*;

use super::*;

fn message((tag, body): &(u8, Vec<u8>)) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short body");
    [&[*tag], length.to_be_bytes().as_slice(), body].concat()
}

#[test]
fn what_holds_no_such_message_is_not_copied() {
    let bytes = Bytes::from([message(&(b'D', vec![b'A'; 9])), message(&(b'Z', vec![b'I']))].concat());
    let passed = Sieve::new(b'A').pass(bytes.clone());
    assert_eq!((passed.as_ptr(), passed.len()), (bytes.as_ptr(), bytes.len()));
}

proptest! {
    #[test]
    fn only_such_messages_are_cut_out_however_the_stream_is_torn(
        messages in prop::collection::vec((prop::sample::select(&b"ADZS"[..]), prop::collection::vec(any::<u8>(), 0..9)), 0..12),
        pieces in prop::collection::vec(1usize..9, 1..8),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(message).collect();
        let wanted: Vec<u8> = messages.iter().filter(|(tag, _)| *tag != b'A').flat_map(message).collect();
        let mut sieve = Sieve::new(b'A');
        let (mut rest, mut passed) = (stream.as_slice(), Vec::new());
        for piece in pieces.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(piece.min(rest.len()));
            passed.extend_from_slice(&sieve.pass(Bytes::copy_from_slice(now)));
            rest = later;
        }
        prop_assert_eq!(passed, wanted);
    }
}
