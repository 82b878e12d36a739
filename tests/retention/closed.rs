//! The real daemon and closed accounts, of both layouts.

use std::path::Path;

use portreeve::audit::keys::{Recipient, Recipients};
use portreeve::cli::demo::stage::{self, SHARED_DATABASE, Settings, Stage, said};
use portreeve::config;
use portreeve::grant::{Stage as Reached, Trust};
use portreeve::keyring::{self, init};
use portreeve::register::Register;

fn reached(stage: &Stage, name: &str) -> Reached {
    let config = config::load(&stage.configuration()).expect("a configuration");
    let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
    let state = Register::open(&config.register.path, trust).expect("a register").state().expect("a state");
    state.customer_named(name).expect("a customer").closure.as_ref().expect("it is closed").stage()
}

/// Whether the keyring makes or has keys of that customer.
async fn opens(stage: &Stage, name: &str) -> bool {
    let config = config::load(&stage.configuration()).expect("a configuration");
    let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
    let state = Register::open(&config.register.path, trust).expect("a register").state().expect("a state");
    let customer = state.customer_named(name).expect("a customer").id;
    let key = init::read_public_key(&config.keyring.public_key).expect("a key");
    let client = keyring::Client::connect(&config.keyring.socket, key).await.expect("a keyring");
    client.ensure(&Recipients::new(), &[Recipient::Customer(customer)]).await.is_ok()
}

async fn first(stage: &Stage, database: &str, sql: &str) -> String {
    let rows = stage.cluster.run_sql(database, sql).await.expect(sql);
    rows.into_iter().flatten().flatten().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_daemon_leads_closed_customers_to_live_clean_and_keeps_their_keys_gone() {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let settings = Settings { cache, ..Settings::new(env!("CARGO_BIN_EXE_portreeve")) };
    let mut stage = Stage::set_up(settings).await.expect("a stage");
    stage.prepare_retention().await.expect("prepared");
    let files = ["keyring/keyring", "keyring/keyring.generation"].map(|name| stage.path(name));
    let copies = files.each_ref().map(|file| std::fs::read(file).expect("a file of the keyring"));
    let others = "select md5(string_agg(c::text, ',' order by id)) from contacts c where tenant_id = 8";
    let before = first(&stage, SHARED_DATABASE, others).await;
    let globex = "select md5(string_agg(c::text, ',' order by id)) from contacts c";
    let globex_before = first(&stage, "globex", globex).await;
    for name in ["initech", stage::CUSTOMERS[0]] {
        let confirm = format!("{{\"confirm\":\"{name}\"}}");
        for step in ["close", "immediate"] {
            let path = format!("/v1/customers/{name}/account/{step}");
            let (status, answer) = stage.api(name, "POST", &path, Some(&confirm)).expect("asked");
            assert_eq!(status, 200, "{answer}");
        }
    }

    // Without its credential nothing goes, and that is told as a trouble of each account.
    let configuration = std::fs::read_to_string(stage.configuration()).expect("a configuration");
    let without = configuration.replace("maintenance_password_file = \"maintenance.password\"\n", "");
    assert_ne!(without, configuration);
    std::fs::write(stage.configuration(), without).expect("written");
    let once = stage.command(&["retention", "run", "--once"]).output().expect("run");
    assert_eq!(once.status.code(), Some(4), "{}", said(&once));
    let status = stage.command(&["retention", "status"]).output().expect("run");
    assert_eq!(status.status.code(), Some(4), "{}", said(&status));
    let told = said(&status);
    assert_eq!(told.matches("account-stuck").count(), 2, "{told}");
    assert!(told.contains("set maintenance_password_file in [clusters.main]"), "{told}");
    assert_eq!(reached(&stage, "initech"), Reached::Closed);
    std::fs::write(stage.configuration(), configuration).expect("written");

    for _ in 0..4 {
        let once = stage.command(&["retention", "run", "--once"]).output().expect("run");
        assert_eq!(once.status.code(), Some(0), "{}", said(&once));
    }
    for name in ["initech", "acme"] {
        assert_eq!(reached(&stage, name), Reached::LiveClean, "{name}");
    }
    let rows =
        "select count(*) from contacts where tenant_id = 7 union all select count(*) from orders where tenant_id = 7";
    assert_eq!(first(&stage, SHARED_DATABASE, rows).await, "0 0");
    assert_eq!(first(&stage, "postgres", "select datname from pg_database where datname = 'acme'").await, "");
    assert_eq!(first(&stage, SHARED_DATABASE, others).await, before);
    assert_eq!(first(&stage, "globex", globex).await, globex_before);
    let status = stage.command(&["retention", "status"]).output().expect("run");
    assert!(!said(&status).contains("account-stuck"), "{}", said(&status));
    assert!(said(&status).contains("account-waits"), "{}", said(&status));

    // A keyring brought back whole from before the erasure holds the keys again, until the daemon starts.
    assert!(!opens(&stage, "initech").await);
    stage.keyring = None;
    for (file, copy) in files.iter().zip(copies) {
        std::fs::write(file, copy).expect("written");
    }
    stage.keyring = Some(stage.start("keyring").expect("it starts"));
    assert!(opens(&stage, "initech").await, "the copy holds the keys");
    let once = stage.command(&["retention", "run", "--once"]).output().expect("run");
    assert!(said(&once).contains("asked again for erasures"), "{}", said(&once));
    assert!(!opens(&stage, "initech").await);
}
