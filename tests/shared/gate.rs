//! Through the whole gate: two customers' rows in the same tables, and channels that all share.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{SHARED_DATABASE, STAFF, Settings, Stage, said};

const WITHIN: Duration = Duration::from_secs(20);

async fn stage() -> Stage {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
    settings.cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    settings.seed = false;
    Stage::set_up(settings).await.expect("a stage")
}

fn let_in(stage: &Stage, customer: &str, scope: &str) {
    let body = format!(r#"{{"mode":"standing","scope":"{scope}"}}"#);
    let (status, answer) = stage.set_consent(customer, &body).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    stage.grant(customer, scope).expect("a grant");
}

fn psql(stage: &Stage, customer: &str, statement: &str) -> Output {
    let mut psql = stage.psql(customer).expect("psql");
    psql.args(["-At", "-c", statement]).output().expect("it runs")
}

/// A psql that is told what to do line by line.
fn console(stage: &Stage, customer: &str) -> Child {
    let mut psql = stage.psql(customer).expect("psql");
    psql.arg("-At").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    psql.spawn().expect("it runs")
}

fn tell(console: &mut Child, line: &str) {
    let stdin = console.stdin.as_mut().expect("piped");
    writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it listens");
}

/// Until somebody listens in that database, as far as the server tells: the session is idle after LISTEN.
async fn wait_for(stage: &Stage, database: &str, statement: &str) {
    let until = Instant::now() + WITHIN;
    let sql = format!(
        "select pid from pg_stat_activity where usename ~ '^pr_g_' and state = 'idle' and query = '{statement}'"
    );
    while stage.cluster.run_sql(database, &sql).await.expect("an answer").is_empty() {
        assert!(Instant::now() < until, "nobody did {statement}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What psql printed of a session that listened while another customer's application notified.
async fn listened(stage: &Stage, customer: &str, database: &str) -> String {
    let mut listening = console(stage, customer);
    tell(&mut listening, "listen news;");
    wait_for(stage, database, "listen news;").await;
    let notify = "notify news, 'umbrella''s secret'; notify news, 'another'; notify other, 'unheard'";
    stage.cluster.run_sql(database, notify).await.expect("notified");
    for number in 1..=3 {
        tell(&mut listening, &format!("select 'answer {number}';"));
    }
    tell(&mut listening, "notify news, 'my own';");
    tell(&mut listening, "select 'the last';");
    drop(listening.stdin.take());
    let output = listening.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[tokio::test]
async fn one_customers_rows_and_nobodys_notifications() {
    let stage = stage().await;
    let_in(&stage, "initech", "write");
    let count = "select count(*), min(tenant_id), max(tenant_id) from contacts";
    let output = psql(&stage, "initech", count);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "400|7|7\n", "{}", said(&output));
    let output = psql(&stage, "umbrella", count);
    assert!(said(&output).contains("switched off"), "{}", said(&output));
    let output = psql(&stage, "initech", "update contacts set tenant_id = 8 where id = 1");
    assert!(said(&output).contains("violates row-level security policy"), "{}", said(&output));
    let output = psql(&stage, "initech", "copy (select tenant_id from orders where id < 6) to stdout");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "7\n7\n7\n7\n", "{}", said(&output));

    for options in ["-c app.tenant=8", "-c search_path=portreeve", "-c row_security=off", "-c role=portreeve_staff"] {
        let count = count.replace("contacts", "public.contacts");
        let mut psql = stage.psql("initech").expect("psql");
        let output = psql.args(["-At", "-c", &count]).env("PGOPTIONS", options).output().expect("it runs");
        let (rows, said) = (String::from_utf8_lossy(&output.stdout).into_owned(), said(&output));
        let is_refused = rows.is_empty() && !output.status.success();
        assert!(rows == "400|7|7\n" || is_refused, "{options}: {said}");
        let says = match options {
            "-c row_security=off" => "query would be affected by row-level security",
            "-c role=portreeve_staff" => "role",
            _ => "400|7|7",
        };
        assert!(said.contains(says), "{options}: {said}");
    }
    for escape in ["set role portreeve_shared_write", "reset role", "set app.tenant = '8'", "reset all"] {
        let output = psql(&stage, "initech", &format!("{escape}; {count}"));
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("400|7|7\n"), "{escape}: {}", said(&output));
    }

    let heard = listened(&stage, "initech", SHARED_DATABASE).await;
    assert!(!heard.contains("Asynchronous notification") && !heard.contains("secret"), "{heard}");
    for answer in ["answer 1", "answer 2", "answer 3", "the last"] {
        assert!(heard.contains(answer), "{heard}");
    }
    let_in(&stage, "acme", "read");
    let heard = listened(&stage, "acme", "acme").await;
    assert!(heard.contains("Asynchronous notification") && heard.contains("secret"), "its own database: {heard}");

    let until = Instant::now() + WITHIN;
    loop {
        let search = ["--format", "json", "audit", "search", "--customer", "initech", "--kind", "statement"];
        let text = said(&stage.run(&search).expect("a search"));
        let withheld: Vec<&str> = text.lines().filter(|line| line.contains("withheld")).collect();
        let channel = withheld.iter().filter(|line| line.contains("news")).count();
        if channel > 0 {
            assert!(withheld.iter().all(|line| !line.contains("secret") && !line.contains("other")), "{withheld:?}");
            assert!(withheld.iter().all(|line| line.contains(STAFF) && line.contains("notification")), "{withheld:?}");
            break;
        }
        assert!(Instant::now() < until, "nothing withheld is recorded: {text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.run(&["audit", "verify"]).expect("the logs verify");
}

#[tokio::test]
async fn a_tenant_belongs_to_one_customer_and_a_shared_database_to_none() {
    let stage = stage().await;
    let create = |arguments: &[&str]| {
        let all = [&["customer", "create"], arguments, &["--cluster", "main"]].concat();
        said(&stage.command(&all).output().expect("it runs"))
    };
    let twin = create(&["twin", "--database", SHARED_DATABASE, "--tenant", "7"]);
    assert!(twin.contains("tenant \"7\" of database \"shared\""), "{twin}");
    let whole = create(&["whole", "--database", SHARED_DATABASE]);
    assert!(whole.contains("belongs to") && whole.contains("--tenant"), "{whole}");
    let within = create(&["within", "--database", "acme", "--tenant", "7"]);
    assert!(within.contains("database \"acme\" of cluster \"main\" belongs to"), "{within}");
    // Another way to write a tenant's key is another key to the register, and none to the database.
    create(&["alias", "--database", SHARED_DATABASE, "--tenant", "07"]);
    let list = said(&stage.run(&["--format", "json", "customer", "list"]).expect("a list")).replace("\": \"", "\":\"");
    assert!(list.contains("\"tenant\":\"7\"") && list.contains("\"tenant\":\"07\""), "{list}");
}
