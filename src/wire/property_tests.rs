//! What holds for any input: nothing panics, chunks do not matter, pgwire agrees, and a body is neither shorter nor
//! longer than its structure.

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::copy::CopyFail;
use pgwire::messages::extendedquery as extended;
use pgwire::messages::simplequery::Query;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::wire::backend::Walker;
use crate::wire::frame::{self, Frame};
use crate::wire::frontend::{self, Frontend, Target};
use crate::wire::scram::{self, NONCE_BYTES, Verifier};
use crate::wire::{Fault, startup};

const FRAME_BYTES_MAX: usize = 4096;

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short body");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

fn decode(bytes: Vec<u8>) -> Result<Frontend, Fault> {
    Frame::new(bytes.into()).and_then(|frame| frontend::decode(&frame))
}

fn encoded(message: &impl Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes).expect("a message within its limits");
    bytes.to_vec()
}

/// A text as a C string can hold it.
fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,40}"
}

fn name(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn target() -> impl Strategy<Value = (Target, u8)> {
    prop_oneof![Just((Target::Statement, b'S')), Just((Target::Portal, b'P'))]
}

/// A message and the bytes that pgwire (for FunctionCall: the test) makes of it.
fn message() -> impl Strategy<Value = (Frontend, Vec<u8>)> {
    prop_oneof![
        text().prop_map(|text| (Frontend::Query { text: text.clone().into() }, encoded(&Query::new(text)))),
        (text(), text(), vec(any::<u32>(), 0..5)).prop_map(|(statement, text, types)| {
            let bytes = encoded(&extended::Parse::new(name(&statement), text.clone(), types.clone()));
            (Frontend::Parse { name: statement.into(), text: text.into(), types }, bytes)
        }),
        bind(),
        (text(), any::<i32>()).prop_map(|(portal, max_rows)| {
            let bytes = encoded(&extended::Execute::new(name(&portal), max_rows));
            (Frontend::Execute { portal: portal.into(), max_rows }, bytes)
        }),
        (target(), text()).prop_map(|((target, letter), text)| {
            let bytes = encoded(&extended::Describe::new(letter, name(&text)));
            (Frontend::Describe { target, name: text.into() }, bytes)
        }),
        (target(), text()).prop_map(|((target, letter), text)| {
            let bytes = encoded(&extended::Close::new(letter, name(&text)));
            (Frontend::Close { target, name: text.into() }, bytes)
        }),
        text().prop_map(|text| (Frontend::CopyFail { message: text.clone().into() }, encoded(&CopyFail::new(text)))),
        function_call(),
        Just((Frontend::Sync, encoded(&extended::Sync::new()))),
        Just((Frontend::Flush, encoded(&extended::Flush::new()))),
    ]
}

fn values() -> impl Strategy<Value = Vec<Option<Bytes>>> {
    vec(prop::option::of(vec(any::<u8>(), 0..20).prop_map(Bytes::from)), 0..5)
}

fn bind() -> impl Strategy<Value = (Frontend, Vec<u8>)> {
    (text(), text(), any::<bool>(), values(), vec(0u16..2, 0..4)).prop_map(
        |(portal, statement, one, values, result_formats)| {
            let formats: Vec<u16> = if one { vec![1] } else { values.iter().map(|_| 0).collect() };
            let signed = |formats: &[u16]| formats.iter().map(|format| format.cast_signed()).collect();
            let bytes = encoded(&extended::Bind::new(
                name(&portal),
                name(&statement),
                signed(&formats),
                values.clone(),
                signed(&result_formats),
            ));
            let (portal, statement) = (portal.into(), statement.into());
            (Frontend::Bind { portal, statement, formats, values, result_formats }, bytes)
        },
    )
}

fn function_call() -> impl Strategy<Value = (Frontend, Vec<u8>)> {
    (any::<u32>(), values(), 0u16..2).prop_map(|(oid, values, result_format)| {
        let mut body = BytesMut::new();
        body.put_u32(oid);
        body.put_u16(0);
        body.put_u16(u16::try_from(values.len()).expect("a few"));
        for value in &values {
            body.put_i32(value.as_ref().map_or(-1, |value| i32::try_from(value.len()).expect("short")));
            body.put_slice(value.as_deref().unwrap_or_default());
        }
        body.put_u16(result_format);
        (Frontend::FunctionCall { oid, formats: vec![], values, result_format }, framed(b'F', &body))
    })
}

/// What the walker tells of chunks, and whether it found a fault.
fn walked<'c>(chunks: impl Iterator<Item = &'c [u8]>) -> (Vec<String>, bool, usize) {
    let mut walker = Walker::new();
    let mut told = Vec::new();
    for chunk in chunks {
        if walker.walk(chunk, |message| told.push(format!("{message:?}"))).is_err() {
            return (told, true, 0);
        }
    }
    (told, false, walker.unfinished_bytes())
}

/// The stream cut at those places.
fn cut_at(stream: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (stream.len() + 1)).collect();
    places.sort_unstable();
    places.push(stream.len());
    let mut from = 0;
    places.into_iter().map(|to| stream.get(std::mem::replace(&mut from, to)..to).unwrap_or_default().to_vec()).collect()
}

/// A stream of messages that a server could send, of which some are not what their type says.
fn server_stream() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop::sample::select(b"RKSZCIENTD123tnsGHWdcVAv".to_vec());
    let valid = prop::sample::select(vec![
        framed(b'Z', b"I"),
        framed(b'C', b"SELECT 1\0"),
        framed(b'1', b""),
        framed(b'D', &[0; 300]),
        framed(b'S', b"TimeZone\0UTC\0"),
        framed(b'E', b"SERROR\0C22012\0Mno\0\0"),
        framed(b'A', b"\0\0\0\x01jobs\0\0"),
        framed(b't', b"\0\x01\0\0\0\x17"),
    ]);
    let lax = (tag, vec(any::<u8>(), 0..12)).prop_map(|(tag, body)| framed(tag, &body));
    vec(prop_oneof![8 => valid, 1 => lax], 0..20).prop_map(|messages| messages.concat())
}

proptest! {
    #[test]
    fn cutting_never_panics_and_chunks_do_not_matter(
        stream in prop_oneof![
            vec(any::<u8>(), 0..200),
            vec(message(), 0..6).prop_map(|messages| messages.into_iter().flat_map(|message| message.1).collect()),
        ],
        places in vec(any::<usize>(), 0..8),
    ) {
        let cut_all = |chunks: Vec<Vec<u8>>| {
            let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
            for chunk in chunks {
                buffer.extend_from_slice(&chunk);
                loop {
                    match frame::cut(&mut buffer, FRAME_BYTES_MAX) {
                        Ok(Some(frame)) => frames.push(Ok(frame)),
                        Ok(None) => break,
                        Err(fault) => {
                            frames.push(Err(fault));
                            return frames;
                        }
                    }
                }
            }
            frames
        };
        let whole = cut_all(vec![stream.clone()]);
        prop_assert_eq!(&cut_all(cut_at(&stream, &places)), &whole);
        let bytes: Vec<u8> = whole.iter().flatten().flat_map(|frame| frame.bytes().to_vec()).collect();
        prop_assert!(stream.starts_with(&bytes));
    }

    #[test]
    fn what_pgwire_encodes_decodes_to_the_same((expected, bytes) in message()) {
        prop_assert_eq!(decode(bytes), Ok(expected));
    }

    #[test]
    fn a_body_is_neither_shorter_nor_longer((_, bytes) in message(), by in 1usize..8, fill in any::<u8>()) {
        let (tag, body) = (bytes[0], bytes[5..].to_vec());
        for shorter in 0..body.len() {
            let fault = decode(framed(tag, &body[..shorter])).expect_err("shorter");
            prop_assert_eq!(fault.sqlstate(), "08P01");
        }
        let longer = [body, vec![fill; by]].concat();
        prop_assert_eq!(decode(framed(tag, &longer)).map_err(|fault| fault.sqlstate()), Err("08P01"));
    }

    /// Any body at all, or a valid one with a byte changed: valid or the client's fault, and pgwire never reads
    /// something else in what we call valid.
    #[test]
    fn decoding_never_panics_and_never_disagrees(
        tag in prop::sample::select(b"QPBEDCFSHXdcf".to_vec()),
        any_body in vec(any::<u8>(), 0..60),
        (_, changed) in message(),
        place in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut changed = changed;
        if changed.len() > 5 {
            let place = 5 + place.index(changed.len() - 5);
            changed[place] = to;
        }
        for bytes in [framed(tag, &any_body), changed] {
            if let Err(fault) = decode(bytes) {
                prop_assert_eq!(fault.sqlstate(), "08P01", "{}", fault);
            }
        }
    }

    #[test]
    fn walking_does_not_depend_on_chunks(
        stream in prop_oneof![server_stream(), vec(any::<u8>(), 0..100)],
        places in vec(any::<usize>(), 0..12),
    ) {
        let whole = walked(std::iter::once(stream.as_slice()));
        let chunks = cut_at(&stream, &places);
        prop_assert_eq!(walked(chunks.iter().map(Vec::as_slice)), whole.clone());
        prop_assert_eq!(walked(stream.chunks(1)), whole);
    }

    #[test]
    fn a_first_packet_never_panics(body in vec(any::<u8>(), 0..80), honest in any::<bool>(), ours in any::<bool>()) {
        let mut packet = body;
        if ours && packet.len() >= 8 {
            packet[4..8].copy_from_slice(&startup::VERSION_3_0.to_be_bytes());
        }
        if honest && packet.len() >= 4 {
            let length = u32::try_from(packet.len()).expect("short");
            packet[..4].copy_from_slice(&length.to_be_bytes());
        }
        if let Ok(startup::First::Startup(startup)) = startup::parse(&packet.into()) {
            let _ = startup::check_parameters(&startup);
        }
    }

    #[test]
    fn what_we_send_at_start_up_reads_back(pairs in vec(("[^\0]{1,20}", text()), 0..6)) {
        let texts: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let packet = startup::build_startup(startup::VERSION_3_2, &texts).expect("short");
        let parameters = pairs.iter().map(|(name, value)| (name.clone().into(), value.clone().into())).collect();
        let expected = startup::Startup { version: startup::VERSION_3_2, parameters };
        prop_assert_eq!(startup::parse(&packet), Ok(startup::First::Startup(expected)));
    }

    #[test]
    fn options_never_hold_another_user(options in "[-c =\\\\roleROLE_]{0,24}") {
        let pairs = [("user", "jane"), ("database", "acme"), ("options", options.as_str())];
        let packet = startup::build_startup(startup::VERSION_3_0, &pairs).expect("short");
        if let Ok(startup::First::Startup(startup)) = startup::parse(&packet) {
            let forwarded = startup::check_parameters(&startup).map(|checked| checked.forwarded).unwrap_or_default();
            prop_assert!(!forwarded.iter().any(|(name, _)| name.eq_ignore_ascii_case("role")));
        }
    }

    #[test]
    fn sign_in_never_panics(first in "(n,,|y,,)?(n=)?[ -~]{0,20}", last in "(c=biws,)?[ -~]{0,40}", stored in any::<String>()) {
        prop_assert!(stored.parse::<Verifier>().is_err());
        let mock = Verifier::mock(&[0; 32], "jane", std::num::NonZeroU32::MIN);
        if let Ok((challenged, _)) = scram::challenge(first.as_bytes(), mock, [0; NONCE_BYTES]) {
            prop_assert!(challenged.prove(last.as_bytes(), "jane").is_err());
        }
    }
}
