use super::*;

/// What the walker tells of a stream, in words, when it comes in chunks of that size.
fn told(stream: &[u8], chunk_bytes: usize) -> Result<Vec<String>, Fault> {
    let mut walker = Walker::new();
    let mut told = Vec::new();
    for chunk in stream.chunks(chunk_bytes) {
        walker.walk(chunk, |message| told.push(word(message)))?;
    }
    if !walker.at_boundary() {
        told.push(format!("… {}", walker.unfinished_bytes()));
    }
    Ok(told)
}

fn word(message: Backend<'_>) -> String {
    match message {
        Backend::ErrorResponse(fields) | Backend::NoticeResponse(fields) => {
            let severity = String::from_utf8_lossy(fields.severity());
            format!("{severity} {} {}", fields.sqlstate(), fields.message())
        }
        Backend::ParameterDescription(types) => format!("types {:?}", types.iter().collect::<Vec<_>>()),
        Backend::CommandComplete { tag } => format!("tag {}", tag.escape_ascii()),
        other => format!("{other:?}"),
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short body");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

#[test]
fn a_result_is_told_message_by_message_however_it_is_cut() {
    let stream = [
        message(b'1', b""),
        message(b't', b"\0\x02\0\0\0\x17\0\0\0\x19"),
        message(b'T', &[b"\0\x01".to_vec(), vec![b'x'; 40]].concat()),
        message(b'D', b"\0\x01\0\0\0\x011"),
        message(b'D', &vec![0; 3000]),
        message(b'C', b"SELECT 2\0"),
        message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"),
        message(b'E', b"SFEHLER\0VERROR\0C22012\0Mdivision by zero\0\0"),
        message(b'S', b"TimeZone\0UTC\0"),
        message(b'A', b"\0\0\0\x07jobs\0payload\0"),
        message(b'H', b"\0\0\x02\0\0\0\0"),
        message(b'd', b"1\t2\n"),
        message(b'v', b"\0\x03\0\x02\0\0\0\0"),
        message(b'Z', b"T"),
    ]
    .concat();
    let whole = told(&stream, stream.len()).expect("valid");
    assert_eq!(
        whole,
        [
            "ParseComplete",
            "types [23, 25]",
            "RowDescription { columns: 1 }",
            "DataRow { bytes: 12 }",
            "DataRow { bytes: 3005 }",
            "tag SELECT 2",
            "NOTICE 00000 hello",
            "ERROR 22012 division by zero",
            "ParameterStatus { name: [84, 105, 109, 101, 90, 111, 110, 101], value: [85, 84, 67] }",
            "NotificationResponse { pid: 7, channel: [106, 111, 98, 115] }",
            "CopyOut { columns: 2 }",
            "CopyData { bytes: 9 }",
            "Other { tag: 118, bytes: 13 }",
            "ReadyForQuery(Block)",
        ]
    );
    for chunk_bytes in 1..40 {
        assert_eq!(told(&stream, chunk_bytes).as_ref(), Ok(&whole), "chunks of {chunk_bytes}");
    }
}

#[test]
fn an_unfinished_message_is_no_boundary() {
    assert_eq!(told(b"Z\0\0", 9), Ok(vec!["… 3".to_owned()]));
    assert_eq!(told(b"D\0\0\0\x08\0", 9), Ok(vec!["… 6".to_owned()]));
    assert_eq!(told(b"", 9), Ok(vec![]));
}

#[test]
fn an_error_larger_than_the_limit_is_cut_not_held() {
    let text = vec![b'x'; 3 * BODY_BYTES_MAX];
    let stream = [message(b'E', &[b"SERROR\0C22000\0M", &text[..], b"\0\0"].concat()), message(b'Z', b"I")].concat();
    for chunk_bytes in [stream.len(), 8192] {
        let told = told(&stream, chunk_bytes).expect("never fatal");
        assert_eq!(told.len(), 2);
        assert!(told.first().is_some_and(|error| error.starts_with("ERROR 22000 xxx") && error.len() < 9000));
    }
    let mut walker = Walker::new();
    for chunk in stream.chunks(8192) {
        walker.walk(chunk, |_| {}).expect("valid");
    }
    assert!(walker.body.capacity() <= BUFFER_BYTES_KEPT);
}

#[test]
fn rows_are_never_held() {
    let mut walker = Walker::new();
    let row = message(b'D', &vec![1; 4 << 20]);
    for chunk in row.chunks(4096) {
        walker.walk(chunk, |_| {}).expect("valid");
        assert_eq!(walker.body.capacity(), 0);
    }
    assert!(walker.at_boundary());
}

#[test]
fn an_error_without_a_sqlstate_or_an_end_is_still_one() {
    let cases: [(&[u8], &str); 4] = [
        (b"SERROR\0Mno code\0\0", "ERROR XX000 no code"),
        (b"SFATAL\0C57P01\0Mbye", "FATAL 57P01 bye"),
        (b"\0", " XX000 "),
        (b"", " XX000 "),
    ];
    for (body, expected) in cases {
        assert_eq!(told(&message(b'E', body), 4096), Ok(vec![expected.to_owned()]));
    }
}

#[test]
fn what_no_server_says_is_the_upstreams_fault() {
    let cases = [
        b"Z\0\0\0\x03".to_vec(),
        b"Z\xff\xff\xff\xff".to_vec(),
        message(b'Z', b"X"),
        message(b'Z', b"II"),
        message(b'C', b"SELECT 1"),
        message(b'C', b"SELECT 1\0\0"),
        message(b'1', b"x"),
        message(b't', b"\0\x02\0\0\0\x17"),
        message(b'S', b"name\0value"),
        message(b'R', b"\0"),
        message(b'G', b"\0"),
    ];
    for stream in cases {
        for chunk_bytes in [1, 4096] {
            let fault = told(&stream, chunk_bytes).expect_err("refused");
            assert_eq!(fault.sqlstate(), "08006", "{fault}");
        }
    }
}
