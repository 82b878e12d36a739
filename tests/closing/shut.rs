//! Nobody gets at what a closed account has; a reopened one has everything back, exactly.

use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::SHARED_DATABASE;
use portreeve::grant::{AccountStep, Stage};
use portreeve::retentiond::closing::turn;
use tokio_postgres::{Client, NoTls};

use super::ground::{Ground, KILLS_WITHIN, killed_after};

/// Who may connect to acme's database, as far as the catalog says.
async fn may_connect(ground: &Ground) -> Vec<String> {
    let sql = "select coalesce(grantee::regrole::text, '-') || ' ' || privilege_type || ' ' || is_grantable
        from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) where datname = 'acme' order by 1";
    ground.column("postgres", sql).await
}

async fn sign_in(ground: &Ground, role: &str, database: &str) -> Result<Client, String> {
    let dsn = ground.stage.cluster.superuser_dsn(database).replace("user=postgres", &format!("user={role}"));
    let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.map_err(|error| said(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| format!("{error:?}"), |server| server.message().to_owned())
}

/// A role of the application's, which signs in by the socket.
async fn clerk(ground: &Ground, rights: &str, database: &str) {
    let hba = ground.stage.cluster.directory().join("data/pg_hba.conf");
    let lines = std::fs::read_to_string(&hba).expect("pg_hba.conf");
    std::fs::write(&hba, format!("local all clerk trust\n{lines}")).expect("written");
    let sql = format!("create role clerk login; {rights}; select pg_reload_conf()");
    ground.stage.cluster.run_sql(database, &sql).await.expect("a role");
    let began = Instant::now();
    while let Err(error) = sign_in(ground, "clerk", database).await {
        assert!(began.elapsed() < Duration::from_secs(10), "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Turns that are killed later and later, until one comes to its end.
async fn killed_turns(ground: &Ground, is_there: impl Fn(&Ground) -> bool) {
    let until = Instant::now() + KILLS_WITHIN;
    for polls in 0.. {
        let world = ground.world().await;
        let ended = killed_after(polls, Box::pin(turn(&world, ground.now()))).await;
        world.acts.log.close().expect("the log closes");
        if let Some(turned) = ended {
            assert_eq!(turned.expect("a turn").troubles, []);
            if is_there(ground) {
                assert!(polls > 4, "it was over after {polls} steps: hardly a moment to kill it at");
                return;
            }
        }
        assert!(Instant::now() < until, "it does not come to an end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_database_is_shut_and_a_reopened_one_is_as_it_was_wherever_the_daemon_is_killed() {
    let ground = Ground::new().await;
    clerk(&ground, "grant connect on database acme to clerk with grant option", "acme").await;
    let before = may_connect(&ground).await;
    let others =
        "select string_agg(datname || ' ' || coalesce(datacl::text, ''), ',' order by datname) from pg_database
        where datname <> 'acme'";
    let beside = ground.column("postgres", others).await;
    let session = sign_in(&ground, "clerk", "acme").await.expect("signed in");
    let note = ground.stage.path("retention/closing").join(format!("{}.shut.json", ground.customer("acme").id));

    ground.close("acme").await;
    killed_turns(&ground, |ground| ground.stage_of("acme") >= Stage::Choice).await;
    session.query("select 1", &[]).await.expect_err("its session is ended");
    let refused = sign_in(&ground, "clerk", "acme").await.map(drop).expect_err("shut out");
    assert!(refused.contains("permission denied for database"), "{refused}");
    assert!(note.exists());
    drop(sign_in(&ground, "portreeve_maintenance", "acme").await.expect("retention gets in"));
    let left = may_connect(&ground).await;
    assert!(
        !left.iter().any(|line| ["-", "app", "clerk"].iter().any(|who| line.starts_with(&format!("{who} CONNECT"))))
    );

    // nothing is given back without the note of what was taken, nor by another server's
    ground.account("acme", AccountStep::Reopened).await.expect("in time");
    let text = std::fs::read_to_string(&note).expect("a note");
    std::fs::remove_file(&note).expect("lost");
    let turned = ground.turn().await;
    assert!(turned.troubles.iter().any(|(_, why)| why.contains("what was taken from whom, is lost")), "{turned:?}");
    let server = ground.column("postgres", "select system_identifier::text from pg_control_system()").await.concat();
    std::fs::write(&note, text.replace(&server, "7000")).expect("another's");
    let turned = ground.turn().await;
    assert!(turned.troubles.iter().any(|(_, why)| why.contains("taken on another server")), "{turned:?}");
    assert_eq!(may_connect(&ground).await, left);
    std::fs::write(&note, text).expect("back");
    killed_turns(&ground, |_| !note.exists()).await;
    assert_eq!(may_connect(&ground).await, before);
    assert_eq!(ground.column("postgres", others).await, beside, "no other database was touched");
    drop(sign_in(&ground, "clerk", "acme").await.expect("let in"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_shared_tables_neither_change_nor_come_between_closing_and_purge() {
    let ground = Ground::new().await;
    let rights = "grant connect on database shared to clerk; grant select, insert, update, delete on contacts to clerk";
    clerk(&ground, rights, SHARED_DATABASE).await;
    let clerk = sign_in(&ground, "clerk", SHARED_DATABASE).await.expect("signed in");
    let new = |tenant: u32| format!("insert into contacts values ({tenant}, 90001, 'Eva', 'eva@late.example', 'NL')");
    let change = "update contacts set full_name = 'Eva' where tenant_id = 7 and id = 1";
    clerk.batch_execute(change).await.expect("it is open");

    // who wrote before comes to an end first, and stands in the archive
    clerk.batch_execute(&format!("begin; {change}")).await.expect("it is open");
    ground.close("initech").await;
    let turned = ground.turn().await;
    assert!(turned.troubles.iter().any(|(_, why)| why.contains("others write to it")), "{turned:?}");
    assert_eq!((ground.stage_of("initech"), ground.files("initech").len()), (Stage::Closed, 0));
    clerk.batch_execute("commit").await.expect("in time");
    ground.well().await;
    assert_eq!(ground.stage_of("initech"), Stage::Choice);
    for sql in [new(7).as_str(), change, "update contacts set tenant_id = 7 where tenant_id = 8 and id = 1"] {
        let refused = clerk.batch_execute(sql).await.expect_err(sql);
        assert!(said(&refused).contains("account is closed"), "{refused:?}");
    }
    clerk.batch_execute(&new(8)).await.expect("another customer's");
    assert_eq!(ground.rows(7).await, "1200");

    ground.account("initech", AccountStep::Reopened).await.expect("in time");
    ground.well().await;
    clerk.batch_execute(change).await.expect("it is open again");
    clerk.batch_execute(&new(7)).await.expect("it is open again");

    // who has a snapshot from before comes to an end first: it does not see that the account is closed
    clerk
        .batch_execute("begin isolation level repeatable read; select from pg_class limit 1")
        .await
        .expect("a snapshot");
    ground.close("initech").await;
    let turned = ground.turn().await;
    assert!(turned.troubles.iter().any(|(_, why)| why.contains("rows as they were before")), "{turned:?}");
    assert_eq!(ground.stage_of("initech"), Stage::Closed);
    clerk.batch_execute(change).await.expect("by its snapshot it is open");
    clerk.batch_execute("commit").await.expect("in time");
    ground.well().await;
    assert_eq!(ground.stage_of("initech"), Stage::Choice);
}
