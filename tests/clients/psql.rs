//! psql: what a support engineer types.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use aws_lc_rs::digest::{SHA256, digest};
use portreeve::cli::demo::stage::{Stage, said};
use rustix::process::{Pid, Signal, kill_process};

use super::ground::{CUSTOMER, direct_psql, is_running, run, stage, within};
use super::oracle::{Oracle, Told, outcome, text_of};

#[tokio::test(flavor = "multi_thread")]
async fn psql_sees_what_it_would_see_and_the_log_tells_it() {
    let stage = stage("read", &[]).await;
    let mut oracle = Oracle::of(&stage).await;
    describes(&stage, &mut oracle).await;
    runs_several_statements(&stage, &mut oracle).await;
    hears_errors_and_notices(&stage, &mut oracle).await;
    stops_or_goes_on(&stage, &mut oracle).await;
    copies_out(&stage, &mut oracle).await;
    fetches_by_cursor(&stage, &mut oracle).await;
    carries_much(&stage, &mut oracle).await;
    sends_much(&stage, &mut oracle).await;
    speaks_latin1(&stage, &mut oracle).await;
    is_interrupted(&stage, &mut oracle).await;
    is_killed(&stage, &mut oracle).await;
}

/// Runs psql with these arguments through the gate and directly; both must say the same.
async fn both(stage: &Stage, arguments: &[&str]) -> String {
    let mut gated = stage.psql(CUSTOMER).expect("psql");
    let mut direct = direct_psql(stage);
    let (gated, direct) = tokio::join!(
        run({
            gated.args(arguments);
            gated
        }),
        run({
            direct.args(arguments);
            direct
        })
    );
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_greeting = |line: &&str| line.contains("access to customer \"acme\"");
    let heard = words(&gated.stderr);
    let (greeting, heard): (Vec<&str>, Vec<&str>) = heard.lines().partition(is_greeting);
    assert_eq!((greeting.len(), words(&gated.stdout)), (1, words(&direct.stdout)), "{arguments:?}");
    assert!(gated.stdout == direct.stdout, "{arguments:?}");
    assert_eq!(heard, words(&direct.stderr).lines().collect::<Vec<_>>(), "{arguments:?}");
    assert_eq!(gated.status.code(), direct.status.code(), "{arguments:?}");
    format!("{}{}", words(&gated.stdout), heard.join("\n"))
}

/// A script for `-f`.
fn script(stage: &Stage, name: &str, text: &[u8]) -> PathBuf {
    let path = stage.path(name);
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(text).expect("written");
    path
}

fn one<'t>(told: &'t Told, text: &'t str) -> &'t portreeve::log::search::Found {
    let found: Vec<_> = told.with_text(text).collect();
    assert_eq!(found.len(), 1, "{text}: {:?}", told.summary());
    found[0]
}

async fn describes(stage: &Stage, oracle: &mut Oracle<'_>) {
    let tables = both(stage, &["-c", "\\dt", "-c", "\\d contacts", "-c", "\\d+ orders"]).await;
    assert!(tables.contains("invoices") && tables.contains("character(2)"), "{tables}");
    let told = oracle.settle_one().await;
    assert_eq!(told.gate(), "overlap");
    assert_eq!(told.application, "psql");
    assert!(told.statements.len() > 5, "{:?}", told.summary());
    assert_eq!(told.end.skeleton.verb.as_deref(), Some("client-left"));
    assert_eq!(told.end.skeleton.fate.as_deref(), Some("none"));
}

async fn runs_several_statements(stage: &Stage, oracle: &mut Oracle<'_>) {
    let several = "select 1 as a; select id from contacts order by id limit 3; select 'last'";
    let transaction = "begin; declare c cursor for select id from orders order by id; fetch 2 from c; rollback";
    let prepared = "prepare p(int) as select full_name from contacts where id = $1; execute p(7); deallocate p";
    both(stage, &["-c", several, "-c", "", "-c", transaction, "-c", prepared, "-c", "select 1 where false"]).await;
    let told = oracle.settle_one().await;
    let came = outcome(one(&told, several));
    assert_eq!(came.skeleton.tag.as_deref(), Some("SELECT 1; SELECT 3; SELECT 1"));
    assert_eq!(came.skeleton.rows, Some(5));
    assert!(came.skeleton.bytes > Some(5 * 11));
    let came = outcome(one(&told, transaction));
    assert_eq!(came.skeleton.tag.as_deref(), Some("BEGIN; DECLARE CURSOR; FETCH 2; ROLLBACK"));
    let came = outcome(one(&told, prepared));
    assert_eq!(came.skeleton.tag.as_deref(), Some("PREPARE; SELECT 1; DEALLOCATE"));
    let relations = one(&told, several).record.skeleton.relations.clone();
    assert_eq!(relations, Some(vec!["contacts".to_owned()]));
}

async fn hears_errors_and_notices(stage: &Stage, oracle: &mut Oracle<'_>) {
    let missing = "select * from nowhere";
    let said = both(stage, &["-c", "\\set VERBOSITY verbose", "-c", missing]).await;
    assert!(said.contains("42P01"), "{said}");
    let told = oracle.settle_one().await;
    let came = outcome(one(&told, missing));
    assert_eq!(came.skeleton.sqlstate.as_deref(), Some("42P01"));
    assert_eq!(came.values.message.as_deref(), Some("relation \"nowhere\" does not exist"));

    let notices = "do $$ begin raise notice 'é % of %', 1, 2; raise warning 'w'; raise info 'i'; end $$";
    let said = both(stage, &["-c", notices, "-c", "select 'after'"]).await;
    assert!(said.contains("NOTICE:  é 1 of 2") && said.contains("WARNING:  w") && said.contains("INFO:  i"), "{said}");
    let told = oracle.settle_one().await;
    assert_eq!(outcome(one(&told, notices)).skeleton.tag.as_deref(), Some("DO"));

    // Reading is all a reading grant can do; what it tried stands in the log.
    let write = "update contacts set note = 'x'";
    let mut psql = stage.psql(CUSTOMER).expect("psql");
    psql.args(["-c", write]);
    let output = run(psql).await;
    assert!(portreeve::cli::demo::stage::said(&output).contains("permission denied for table contacts"));
    let told = oracle.settle_one().await;
    assert_eq!(outcome(one(&told, write)).skeleton.sqlstate.as_deref(), Some("42501"));
}

async fn stops_or_goes_on(stage: &Stage, oracle: &mut Oracle<'_>) {
    let text = b"begin;\nselect 1;\nselect 1/0;\nselect 2;\nrollback;\nselect 3;\n";
    let path = script(stage, "script.sql", text);
    let file = path.to_string_lossy();
    both(stage, &["-f", &file]).await;
    let told = oracle.settle_one().await;
    assert_eq!(told.summary(), ["query done BEGIN", "query done SELECT 1", "query error 22012"]);
    // psql says goodbye with the transaction failed.
    assert_eq!(told.end.skeleton.fate.as_deref(), Some("aborted"));

    both(stage, &["-v", "ON_ERROR_STOP=0", "-f", &file]).await;
    let told = oracle.settle_one().await;
    let expected = ["query done BEGIN", "query done SELECT 1", "query error 22012", "query error 25P02"];
    assert_eq!(told.summary(), [&expected[..], &["query done ROLLBACK", "query done SELECT 1"]].concat());

    let rolling = ["-v", "ON_ERROR_STOP=0", "-v", "ON_ERROR_ROLLBACK=on", "-1", "-f", &file];
    let said = both(stage, &rolling).await;
    assert!(said.contains("division by zero"), "{said}");
    let told = oracle.settle_one().await;
    assert!(told.with_text("SAVEPOINT pg_psql_temporary_savepoint").count() > 2, "{:?}", told.summary());
}

async fn copies_out(stage: &Stage, oracle: &mut Oracle<'_>) {
    let query = "select id, full_name, note from contacts order by id";
    let csv = format!("\\copy ({query}) to stdout with (format csv, header)");
    let binary = format!("copy ({query}) to stdout with (format binary)");
    both(stage, &["-c", &csv, "-c", "select 'between'", "-c", &binary, "-c", "copy nowhere to stdout"]).await;
    let told = oracle.settle_one().await;
    let summary = ["query done COPY 1200", "query done SELECT 1", "query done COPY 1200", "query error 42P01"];
    assert_eq!(told.summary(), summary);
    let came = outcome(&told.statements[0]);
    // The header is one more message.
    assert_eq!(came.skeleton.rows, Some(1201));
    assert!(came.skeleton.bytes > Some(1201 * 20));
}

async fn fetches_by_cursor(stage: &Stage, oracle: &mut Oracle<'_>) {
    let text = b"\\set FETCH_COUNT 100\nselect id, md5(id::text) from generate_series(1, 250) id;\nselect 'after';\n";
    let path = script(stage, "cursor.sql", text);
    both(stage, &["-f", &path.to_string_lossy()]).await;
    let told = oracle.settle_one().await;
    let fetched: Vec<_> = told.with_text("FETCH FORWARD 100 FROM _psql_cursor").collect();
    let rows: Vec<_> = fetched.iter().filter_map(|found| outcome(found).skeleton.rows).collect();
    assert_eq!(rows, [100, 100, 50, 1], "{:?}", told.summary());
}

async fn carries_much(stage: &Stage, oracle: &mut Oracle<'_>) {
    let rows = "select g, md5(g::text), g % 7 = 0, repeat('é', g % 50) from generate_series(1, 200000) g";
    let value = "select string_agg(md5(g::text), '') from generate_series(1, 1638400) g";
    for (sql, count, at_least) in [(rows, 200_000, 15_000_000), (value, 1, 50_000_000)] {
        let mut outputs = Vec::new();
        for mut psql in [stage.psql(CUSTOMER).expect("psql"), direct_psql(stage)] {
            psql.args(["-q", "-A", "-t", "-c", sql]);
            let output = run(psql).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            outputs.push((output.stdout.len(), digest(&SHA256, &output.stdout).as_ref().to_vec()));
        }
        assert_eq!(outputs[0], outputs[1], "{sql}");
        assert!(outputs[0].0 > at_least);
        let told = oracle.settle_one().await;
        let came = outcome(one(&told, sql));
        assert_eq!(came.skeleton.rows, Some(count));
        assert!(came.skeleton.bytes > Some(at_least as u64), "{came:?}");
        assert_eq!(came.skeleton.result.as_deref(), Some("done"));
    }
}

/// A statement larger than one segment of the log.
async fn sends_much(stage: &Stage, oracle: &mut Oracle<'_>) {
    let text = format!("select length('{}');\n", "0123456789".repeat(600_000));
    let path = script(stage, "much.sql", text.as_bytes());
    let said = both(stage, &["-A", "-t", "-f", &path.to_string_lossy()]).await;
    assert_eq!(said, "6000000\n");
    let told = oracle.settle_one().await;
    assert_eq!(told.statements.len(), 1);
    assert!(told.statements[0].record.values.text.as_ref().is_some_and(|text| text.len() > 6_000_000));
}

async fn speaks_latin1(stage: &Stage, oracle: &mut Oracle<'_>) {
    let text = b"set client_encoding to 'LATIN1';\nselect 'caf\xe9' as \"\xfc\", length('\xe9');\nselect 'plain';\n";
    let path = script(stage, "latin1.sql", text);
    let mut gated = stage.psql(CUSTOMER).expect("psql");
    let mut direct = direct_psql(stage);
    for psql in [&mut gated, &mut direct] {
        psql.args(["-A", "-f"]).arg(&path);
    }
    let (gated, direct) = (run(gated).await, run(direct).await);
    assert_eq!(gated.stdout, direct.stdout);
    assert!(gated.stdout.windows(6).any(|bytes| bytes == b"caf\xe9|1"));
    let told = oracle.settle_one().await;
    let encodings: Vec<_> =
        told.statements.iter().filter_map(|found| found.record.values.encoding.as_deref()).collect();
    assert_eq!(encodings, ["UTF8", "LATIN1", "LATIN1"]);
    let raw = told.statements[1].record.values.text.as_deref().expect("a text");
    assert_eq!(raw, b"select 'caf\xe9' as \"\xfc\", length('\xe9');");
    assert_eq!(text_of(&told.statements[1].record), "select 'café' as \"ü\", length('é');");
}

/// Ctrl-C.
async fn is_interrupted(stage: &Stage, oracle: &mut Oracle<'_>) {
    let sleep = "select pg_sleep(300)";
    let mut psql = stage.psql(CUSTOMER).expect("psql");
    psql.args(["-c", "\\set VERBOSITY verbose", "-c", sleep]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let psql = tokio::process::Command::from(psql).kill_on_drop(true).spawn().expect("psql");
    is_running(stage, "pg_sleep(300)").await;
    let pid = psql.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).expect("running");
    kill_process(pid, Signal::INT).expect("told");
    let output = within(psql.wait_with_output()).await.expect("ended");
    assert!(said(&output).contains("57014"), "{}", said(&output));
    let told = oracle.settle_one().await;
    let came = outcome(one(&told, sleep));
    assert_eq!(came.skeleton.sqlstate.as_deref(), Some("57014"));
    assert_eq!(told.cancels.len(), 1, "{:?}", told.cancels);
    assert_eq!(told.cancels[0].skeleton.result.as_deref(), Some("passed on"));
    assert!(told.cancels[0].values.from.as_deref().is_some_and(|from| from.starts_with("127.0.0.1:")));
}

/// A client that dies says no goodbye; its statement does not live on.
async fn is_killed(stage: &Stage, oracle: &mut Oracle<'_>) {
    let sleep = "select pg_sleep(301)";
    let mut psql = stage.psql(CUSTOMER).expect("psql");
    psql.args(["-c", sleep]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut psql = tokio::process::Command::from(psql).kill_on_drop(true).spawn().expect("psql");
    is_running(stage, "pg_sleep(301)").await;
    within(psql.kill()).await.expect("killed");
    let told = oracle.settle_one().await;
    assert_eq!(told.end.skeleton.verb.as_deref(), Some("client-gone"));
    assert_eq!(told.end.skeleton.result.as_deref(), Some("gone"));
    let result = outcome(one(&told, sleep)).skeleton.result.clone();
    assert!(["unknown", "error"].map(Some).contains(&result.as_deref()), "{result:?}");
}
