//! Frames that are not what they say: the session ends, the server sees nothing of it, the end is recorded. And COPY and
//! function calls where they are not permitted: the server says so, and nothing changes.

use portreeve::cli::demo::stage::said;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::ground::{Ground, PATIENCE};
use crate::packets::{frame, lying, query, start_up, strings};
use crate::wire::{Session, fatal, session, tags};

/// The largest frame of these tests' gate.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What stands in every text that no server may see.
const MARK: &str = "never-seen";

/// Each line of the server's log begins with its user, so that lines of the gate's sessions and of our own can be told
/// apart.
const WITH_USERS: (&str, &str) = ("log_line_prefix", "%u ");

/// What the server logs when a frame is not what it says. Each lie leaves one of these if it gets that far.
const COMPLAINTS: [&str; 12] = [
    "invalid message format",
    "insufficient data left in message",
    "no data left in message",
    "invalid string in message",
    "invalid message length",
    "invalid frontend message type",
    "message subtype",
    "bind message has",
    "function call message contains",
    "unnamed prepared statement does not exist",
    "incomplete message from client",
    "unexpected EOF within message length word",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_lies_ends_the_session_and_goes_nowhere() {
    let mut ground =
        Ground::with(&[("proxy", "frame_bytes_max = \"64KiB\"")], &[("log_statement", "all"), WITH_USERS]).await;
    ground.open("acme", "read");
    // Keeps the grant's login role while others come and go.
    let mut witness = session(&ground, "acme").await;
    lies(&mut ground, "acme").await;
    ground.holds().await;
    too_large(&mut ground, &mut witness).await;
    ground.holds().await;
    cut_off(&mut ground).await;
    ground.holds().await;
    // Statements of a writer go on only when they are durable: the other road through the gate.
    ground.open("globex", "write");
    let writer = session(&ground, "globex").await;
    lies(&mut ground, "globex").await;
    ground.holds().await;
    drop(writer);
    // The witness was not disturbed, and what it says does reach the server's log: the marks would have been seen.
    assert_eq!(tags(&witness.query("select 'the-witness'").await), "TDCZ");
    straight_to_the_server(&ground).await;
    let log = ground.server_log();
    let of_the_gate: Vec<&str> = log.lines().filter(|line| !line.starts_with("postgres ")).collect();
    let has = |text: &str| of_the_gate.iter().any(|line| line.contains(text));
    assert!(has("select 'the-witness'") && !has(MARK), "{of_the_gate:#?}");
    let complaints: Vec<_> = of_the_gate.iter().filter(|line| is_complaint(line)).collect();
    assert!(complaints.is_empty(), "the server was sent invalid frames: {complaints:#?}");
    let recorded = ground.records("statement", MARK);
    assert!(recorded.is_empty(), "an invalid frame is no statement: {recorded:?}");
}

fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|complaint| line.contains(complaint))
}

/// Without a gate in between the server does complain of each lie, in the words that are looked for.
async fn straight_to_the_server(ground: &Ground) {
    let cluster = &ground.stage.cluster;
    let socket = cluster.socket_directory().join(format!(".s.PGSQL.{}", cluster.port()));
    let mut lies = lying_frames();
    lies.extend([("half a frame", half()), ("just a header", header_of_nearly_a_gib())]);
    for (what, lie) in lies {
        let before = ground.server_log().lines().count();
        let mut server = UnixStream::connect(&socket).await.expect("the server listens");
        let hello = start_up(3, 0, &[("user", "postgres"), ("database", "acme")]);
        server.write_all(&[hello, lie].concat()).await.expect("the server reads");
        server.shutdown().await.expect("a socket");
        // The server may have closed on unread bytes.
        timeout(PATIENCE, server.read_to_end(&mut Vec::new())).await.expect("an end").map(drop).unwrap_or_default();
        let log = ground.server_log();
        let said: Vec<&str> = log.lines().skip(before).filter(|line| line.starts_with("postgres ")).collect();
        assert!(said.iter().any(|line| is_complaint(line)), "{what}: the server said {said:#?}");
    }
}

/// Frames that no server would take, by what is wrong with them.
fn lying_frames() -> Vec<(&'static str, Vec<u8>)> {
    let marked = format!("select '{MARK}'");
    let with = |tag: u8, parts: &[&[u8]]| frame(tag, &parts.concat());
    let text = strings(&[&marked]);
    let parse = strings(&["", &marked]);
    let bind = strings(&["", ""]);
    let mark = [&[0, 0, 0, 10][..], MARK.as_bytes()].concat();
    let swallowed = [&text[..], &query(&marked)].concat();
    vec![
        ("Query without NUL", frame(b'Q', marked.as_bytes())),
        ("Query with two NULs", with(b'Q', &[&text, b"\0"])),
        ("Query with text after its NUL", with(b'Q', &[b"select 1\0", &text])),
        ("Query without a body", frame(b'Q', b"")),
        ("Query cut short by its length", lying(b'Q', 4 + text.len() - 1, &text)),
        ("Query that swallows the next", lying(b'Q', 4 + swallowed.len(), &swallowed)),
        ("length 3", lying(b'Q', 3, &text)),
        ("length 0", lying(b'Q', 0, &text)),
        ("length below zero", lying(b'Q', 0x8000_0000, &text)),
        ("length -1", lying(b'Q', 0xffff_ffff, &text)),
        ("length above PostgreSQL's own limit", lying(b'Q', 0x3fff_ffff, &text)),
        ("Parse with more types than are there", with(b'P', &[&parse, &[0, 2, 0, 0, 0, 23]])),
        ("Parse with fewer types than are there", with(b'P', &[&parse, &[0, 0, 0, 0, 0, 23]])),
        ("Parse with 65535 types", with(b'P', &[&parse, &[0xff, 0xff]])),
        ("Parse with half a type", with(b'P', &[&parse, &[0, 1, 0, 0]])),
        ("Parse without a count", frame(b'P', &parse)),
        ("Parse with half a count", with(b'P', &[&parse, &[0]])),
        ("Parse without the text's NUL", with(b'P', &[b"\0", marked.as_bytes()])),
        ("Parse of two NULs", frame(b'P', b"\0\0")),
        (
            "Bind with two formats for three values",
            with(b'B', &[&bind, &[0, 2, 0, 0, 0, 0, 0, 3], &mark, &mark, &mark, &[0, 0]]),
        ),
        ("Bind with more values than are there", with(b'B', &[&bind, &[0, 0, 0, 2], &mark, &[0, 0]])),
        ("Bind with fewer values than are there", with(b'B', &[&bind, &[0, 0, 0, 0], &mark, &[0, 0]])),
        ("Bind with a value longer than the frame", with(b'B', &[&bind, &[0, 0, 0, 1, 0, 0, 1, 0], MARK.as_bytes()])),
        ("Bind with a value of -2 bytes", with(b'B', &[&bind, &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 0, 0]])),
        ("Bind with a value of 2 GiB", with(b'B', &[&bind, &[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0]])),
        ("Bind with more result formats than are there", with(b'B', &[&bind, &[0, 0, 0, 1], &mark, &[0, 9, 0, 1]])),
        ("Bind with something left over", with(b'B', &[&bind, &[0, 0, 0, 1], &mark, &[0, 0], b"!"])),
        ("Bind without names", frame(b'B', b"")),
        ("Execute without a limit", frame(b'E', b"\0")),
        ("Execute with half a limit", frame(b'E', b"\0\0\0\0")),
        ("Execute with something left over", frame(b'E', b"\0\0\0\0\0\0")),
        ("Describe of neither", frame(b'D', b"X\0")),
        ("Describe without a name", frame(b'D', b"S")),
        ("Describe of two names", frame(b'D', b"S\0\0")),
        ("Close of neither", frame(b'C', b"Q\0")),
        ("Close without NUL", frame(b'C', b"Pportal")),
        ("Sync with a body", frame(b'S', b"x")),
        ("Sync larger than any", lying(b'S', 10_001, b"")),
        ("Flush with a body", frame(b'H', MARK.as_bytes())),
        ("FunctionCall with more values than are there", frame(b'F', &[0, 0, 3, 0xbd, 0, 0, 0, 2, 0, 0])),
        ("a password in the middle of a session", frame(b'p', b"secret\0")),
        ("a server's message", frame(b'Z', b"I")),
        ("an unknown type", frame(b'z', MARK.as_bytes())),
        ("type 0", frame(0, b"")),
        ("type 255", frame(255, MARK.as_bytes())),
        ("a second start-up packet", start_up(3, 0, &[("user", "postgres"), ("database", MARK)])),
    ]
}

/// Each lie in a session of its own, with a proper frame behind it in the same piece.
async fn lies(ground: &mut Ground, customer: &str) {
    for (what, lie) in lying_frames() {
        let mut session = session(ground, customer).await;
        let after = query(&format!("select '{MARK} after {what}'"));
        session.wire.send(&[lie, after].concat()).await;
        ended(ground, session, what, "08P01", "invalid-frame").await;
    }
    // A proper statement before the lie is recorded before anything becomes of it.
    let mut session = session(ground, customer).await;
    let before = format!("select 'before the lie at {customer}'");
    session.wire.send(&[query(&before), frame(b'Q', MARK.as_bytes())].concat()).await;
    let messages = session.wire.rest().await;
    assert_eq!(fatal(&messages).sqlstate(), "08P01");
    ground.expect_ended(session.wire.address, "invalid-frame", "08P01");
    ground.expect(before, "statement", "query", "");
}

/// The session gets that one message and nothing more, and its end is recorded.
async fn ended(ground: &mut Ground, mut session: Session, what: &str, sqlstate: &'static str, verb: &'static str) {
    let messages = session.wire.rest().await;
    let told = (tags(&messages), messages.last().map(|message| message.sqlstate()));
    assert_eq!(told, ("E".to_owned(), Some(sqlstate.to_owned())), "{what}: {messages:?}");
    assert!(!fatal(&messages).field(b'H').is_empty(), "{what}: {messages:?}");
    ground.expect_ended(session.wire.address, verb, sqlstate);
}

async fn too_large(ground: &mut Ground, witness: &mut Session) {
    let of_size = |bytes: usize, text: &str| {
        let filler = " ".repeat(bytes - 5 - 1 - text.len());
        query(&format!("{text}{filler}"))
    };
    let largest = of_size(FRAME_BYTES_MAX, "select 'the-largest'");
    assert_eq!(largest.len(), FRAME_BYTES_MAX);
    witness.wire.send(&largest).await;
    assert_eq!(tags(&witness.wire.until(b'Z').await), "TDCZ");
    let marked = format!("select '{MARK}'");
    let many_types = [&strings(&["", &marked])[..], &20_000_u16.to_be_bytes(), &[0; 80_000]].concat();
    for (what, sent) in [
        ("one byte more", of_size(FRAME_BYTES_MAX + 1, &marked)),
        ("a MiB, sent whole", of_size(1 << 20, &marked)),
        ("just a header of nearly 1 GiB", header_of_nearly_a_gib()),
        ("a Parse", frame(b'P', &many_types)),
        ("a Bind", lying(b'B', FRAME_BYTES_MAX, MARK.as_bytes())),
        ("CopyData", lying(b'd', FRAME_BYTES_MAX, MARK.as_bytes())),
    ] {
        let mut session = session(ground, "acme").await;
        session.wire.send(&sent).await;
        ended(ground, session, what, "54000", "invalid-frame").await;
    }
}

fn half() -> Vec<u8> {
    lying(b'Q', 1000, format!("select '{MARK}'").as_bytes())
}

fn header_of_nearly_a_gib() -> Vec<u8> {
    lying(b'Q', 0x3fff_fffe, b"")
}

/// Half a frame, then the connection closes or breaks: nothing of it goes on.
async fn cut_off(ground: &mut Ground) {
    for orderly in [true, false] {
        let mut session = session(ground, "acme").await;
        session.wire.send(&half()).await;
        if orderly {
            session.wire.stream.shutdown().await.expect("close_notify is sent");
            assert_eq!(tags(&session.wire.rest().await), "");
        }
        let address = session.wire.address;
        drop(session);
        ground.expect_ended(address, "client-gone", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_and_function_calls_of_a_reader_change_nothing() {
    let mut ground = Ground::with(&[], &[]).await;
    let before = contents(&ground).await;
    ground.open("acme", "read");
    not_permitted(&mut ground).await;
    ground.holds().await;
    real_psql(&mut ground).await;
    ground.holds().await;
    assert_eq!(contents(&ground).await, before);
    // The other direction is let through, in full.
    let output = ground.psql(&ground.stage.conninfo("acme"), "copy (select generate_series(1, 3)) to stdout");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout) == "1\n2\n3\n", "{}", said(&output));
}

/// What COPY FROM STDIN and large objects would change.
async fn contents(ground: &Ground) -> Vec<Vec<Option<String>>> {
    let sql = "select (select count(*) from contacts), (select count(*) from pg_largeobject_metadata)";
    ground.stage.cluster.run_sql("acme", sql).await.expect("the server answers")
}

/// Sent without waiting for an answer, and a statement behind it.
async fn not_permitted(ground: &mut Ground) {
    let copy = "copy contacts (full_name, email, company, city, country, created_at) from stdin";
    let row = frame(b'd', b"Eve\teve@example.com\tNone\tNowhere\tNO\t2026-01-01\n");
    let (done, sync) = (frame(b'c', b""), frame(b'S', b""));
    let extended =
        [frame(b'P', &[&strings(&["", copy])[..], &[0, 0]].concat()), frame(b'B', &[0; 8]), frame(b'E', &[0; 5])]
            .concat();
    let and_begin = query(&format!("begin; {copy}; commit"));
    // lo_creat(-1): format binary, one value of four bytes, result binary.
    let lo_creat = frame(b'F', &[0, 0, 3, 0xbd, 0, 1, 0, 1, 0, 1, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 1]);
    for (what, sent, answer) in [
        ("COPY", query(copy), "EZTDCZ"),
        ("COPY with all its data in one piece", [query(copy), row.clone(), done.clone()].concat(), "EZTDCZ"),
        ("COPY among others", [and_begin, row.clone(), done.clone()].concat(), "CEZEZ"),
        ("COPY by the extended protocol", [&extended[..], &sync].concat(), "12EZTDCZ"),
        ("the same with all its data", [&extended[..], &row, &done, &sync].concat(), "12EZTDCZ"),
        ("data without a COPY", [row.clone(), done.clone()].concat(), "TDCZ"),
        ("the end of a COPY that is none", done.clone(), "TDCZ"),
        ("the failure of a COPY that is none", frame(b'f', b"why\0"), "TDCZ"),
        ("a function call", lo_creat, "EZTDCZ"),
    ] {
        let mut session = session(ground, "acme").await;
        session.wire.send(&[&sent[..], &query("select 'behind it'"), &frame(b'X', b"")].concat()).await;
        let messages = session.wire.rest().await;
        assert_eq!(tags(&messages), answer, "{what}: {messages:?}");
        ground.expect_ended(session.wire.address, "client-left", "");
    }
    ground.expect(copy, "statement", "query", "42501");
}

/// psql's own ways to the same.
async fn real_psql(ground: &mut Ground) {
    let gate = ground.stage.conninfo("acme");
    ground.stage.write_secret("rows", "Eve\teve@example.com\tNone\tNowhere\tNO\t2026-01-01").expect("a file");
    let rows = ground.stage.path("rows");
    let copy =
        format!("\\copy contacts (full_name, email, company, city, country, created_at) from '{}'", rows.display());
    for command in [copy, format!("\\lo_import '{}'", rows.display())] {
        let output = ground.psql(&gate, &command);
        let text = said(&output);
        assert!(!output.status.success() && text.contains("permission denied"), "{command}: {text}");
    }
}
