//! tokio-postgres: prepared statements, portals, pipelining, COPY, LISTEN, transactions, cancelling.

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use portreeve::cli::demo::stage::Stage;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};
use tokio_postgres::{AsyncMessage, Client};

use super::ground::{CUSTOMER, Person, allow, is_running, stage, tls, until, within};
use super::oracle::{Oracle, Told, outcome, shown};

const TYPED: &str = "select $1::int4::text, $2::numeric::text, $3::timestamptz::text, $4::uuid::text, $5::bytea::text, \
                     $6::text, $7::int4[]::text, $8::text, $9::int8::text";

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_works_overlapped_and_by_scope_strictly() {
    let stage = stage("read", &[]).await;
    let mut oracle = Oracle::of(&stage).await;
    plays(&stage, &mut oracle, "overlap").await;
    is_cancelled(&stage, &mut oracle).await;
    breaks_off(&stage, &mut oracle).await;
    hears_others(&stage, &mut oracle).await;
    super::pipeline::plays(&stage, &mut oracle, "overlap").await;
    super::pipeline::is_refused(&stage, &mut oracle).await;
    allow(&stage, "write").await;
    plays(&stage, &mut oracle, "strict").await;
    super::pipeline::plays(&stage, &mut oracle, "strict").await;
    is_cancelled(&stage, &mut oracle).await;
    writes(&stage, &mut oracle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_works_where_the_gate_is_told_to_be_strict() {
    let stage = stage("read", &[("proxy", "strict = true")]).await;
    let mut oracle = Oracle::of(&stage).await;
    plays(&stage, &mut oracle, "strict").await;
    super::pipeline::plays(&stage, &mut oracle, "strict").await;
    hears_others(&stage, &mut oracle).await;
    is_cancelled(&stage, &mut oracle).await;
    super::psycopg::plays(&stage, &mut oracle, "strict", "").await;
}

/// A value in PostgreSQL's binary format, of whatever type.
#[derive(Debug)]
struct Raw(Vec<u8>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    tokio_postgres::types::to_sql_checked!();
}

/// `-12345.6700`: weight 1, negative, four digits after the point; base 10000.
fn numeric() -> Raw {
    let words: [u16; 7] = [3, 1, 0x4000, 4, 1, 2345, 6700];
    Raw(words.into_iter().flat_map(u16::to_be_bytes).collect())
}

/// The same play through the gate and past it; both must come to the same, and the log must tell of it.
async fn plays(stage: &Stage, oracle: &mut Oracle<'_>, gate: &str) {
    let mut direct = Person::direct(stage).await;
    let mut gated = Person::at_the_gate(stage, "tokio").await;
    let (expected, came) = (within(play(&mut direct)).await, within(play(&mut gated)).await);
    assert_eq!(came, expected);
    direct.leave().await;
    gated.leave().await;
    let told = oracle.settle_one().await;
    assert_eq!((told.gate(), told.application.as_str()), (gate, "tokio"));
    assert_eq!(told.end.skeleton.verb.as_deref(), Some("client-left"));
    binds_are_told(&told);
    portal_is_told(&told);
    let copied: Vec<_> =
        told.statements.iter().filter(|found| outcome(found).skeleton.tag.as_deref() == Some("COPY 1200")).collect();
    assert_eq!(copied.len(), 1);
    assert_eq!(outcome(copied[0]).skeleton.rows, Some(1200));
    assert_eq!(told.notifications.len(), 1, "{:?}", told.notifications);
    assert_eq!(told.notifications[0].values.text.as_deref(), Some(b"news".as_slice()));
    let listen = "listen news; notify news, 'from myself'";
    let told_listen: Vec<_> = told.with_text(listen).map(|found| outcome(found).skeleton.tag.clone()).collect();
    assert_eq!(told_listen, [Some("LISTEN; NOTIFY".to_owned())]);
    let errors: Vec<_> = told.statements.iter().filter_map(|found| outcome(found).skeleton.sqlstate.clone()).collect();
    assert_eq!(errors, ["22012", "42601", "22012", "25P02"], "{:?}", told.summary());
}

fn binds_are_told(told: &Told) {
    let is_bind = |found: &&&portreeve::log::search::Found| found.record.skeleton.verb.as_deref() == Some("bind");
    let typed: Vec<_> = told.statements.iter().collect();
    let typed: Vec<_> =
        typed.iter().filter(is_bind).filter(|found| super::oracle::text_of(&found.record) == TYPED).collect();
    assert_eq!(typed.len(), 2, "{:?}", told.summary());
    let binds = typed[0].record.values.binds.as_deref().expect("binds");
    let expected = [
        "-42",
        "-12345.6700",
        "2026-11-21 23:36:00.000001+00",
        "00112233-4455-6677-8899-aabbccddeeff",
        "\\x00ff27",
        "it's é",
        "{1,-2,2147483647}",
        "NULL",
        "9007199254740993",
    ];
    assert_eq!(shown(binds), expected);
    assert!(binds.iter().all(|bind| bind.format == 1), "{binds:?}");
    let types: Vec<u32> = binds.iter().map(|bind| bind.type_oid).collect();
    assert_eq!(types, [23, 1700, 1184, 2950, 17, 25, 1007, 25, 20]);
    assert_eq!(binds[0].value.as_deref(), Some((-42_i32).to_be_bytes().as_slice()));
    assert_eq!(binds[1].value, Some(numeric().0));
    assert_eq!(binds[7].value, None);
    let nulls = typed[1].record.values.binds.as_deref().expect("binds");
    assert!(nulls.iter().all(|bind| bind.value.is_none()), "{nulls:?}");
}

fn portal_is_told(told: &Told) {
    let limited: Vec<_> = told.statements.iter().filter(|found| found.record.skeleton.row_limit == Some(500)).collect();
    let lines: Vec<String> = limited
        .iter()
        .map(|found| {
            let came = &outcome(found).skeleton;
            assert!(found.record.values.portal.as_ref().is_some_and(|name| !name.is_empty()), "{found:?}");
            format!("{:?} {:?} {:?}", came.result.as_deref(), came.rows, came.tag.as_deref())
        })
        .collect();
    let suspended = r#"Some("suspended") Some(500) None"#;
    assert_eq!(lines, [suspended, suspended, r#"Some("done") Some(200) Some("SELECT 200")"#]);
}

/// Everything a person sees, in order.
async fn play(person: &mut Person) -> Vec<String> {
    let mut seen = Vec::new();
    typed(&person.client, &mut seen).await;
    portals(&mut person.client, &mut seen).await;
    pipelined(&person.client, &mut seen).await;
    copied(&person.client, &mut seen).await;
    failing(&mut person.client, &mut seen).await;
    notified(person, &mut seen).await;
    seen
}

fn texts(row: &tokio_postgres::Row) -> String {
    let cell = |at| row.get::<_, Option<&str>>(at).map_or("null", |text| text).to_owned();
    (0..row.len()).map(cell).collect::<Vec<_>>().join("|")
}

fn failure(error: &tokio_postgres::Error) -> String {
    let server = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    format!("{} {} {:?}", server.code().code(), server.message(), server.position())
}

async fn typed(client: &Client, seen: &mut Vec<String>) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_304_160_000_001);
    let uuid = Raw(vec![0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
    let statement = client.prepare(TYPED).await.expect("prepared");
    let (numeric, bytes, array) = (numeric(), [0_u8, 255, 39].as_slice(), vec![1, -2, i32::MAX]);
    let values: [&(dyn ToSql + Sync); 9] =
        [&-42_i32, &numeric, &at, &uuid, &bytes, &"it's é", &array, &None::<&str>, &9_007_199_254_740_993_i64];
    seen.push(texts(&client.query_one(&statement, &values).await.expect("a row")));
    let nulls: [&(dyn ToSql + Sync); 9] = [
        &None::<i32>,
        &None::<Raw>,
        &None::<SystemTime>,
        &None::<Raw>,
        &None::<&[u8]>,
        &None::<&str>,
        &None::<Vec<i32>>,
        &None::<&str>,
        &None::<i64>,
    ];
    seen.push(texts(&client.query_one(&statement, &nulls).await.expect("a row")));
}

async fn portals(client: &mut Client, seen: &mut Vec<String>) {
    let transaction = client.transaction().await.expect("begun");
    let statement = transaction.prepare("select full_name from contacts order by id").await.expect("prepared");
    let portal = transaction.bind(&statement, &[]).await.expect("bound");
    for _ in 0..3 {
        let rows = transaction.query_portal(&portal, 500).await.expect("rows");
        seen.push(rows.iter().map(texts).collect::<Vec<_>>().join(","));
    }
    transaction.rollback().await.expect("rolled back");
}

/// Several statements, each with a Sync of its own, before the first answer is read; one of them fails alone.
async fn pipelined(client: &Client, seen: &mut Vec<String>) {
    let by_id = client.prepare("select full_name from contacts where id = $1").await.expect("prepared");
    let divide = client.prepare("select (1 / $1::int4)::text").await.expect("prepared");
    let (a, b, c, d) = tokio::join!(
        client.query_one(&by_id, &[&1_i64]),
        client.query_one(&divide, &[&0_i32]),
        client.query_one(&by_id, &[&2_i64]),
        client.query_one(&divide, &[&1_i32]),
    );
    seen.push(texts(&a.expect("a row")));
    seen.push(failure(&b.expect_err("division by zero")));
    seen.extend([c, d].map(|row| texts(&row.expect("a row"))));
}

async fn copied(client: &Client, seen: &mut Vec<String>) {
    let copy = client.copy_out("copy (select id, email from contacts order by id) to stdout").await.expect("a copy");
    let pieces: Vec<bytes::Bytes> = copy.try_collect().await.expect("all of it");
    seen.push(String::from_utf8(pieces.concat()).expect("UTF-8"));
}

async fn failing(client: &mut Client, seen: &mut Vec<String>) {
    seen.push(failure(&client.prepare("selct 1").await.expect_err("a syntax error")));
    seen.push(texts(&client.query_one("select 'recovered'", &[]).await.expect("a row")));
    let transaction = client.transaction().await.expect("begun");
    let divided = transaction.batch_execute("select 1; select 1/0; select 2").await;
    seen.push(failure(&divided.expect_err("division by zero")));
    let after = transaction.batch_execute("select 3").await.expect_err("a failed transaction");
    assert_eq!(after.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    transaction.rollback().await.expect("rolled back");
    seen.push(texts(&client.query_one("select 'after'", &[]).await.expect("a row")));
}

async fn notified(person: &mut Person, seen: &mut Vec<String>) {
    person.client.batch_execute("listen news; notify news, 'from myself'").await.expect("listening");
    person.client.batch_execute("do $$ begin raise notice 'a notice'; end $$").await.expect("done");
    let mut heard = String::new();
    while !heard.contains("a notice") {
        match person.heard.recv().await.expect("a message") {
            AsyncMessage::Notice(notice) if notice.message().contains("access to customer") => {}
            AsyncMessage::Notice(notice) => writeln!(heard, "notice {}", notice.message()).expect("memory"),
            AsyncMessage::Notification(from) => {
                writeln!(heard, "{} {}", from.channel(), from.payload()).expect("memory");
            }
            _ => panic!("something else"),
        }
    }
    seen.push(heard);
}

/// A statement is cancelled; the session goes on.
async fn is_cancelled(stage: &Stage, oracle: &mut Oracle<'_>) {
    let person = Person::at_the_gate(stage, "cancels").await;
    let token = person.client.cancel_token();
    let cancel = async {
        is_running(stage, "pg_sleep($1)").await;
        token.cancel_query(tls(stage)).await.expect("cancelled");
    };
    let (slept, ()) =
        within(async { tokio::join!(person.client.query("select pg_sleep($1)", &[&300_f64]), cancel) }).await;
    assert_eq!(slept.expect_err("cancelled").code(), Some(&SqlState::QUERY_CANCELED));
    person.client.batch_execute("select 'goes on'").await.expect("it goes on");
    person.leave().await;
    let told = oracle.settle_one().await;
    assert_eq!(told.cancels.len(), 1);
    let summary = told.summary();
    assert!(summary.contains(&"execute error 57014".to_owned()), "{summary:?}");
    assert_eq!(summary.last().map(String::as_str), Some("query done SELECT 1"));
}

/// A client that goes without a word in the middle of a transaction.
async fn breaks_off(stage: &Stage, oracle: &mut Oracle<'_>) {
    let person = Person::at_the_gate(stage, "breaks off").await;
    person.client.batch_execute("begin; select 1").await.expect("begun");
    person.driver.abort();
    let told = oracle.settle_one().await;
    assert_eq!(told.end.skeleton.verb.as_deref(), Some("client-gone"));
    assert_eq!(told.end.skeleton.fate.as_deref(), Some("aborted"));
    assert_eq!(told.summary(), ["query done BEGIN; SELECT 1"]);
}

/// Notifications of others come while nothing is asked, and while something is.
async fn hears_others(stage: &Stage, oracle: &mut Oracle<'_>) {
    let mut person = Person::at_the_gate(stage, "listens").await;
    person.client.batch_execute("listen \"Ünlü\"").await.expect("listening");
    for payload in ["first", "second"] {
        let notify = format!("notify \"Ünlü\", '{payload}'");
        stage.cluster.run_sql(CUSTOMER, &notify).await.expect("notified");
        let heard = until("a notification", async || match within(person.heard.recv()).await.expect("a message") {
            AsyncMessage::Notification(from) => Some(format!("{} {}", from.channel(), from.payload())),
            _ => None,
        });
        assert_eq!(heard.await, format!("Ünlü {payload}"));
    }
    person.client.batch_execute("select 1").await.expect("it goes on");
    person.leave().await;
    let told = oracle.settle_one().await;
    assert_eq!(told.summary(), ["query done LISTEN", "query done SELECT 1"]);
    let channels: Vec<_> =
        told.notifications.iter().map(|record| record.values.text.clone().unwrap_or_default()).collect();
    assert_eq!(channels, ["Ünlü".as_bytes(), "Ünlü".as_bytes()]);
    let search = ["--format", "json", "audit", "search", "--kind", "statement", "--text", "Ünlü"];
    let rows = stage.run(&search).expect("a search").stdout;
    let rows: Vec<serde_json::Value> =
        String::from_utf8(rows).expect("UTF-8").lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let shown: Vec<_> = rows.iter().map(|row| (row["verb"].as_str(), row["result"].as_str())).collect();
    let notification = (Some("notification"), None);
    assert_eq!(shown, [(Some("query"), Some("LISTEN")), notification, notification]);
}

/// What is committed stays, what is rolled back does not.
async fn writes(stage: &Stage, oracle: &mut Oracle<'_>) {
    let mut person = Person::at_the_gate(stage, "writes").await;
    let update = "update contacts set note = $1 where id = any($2)";
    for (note, commit) in [("kept", true), ("dropped", false)] {
        let transaction = person.client.transaction().await.expect("begun");
        let count = transaction.execute(update, &[&note, &vec![1_i64, 2, 3]]).await.expect("updated");
        assert_eq!(count, 3);
        if commit {
            transaction.commit().await.expect("committed")
        } else {
            transaction.rollback().await.expect("back")
        }
    }
    person.leave().await;
    let kept =
        stage.cluster.run_sql(CUSTOMER, "select count(*) from contacts where note = 'kept'").await.expect("rows");
    assert_eq!(kept, [[Some("3".to_owned())]]);
    let told = oracle.settle_one().await;
    assert_eq!(told.gate(), "strict");
    let binds: Vec<_> =
        told.statements.iter().filter_map(|found| found.record.values.binds.as_deref()).map(shown).collect();
    assert_eq!(binds, [["kept", "{1,2,3}"], ["dropped", "{1,2,3}"]]);
    let tags = told.summary().into_iter().filter(|line| line == "execute done UPDATE 3").count();
    assert_eq!(tags, 2);
}
