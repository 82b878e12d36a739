use super::*;

#[test]
fn a_frame_is_cut_when_it_is_whole_and_keeps_its_bytes() {
    let mut buffer = BytesMut::from(&b"Q\0\0\0\x0dselect 1\0S\0\0\0\x04X\0"[..]);
    let query = cut(&mut buffer, 1024).expect("valid").expect("whole");
    assert_eq!((query.tag(), query.body().as_ref()), (b'Q', &b"select 1\0"[..]));
    assert_eq!(query.bytes().as_ref(), b"Q\0\0\0\x0dselect 1\0");
    let sync = cut(&mut buffer, 1024).expect("valid").expect("whole");
    assert_eq!((sync.tag(), sync.body().len()), (b'S', 0));
    assert_eq!(cut(&mut buffer, 1024), Ok(None));
    assert_eq!(buffer.as_ref(), b"X\0");
}

#[test]
fn what_the_header_shows_is_refused_before_the_body_comes() {
    let cases: [(&[u8], &str, &str); 8] = [
        (b"Q\0\0\0\x03", "08P01", "invalid length 3 of frontend message \"Q\""),
        (b"Q\xff\xff\xff\xff", "08P01", "invalid length -1 of frontend message \"Q\""),
        (b"Q\x40\0\0\0", "08P01", "invalid length 1073741824 of frontend message \"Q\""),
        (b"E\0\0\x27\x11", "08P01", "invalid length 10001 of frontend message \"E\""),
        (b"S\0\0\x27\x11", "08P01", "invalid length 10001 of frontend message \"S\""),
        (b"GET /", "08P01", "invalid frontend message type 71"),
        (b"\x16\x03\x01\x02\0", "08P01", "invalid frontend message type 22"),
        (b"B\0\0\x08\0", "54000", "frontend message \"B\" has 2049 bytes, and at most 1024 are accepted"),
    ];
    for (bytes, sqlstate, text) in cases {
        let fault = cut(&mut BytesMut::from(bytes), 1024).expect_err(text);
        assert_eq!((fault.sqlstate(), fault.to_string().as_str()), (sqlstate, text));
    }
}

#[test]
fn four_bytes_are_no_header_yet() {
    assert_eq!(header(b"Q\0\0\0"), Ok(None));
    assert_eq!(header(b"Q\0\0\0\x04"), Ok(Some(Header { tag: b'Q', total: 5 })));
}

#[test]
fn a_frame_is_exactly_one_frame() {
    assert!(Frame::new(Bytes::from_static(b"S\0\0\0\x04")).is_ok());
    assert!(Frame::new(Bytes::from_static(b"S\0\0\0\x04S")).is_err());
    assert!(Frame::new(Bytes::from_static(b"S\0\0\0\x05")).is_err());
    assert!(Frame::new(Bytes::new()).is_err());
}
