//! Tests as transcripts: `C:` a client's frame, `S:` the server's messages, `=` what the session made of it, `?:` a
//! question to the session. Messages are written in words.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use crate::clock::Timestamp;
use crate::session::{Copied, Event, Session, Statement, Step};
use crate::wire::Fault;
use crate::wire::frame::Frame;

/// Runs a transcript's `C:` and `S:` lines and holds the `=` lines against what comes, with the server's bytes in one
/// piece and byte by byte.
pub(super) fn holds(transcript: &str) {
    let expected: Vec<&str> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for chunk_bytes in [usize::MAX, 1] {
        let mut session = Session::new(Timestamp(0));
        session.learn("client_encoding", "UTF8");
        let mut told = Vec::new();
        for line in expected.iter().filter(|line| !line.starts_with('=')) {
            told.push((*line).to_owned());
            told.extend(run(&mut session, line, chunk_bytes));
        }
        assert_eq!(told.join("\n"), expected.join("\n"), "in chunks of {chunk_bytes}");
    }
}

fn run(session: &mut Session, line: &str, chunk_bytes: usize) -> Vec<String> {
    if let Some(message) = line.strip_prefix("C: ") {
        let mut words = vec![match session.client(&client(message), Timestamp(0)) {
            Ok(step) => step_words(&step),
            Err(fault) => format!("= fault {} {fault}", fault.sqlstate()),
        }];
        let mut events = Vec::new();
        session.told(&mut events);
        words.extend(events.iter().map(event_words));
        return words;
    }
    if line == "?: unanswered" {
        return vec![format!("= {:?}", session.unanswered())];
    }
    let messages = line.strip_prefix("S: ").expect("a line is C:, S:, ?: or =").split(" | ");
    let stream: Vec<u8> = messages.flat_map(server).collect();
    let mut events = Vec::new();
    let read = stream.chunks(chunk_bytes.min(stream.len()));
    let read = read.map(|chunk| session.server(chunk, Timestamp(0), &mut events)).collect::<Result<Vec<()>, Fault>>();
    let mut words: Vec<String> = events.iter().map(event_words).collect();
    words.extend(read.err().map(|fault| format!("= fault {} {fault}", fault.sqlstate())));
    words
}

fn text(body: &mut BytesMut, text: &str) {
    body.put_slice(if text == "-" { b"" } else { text.as_bytes() });
    body.put_u8(0);
}

fn parse(body: &mut BytesMut, words: &str) {
    let (name, words) = words.split_once(' ').expect("a name");
    let (sql, types) = words.split_once(" :: ").unwrap_or((words, ""));
    text(body, name);
    text(body, sql);
    let types: Vec<u32> = types.split_whitespace().map(|oid| oid.parse().expect("an OID")).collect();
    body.put_u16(types.len() as u16);
    types.into_iter().for_each(|oid| body.put_u32(oid));
}

fn bind(body: &mut BytesMut, words: &str) {
    let mut words = words.splitn(3, ' ');
    text(body, words.next().expect("a portal"));
    text(body, words.next().expect("a statement"));
    let values: Vec<&str> = words.next().map(|values| values.split('|').collect()).unwrap_or_default();
    body.put_u16(0);
    body.put_u16(values.len() as u16);
    for value in values {
        body.put_u32(value.len() as u32);
        body.put_slice(value.as_bytes());
    }
    body.put_u16(0);
}

/// A frame from words; `-` is the unnamed one, `|` divides values.
pub(super) fn client(words: &str) -> Frame {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let mut body = BytesMut::new();
    let tag = match verb {
        "Query" => {
            text(&mut body, rest);
            b'Q'
        }
        "Parse" => {
            parse(&mut body, rest);
            b'P'
        }
        "Bind" => {
            bind(&mut body, rest);
            b'B'
        }
        "Execute" => {
            let (portal, rows) = rest.split_once(' ').unwrap_or((rest, "0"));
            text(&mut body, portal);
            body.put_i32(rows.parse().expect("a limit"));
            b'E'
        }
        "Describe" | "Close" => {
            let (target, name) = rest.split_once(' ').expect("a target");
            body.put_slice(target.as_bytes());
            text(&mut body, name);
            if verb == "Close" { b'C' } else { b'D' }
        }
        "FunctionCall" => {
            let (oid, value) = rest.split_once(' ').expect("a function and a value");
            body.put_u32(oid.parse().expect("an OID"));
            body.put_slice(&[0, 0, 0, 1]);
            body.put_u32(value.len() as u32);
            body.put_slice(value.as_bytes());
            body.put_u16(0);
            b'F'
        }
        "CopyData" => {
            body.put_slice(rest.replace("\\n", "\n").as_bytes());
            b'd'
        }
        "CopyFail" => {
            text(&mut body, rest);
            b'f'
        }
        "Garbage" => {
            body.put_slice(b"select 1");
            b'Q'
        }
        "CopyDone" => b'c',
        "Sync" => b'S',
        "Flush" => b'H',
        "Terminate" => b'X',
        other => panic!("what is {other}?"),
    };
    Frame::new(framed(tag, &body).into()).expect("one frame")
}

/// The server's message from words.
pub(super) fn server(words: &str) -> Vec<u8> {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let report = |severity: &str| {
        let (code, text) = rest.split_once(' ').expect("a code and a text");
        format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0").into_bytes()
    };
    let (tag, body) = match verb {
        "ParseComplete" => (b'1', vec![]),
        "BindComplete" => (b'2', vec![]),
        "CloseComplete" => (b'3', vec![]),
        "NoData" => (b'n', vec![]),
        "PortalSuspended" => (b's', vec![]),
        "EmptyQuery" => (b'I', vec![]),
        "RowDescription" => (b'T', vec![0, 0]),
        "Types" => {
            let oids: Vec<u32> = rest.split(' ').map(|oid| oid.parse().expect("an OID")).collect();
            let count = (oids.len() as u16).to_be_bytes().to_vec();
            (b't', [count, oids.into_iter().flat_map(u32::to_be_bytes).collect()].concat())
        }
        "Row" => (b'D', vec![0, 1, 0, 0, 0, 1, b'1']),
        "CopyIn" => (b'G', vec![0, 0, 0]),
        "CopyInBinary" => (b'G', vec![1, 0, 0]),
        "Function" => (b'V', vec![0, 0, 0, 1, b'7']),
        "CopyOut" => (b'H', vec![0, 0, 0]),
        "CopyData" => (b'd', b"1\n".to_vec()),
        "CopyDone" => (b'c', vec![]),
        "Complete" => (b'C', [rest.as_bytes(), b"\0"].concat()),
        "Error" => (b'E', report("ERROR")),
        "Fatal" => (b'E', report("FATAL")),
        "Notice" => (b'N', report("NOTICE")),
        "Notify" => (b'A', [&[0, 0, 0, 9], rest.as_bytes(), b"\0secret\0"].concat()),
        "Status" => (b'S', [rest.replace(' ', "\0").as_bytes(), b"\0"].concat()),
        "Key" => (b'K', vec![0; 8]),
        "Ready" => (b'Z', rest.as_bytes().to_vec()),
        other => panic!("what is {other}?"),
    };
    framed(tag, &body)
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn step_words(step: &Step) -> String {
    let statement = match step {
        Step::Gate(statement) => statement,
        Step::Pass => return "= pass".to_owned(),
        Step::Copy(_) => return "= copy".to_owned(),
        Step::Terminate => return "= terminate".to_owned(),
    };
    let Statement { frame, verb, durable_first, skeleton, values } = statement;
    assert_eq!(*durable_first, *verb == "copy-done");
    assert_eq!((skeleton.frame, skeleton.verb.as_deref()), (Some(*frame), Some(*verb)));
    let mut words = format!("= {frame} {verb}");
    for (what, bytes) in [("s", &values.statement), ("p", &values.portal), ("text", &values.text)] {
        if let Some(bytes) = bytes {
            write!(words, " {what}={:?}", String::from_utf8_lossy(bytes)).expect("memory");
        }
    }
    for bind in values.binds.iter().flatten() {
        let value = bind.value.as_deref().map(String::from_utf8_lossy);
        write!(words, " {}:{}", bind.type_oid, value.unwrap_or("NULL".into())).expect("memory");
    }
    words.extend(skeleton.function.map(|oid| format!(" function={oid}")));
    words.extend(skeleton.copied_bytes.map(|bytes| format!(" copied={bytes}")));
    words.extend(skeleton.copied_lines.map(|lines| format!(" lines={lines}")));
    words.extend(skeleton.begun_by.map(|frame| format!(" of frame {frame}")));
    words.extend(values.digest.as_ref().map(|digest| format!(" digest={}", start(digest))));
    for part in [skeleton.row_limit.map(|limit| format!("limit={limit}")), skeleton.result.clone()] {
        words.extend(part.map(|part| format!(" {part}")));
    }
    if let Some(relations) = &skeleton.relations {
        write!(words, " of {}", relations.join(",")).expect("memory");
    }
    let encoding = values.encoding.as_deref().expect("always there");
    words.extend(Some(format!(" in {encoding}")).filter(|_| encoding != "UTF8"));
    words
}

/// The first bytes of a digest.
fn start(digest: &[u8]) -> String {
    digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect()
}

fn event_words(event: &Event) -> String {
    match event {
        Event::Outcome(outcome) => {
            let mut words = format!("= {} {}", outcome.frame, outcome.result.word());
            let (rows, bytes) = (outcome.rows, outcome.bytes);
            let counted = (bytes > 0).then(|| format!("rows={rows} bytes={bytes}"));
            let tag = outcome.tag.as_ref().map(|tag| format!("({tag})"));
            let copied = |copied: &Copied| format!("copied={} digest={}", copied.bytes, start(&copied.digest));
            let copied = outcome.copied.as_ref().map(copied);
            for part in [tag, outcome.sqlstate.clone(), outcome.message.clone(), counted, copied].into_iter().flatten()
            {
                write!(words, " {part}").expect("memory");
            }
            words
        }
        Event::CopyInStarted => "= copy in".to_owned(),
        Event::CopyBothStarted => "= copy both".to_owned(),
        Event::Notification { channel } => format!("= notified {}", channel.escape_ascii()),
        Event::ParameterStatus { name, value } => format!("= {name} is {value}"),
        Event::ReadyForQuery(status) => format!("= ready {}", char::from(status.byte())),
        Event::Fatal { sqlstate, message } => format!("= fatal {sqlstate} {message}"),
    }
}
