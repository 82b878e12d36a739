//! Frames no usual driver sends: pipelines without Sync, errors in their middle, names made by SQL, row limits.

use portreeve::cli::demo::stage::Stage;

use super::ground::CUSTOMER;
use super::oracle::{Oracle, Told, outcome, text_of};
use super::socket::{Frames, Socket};

/// More frames than wait for their records at once.
const MANY: usize = 500;

/// The same frames through the gate and past it: the same bytes come back.
pub(crate) async fn plays(stage: &Stage, oracle: &mut Oracle<'_>, gate: &str) {
    let mut gated = Socket::at_the_gate(stage).await;
    let mut direct = Socket::direct(&stage.cluster, CUSTOMER).await;
    let (mut rows, mut bytes) = (0, 0);
    for (what, frames, until, count) in scenes() {
        let mut answers = Vec::new();
        for socket in [&mut gated, &mut direct] {
            socket.send(Frames(frames.clone())).await;
            answers.push(socket.up_to(until, count).await);
        }
        let (direct, gated) = (answers.pop().expect("two"), answers.pop().expect("one"));
        assert!(gated == direct, "{what}: {}", direct.concat().escape_ascii());
        for row in direct.iter().filter(|message| message[0] == b'D') {
            (rows, bytes) = (rows + 1, bytes + row.len() as u64);
        }
    }
    assert!(gated.is_silent().await);
    gated.leave().await;
    let told = oracle.settle_one().await;
    assert_eq!((told.gate(), told.application.as_str()), (gate, "frames"));
    is_told(&told);
    let figures = told.statements.iter().map(|found| &outcome(found).skeleton);
    let counted = figures
        .fold((0, 0), |(rows, bytes), of| (rows + of.rows.unwrap_or_default(), bytes + of.bytes.unwrap_or_default()));
    assert_eq!(counted, (rows, bytes), "rows and their bytes");
}

/// What is sent in one write, and up to which message the answer is read.
fn scenes() -> Vec<(&'static str, bytes::BytesMut, u8, usize)> {
    let f = Frames::default;
    let three = f()
        .parse("", "select $1::int4")
        .bind("", "", &["1"])
        .execute("", 0)
        .parse("", "select $1::text")
        .bind("", "", &["two"])
        .execute("", 0)
        .parse("named", "select generate_series(1, $1)")
        .bind("portal", "named", &["3"])
        .execute("portal", 0);
    let failing = f()
        .parse("", "select 'before'")
        .bind("", "", &[])
        .execute("", 0)
        .parse("", "select 1 / (g - $1) from generate_series(1, 3) g")
        .bind("", "", &["2"])
        .describe(b'P', "")
        .execute("", 0)
        .parse("lost", "select 'skipped'")
        .bind("", "lost", &[])
        .execute("", 0)
        .close(b'S', "lost")
        .sync();
    let several = f()
        .parse("", "no sql")
        .bind("", "", &[])
        .sync()
        .query("select 'between'; select 'two'")
        .bind("", "named", &["2"])
        .describe(b'P', "")
        .execute("", 0)
        .sync()
        .bind("", "lost", &[])
        .execute("", 0)
        .sync();
    let limited = f()
        .query("begin")
        .bind("slow", "named", &["5"])
        .execute("slow", 2)
        .execute("slow", 2)
        .flush()
        .execute("slow", 2)
        .execute("slow", 2)
        .close(b'P', "slow")
        .sync()
        .query("commit");
    let by_sql = f()
        .query("prepare by_sql(int) as select $1 * 2")
        .bind("", "by_sql", &["21"])
        .execute("", 0)
        .sync()
        .query("begin; declare cur cursor for select generate_series(1, 4)")
        .execute("cur", 3)
        .sync()
        .query("rollback; deallocate by_sql")
        .bind("", "by_sql", &["1"])
        .sync();
    let odd = f()
        .query("")
        .parse("", "")
        .bind("", "", &[])
        .execute("", 0)
        .describe(b'S', "named")
        .sync()
        .sync()
        .flush()
        .sync()
        .close(b'S', "never made")
        .close(b'P', "never made")
        .sync()
        .query("set client_encoding to latin1");
    let latin1 = f()
        .parse("latin", "select 'é', $1")
        .bind("", "latin", &["é"])
        .execute("", 0)
        .sync()
        .query("set client_encoding to utf8");
    let utf8 =
        f().bind("", "latin", &["é"]).execute("", 0).sync().query("discard all").bind("", "named", &["1"]).sync();
    let many = (0..MANY).fold(f(), |frames, number| {
        frames.parse("", &format!("select {number} as many, $1")).bind("", "", &["x"]).execute("", 0)
    });
    vec![
        ("a pipeline ended by Flush", three.flush().0, b'C', 3),
        ("its Sync", f().sync().0, b'Z', 1),
        ("an error in the middle", failing.0, b'Z', 1),
        ("several Syncs in one write", several.0, b'Z', 4),
        ("row limits", limited.0, b'Z', 3),
        ("names made by SQL", by_sql.0, b'Z', 6),
        ("odd ones", odd.0, b'Z', 6),
        ("another encoding", latin1.0, b'Z', 2),
        ("and back", utf8.0, b'Z', 3),
        ("many", many.sync().0, b'Z', 1),
    ]
}

fn is_told(told: &Told) {
    let summary = told.summary();
    let (first, rest) = summary.split_at(9);
    for (chunk, rows) in first.chunks(3).zip(["1", "1", "3"]) {
        assert_eq!(chunk, ["parse done -", "bind done -", &format!("execute done SELECT {rows}")]);
    }
    let failing = [
        "parse done -",
        "bind done -",
        "execute done SELECT 1",
        "parse done -",
        "bind done -",
        "describe done -",
        "execute error 22012",
        "parse skipped -",
        "bind skipped -",
        "execute skipped -",
        "close skipped -",
    ];
    let several = [
        "parse error 42601",
        "bind skipped -",
        "query done SELECT 1; SELECT 1",
        "bind done -",
        "describe done -",
        "execute done SELECT 2",
        "bind error 26000",
        "execute skipped -",
    ];
    let limited = [
        "query done BEGIN",
        "bind done -",
        "execute suspended -",
        "execute suspended -",
        "execute done SELECT 1",
        "execute done SELECT 0",
        "close done -",
        "query done COMMIT",
    ];
    let expected = [failing.as_slice(), several.as_slice(), limited.as_slice()].concat();
    assert_eq!(rest[..expected.len()], expected);

    let made_by_sql =
        |found: &&portreeve::log::search::Found| found.record.skeleton.result.as_deref() == Some("unresolved");
    let unresolved: Vec<_> =
        told.statements.iter().filter(made_by_sql).map(|found| found.record.skeleton.verb.clone()).collect();
    assert!(unresolved.len() >= 4, "{unresolved:?}");
    let latin1 = told.statements.iter().find(|found| found.record.values.encoding.as_deref() == Some("LATIN1"));
    let latin1 = &latin1.expect("a statement").record;
    assert_eq!(latin1.values.text.as_deref(), Some("select 'é', $1".as_bytes()), "bytes as sent");
    let of_many = |found: &&portreeve::log::search::Found| {
        found.record.skeleton.verb.as_deref() == Some("execute") && text_of(&found.record).ends_with(" as many, $1")
    };
    let many: Vec<_> = told.statements.iter().filter(of_many).collect();
    assert_eq!(many.len(), MANY);
    for (number, found) in many.iter().enumerate() {
        assert_eq!(text_of(&found.record), format!("select {number} as many, $1"));
        assert_eq!(outcome(found).skeleton.rows, Some(1));
    }
}

/// What this version does not let through ends the session, and is recorded.
pub(crate) async fn is_refused(stage: &Stage, oracle: &mut Oracle<'_>) {
    // The text ends before the frame does.
    let invalid: &[u8] = &[b'Q', 0, 0, 0, 8, b's', 0, b'x', 0];
    let told = is_ended_for(stage, oracle, Frames::default().raw(invalid), "08P01", "invalid-frame").await;
    assert!(told.refused.is_empty(), "what is no frame is told by the session's end");
}

async fn is_ended_for(stage: &Stage, oracle: &mut Oracle<'_>, frames: Frames, sqlstate: &str, verb: &str) -> Told {
    let mut gated = Socket::at_the_gate(stage).await;
    gated.send(frames).await;
    let mut last = None;
    while let Some(message) = gated.message().await {
        last = Some(message);
    }
    let last = last.expect("a word").escape_ascii().to_string();
    assert!(last.contains("FATAL") && last.contains(sqlstate), "{last}");
    let told = oracle.settle_one().await;
    assert_eq!(told.end.skeleton.verb.as_deref(), Some(verb));
    assert_eq!(told.end.skeleton.sqlstate.as_deref(), Some(sqlstate));
    told
}
