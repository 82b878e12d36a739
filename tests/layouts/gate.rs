//! Through the whole gate: customers with a schema each, from the command line to the session's end.

use std::path::Path;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{Settings, Stage, said};

use crate::ground::{TABLES, Version};

const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_customer_with_a_schema_is_served_like_any_other() {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
    settings.cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    settings.bin = Some(Version::Eighteen.bin());
    settings.seed = false;
    let stage = Stage::set_up(settings).await.expect("a stage");
    stage.cluster.create_database("crm").await.expect("a database");
    stage.cluster.run_sql("crm", &TABLES.replace("'acme', 'globex'", "'one', 'two'")).await.expect("tables");
    stage.fence("crm", &["--layout", "schema", "--schema", "one"]).expect("a fence");
    stage.fence("crm", &["--layout", "schema", "--all-schemas"]).expect("the other, too");
    for customer in ["one", "two"] {
        stage.register(customer, &["--database", "crm", "--schema", customer]).expect("a customer");
        let (status, answer) = stage.set_consent(customer, r#"{"mode":"standing","scope":"read"}"#).expect("an answer");
        assert_eq!(status, 200, "{answer}");
        stage.grant(customer, "read").expect("a grant");
    }
    let taken = stage.register("three", &["--database", "crm", "--schema", "one"]).expect_err("it is one's");
    assert!(taken.to_string().contains("schema \"one\""), "{taken}");
    let both =
        ["customer", "create", "four", "--cluster", "main", "--database", "crm", "--schema", "x", "--tenant", "7"];
    let both = stage.run(&both).expect_err("either").to_string();
    assert!(both.contains("cannot be used with"), "{both}");
    for (customer, other) in [("one", "two"), ("two", "one")] {
        let mut psql = stage.psql(customer).expect("psql");
        let sql = "select left(email, 3), count(*) from contacts group by 1";
        let shown = psql.args(["-At", "-c", sql]).output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), format!("{customer}|300"));
        let mut psql = stage.psql(customer).expect("psql");
        let refused = psql.args(["-At", "-c", &format!("select * from {other}.contacts")]).output().expect("it runs");
        assert!(said(&refused).contains("permission denied for schema"), "{}", said(&refused));
    }
    let dsn = stage.path("crm.dsn");
    let output = stage
        .run(&["fence", "check", "--database", "crm", "--superuser-dsn-file", &dsn.to_string_lossy()])
        .expect("it is sound");
    let output = said(&output);
    for word in ["one read: sound", "one write: sound", "two read: sound", "two write: sound"] {
        assert!(output.contains(word), "{output}");
    }
    let until = Instant::now() + WITHIN;
    let roles = "select count(*) from pg_roles where rolname ~ '^pr_g_'";
    while stage.cluster.run_sql("crm", roles).await.expect("an answer") != [[Some("0".to_owned())]] {
        assert!(Instant::now() < until, "roles outlive their sessions");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
