use super::*;

fn frame(tag: u8, body: &[u8]) -> Frame {
    let length = u32::try_from(body.len() + 4).expect("a short body");
    Frame::new([&[tag], &length.to_be_bytes()[..], body].concat().into()).expect("one frame")
}

fn bytes(text: &'static [u8]) -> Bytes {
    Bytes::from_static(text)
}

#[test]
fn each_message_is_read() {
    let cases = [
        (frame(b'Q', b"select 1\0"), Frontend::Query { text: bytes(b"select 1") }),
        (frame(b'Q', b"\0"), Frontend::Query { text: Bytes::new() }),
        (
            frame(b'P', b"s1\0select $1\0\0\x02\0\0\0\x17\0\0\0\0"),
            Frontend::Parse { name: bytes(b"s1"), text: bytes(b"select $1"), types: vec![23, 0] },
        ),
        (
            frame(b'B', b"p\0s\0\0\x01\0\x01\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0\0\x02\0\0\0\x01"),
            Frontend::Bind {
                portal: bytes(b"p"),
                statement: bytes(b"s"),
                formats: vec![1],
                values: vec![Some(bytes(b"ab")), None, Some(Bytes::new())],
                result_formats: vec![0, 1],
            },
        ),
        (frame(b'E', b"\0\0\0\0\x05"), Frontend::Execute { portal: Bytes::new(), max_rows: 5 }),
        (frame(b'D', b"Sx\0"), Frontend::Describe { target: Target::Statement, name: bytes(b"x") }),
        (frame(b'C', b"P\0"), Frontend::Close { target: Target::Portal, name: Bytes::new() }),
        (
            frame(b'F', b"\0\0\x03\xbb\0\0\0\x01\0\0\0\x01x\0\x01"),
            Frontend::FunctionCall { oid: 955, formats: vec![], values: vec![Some(bytes(b"x"))], result_format: 1 },
        ),
        (frame(b'S', b""), Frontend::Sync),
        (frame(b'H', b""), Frontend::Flush),
        (frame(b'X', b""), Frontend::Terminate),
        (frame(b'd', b"1\t2\n"), Frontend::CopyData { len: 4 }),
        (frame(b'c', b""), Frontend::CopyDone),
        (frame(b'f', b"no\0"), Frontend::CopyFail { message: bytes(b"no") }),
    ];
    for (frame, message) in cases {
        assert_eq!(decode(&frame), Ok(message));
    }
}

#[test]
fn text_in_another_encoding_keeps_its_bytes() {
    let text = decode(&frame(b'Q', b"select '\xe4\x83'\0")).expect("valid");
    assert_eq!(text, Frontend::Query { text: bytes(b"select '\xe4\x83'") });
}

/// Each of these would make a looser reader see something else than PostgreSQL does.
#[test]
fn what_postgresql_refuses_is_refused() {
    let cases: [(u8, &[u8], &str); 17] = [
        (b'Q', b"select 1", "invalid string"),
        (b'Q', b"", "invalid string"),
        (b'Q', b"select 1\0; drop table t\0", "left over"),
        (b'P', b"\0\0", "insufficient data"),
        (b'P', b"\0select\0\0\x02\0\0\0\x17", "insufficient data"),
        (b'P', b"\0select\0\0\0\0", "left over"),
        (b'B', b"\0\0\0\0\0\x01\0\0\0\x09abc\0\0", "insufficient data"),
        (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "insufficient data"),
        (b'B', b"\0\0\0\x02\0\0\0\0\0\x01\xff\xff\xff\xff\0\0", "2 parameter formats but 1 parameters"),
        (b'B', b"\0\0\xff\xff\0\0", "insufficient data"),
        (b'E', b"\0\0\0\0", "insufficient data"),
        (b'D', b"X\0", "invalid target \"X\""),
        (b'C', b"", "insufficient data"),
        (b'F', b"\0\0\0\x01\0\0\0\x02\xff\xff\xff\xff\0\0", "insufficient data"),
        (b'S', b"\0", "left over"),
        (b'X', b"x", "left over"),
        (b'p', b"secret\0", "invalid frontend message type 112"),
    ];
    for (tag, body, part) in cases {
        let fault = decode(&frame(tag, body)).expect_err(part);
        assert_eq!(fault.sqlstate(), "08P01");
        assert!(fault.to_string().contains(part), "{fault}");
    }
}
