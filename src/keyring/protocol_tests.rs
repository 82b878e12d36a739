use proptest::prelude::*;

use super::*;
use crate::audit::keys::Part;
use crate::ids::CustomerId;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn read_all(bytes: &[u8]) -> Result<Request, Unread> {
    let mut rest = bytes;
    block_on(read(&mut rest))
}

fn open_request() -> Request {
    let key = SealedDataKey {
        origin: "portreeve/proxy-gate-1".to_owned(),
        position: 12,
        recipient: Recipient::Customer(CustomerId(7)),
        part: Part::Skeleton,
        period: 2026,
        enc: vec![1; 32],
        sealed: vec![2; 48],
    };
    Request::Open { keys: vec![key; 3], who: "root".to_owned(), why: "a test".to_owned() }
}

#[test]
fn messages_read_back_as_written() {
    let requests = [
        Request::Create(vec![Recipient::Vendor, Recipient::Customer(CustomerId(7))]),
        Request::Tags(vec![]),
        Request::Known(None),
        Request::Known(Some(After(Recipient::Vendor))),
        open_request(),
    ];
    for request in requests {
        let bytes = encode(&request).expect("encoded");
        let found = read_all(&bytes).expect("read");
        assert_eq!(format!("{found:?}"), format!("{request:?}"));
    }
    let tag = Tag { recipient: Recipient::Vendor, key: [7; 32] };
    let bytes = encode(&Answer::Opened(vec![DataKey([3; 32])])).expect("encoded");
    let found = block_on(read::<Answer>(&mut &**bytes)).expect("read");
    assert!(matches!(&found, Answer::Opened(keys) if keys.first().is_some_and(|key| key.0 == [3; 32])));
    assert_eq!(format!("{found:?} {tag:?}"), "Opened([***]) ***");
}

#[test]
fn the_largest_answers_fit_a_message() {
    let keys = (0..ITEMS_MAX).map(|_| DataKey([0xff; 32])).collect();
    encode(&Answer::Opened(keys)).expect("fits");
    let tags = (0..ITEMS_MAX).map(|_| Tag { recipient: Recipient::Customer(CustomerId(u64::MAX)), key: [0xff; 32] });
    encode(&Answer::Tags(tags.collect())).expect("fits");
    let key = RecipientKey {
        recipient: Recipient::Customer(CustomerId(u64::MAX)),
        part: Part::Skeleton,
        period: u32::MAX,
        public: [0xff; 32],
        signature: [0xff; 64],
    };
    encode(&Answer::Keys(vec![key; 4 * ITEMS_MAX])).expect("fits");
}

#[test]
fn a_message_that_is_none_is_refused() {
    let whole = encode(&open_request()).expect("encoded");
    assert!(matches!(read_all(&[]), Err(Unread::Closed)));
    for len in 1..whole.len() {
        assert!(matches!(read_all(whole.get(..len).expect("within")), Err(Unread::Io(_))), "cut at {len}");
    }
    assert!(matches!(read_all(&[0xff; 8]), Err(Unread::Message(_))), "too long");
    assert!(matches!(read_all(&[0, 0, 0, 0]), Err(Unread::Message(_))), "nothing in it");
    let mut more = encode(&Request::Known(None)).expect("encoded").to_vec();
    more.push(0);
    *more.get_mut(3).expect("a length") += 1;
    assert!(matches!(read_all(&more), Err(Unread::Message(_))), "bytes left over");
}

#[test]
fn a_message_too_long_is_not_sent() {
    let huge = Request::Open { keys: vec![], who: "x".repeat(MESSAGE_BYTES_MAX), why: String::new() };
    assert!(matches!(encode(&huge), Err(Error::Message(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
        bytes.extend(body);
        let _request_or_refusal = read_all(&bytes);
    }
}
