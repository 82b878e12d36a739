//! A closed customer's schema is shut to everybody but retention; reopened, it is open to the same as before.

use std::sync::Mutex;

use portreeve::purge::{
    Control, Pace, Place, SchemaOutcome, count_all, drop_schema, let_in, schema_target, shut_out, would_take,
};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

use crate::ground::{Ground, Version, words};
use crate::purged::maintenance;

const ACL: &str = "select string_agg(coalesce(grantee::regrole::text, '-') || ' ' || privilege_type || ' ' || is_grantable, ', '
    order by grantee::regrole::text, privilege_type) from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
    where nspname = ";

/// A session of the application's.
async fn clerk(ground: &Ground) -> Client {
    let dsn = ground.cluster.superuser_dsn("crm");
    let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute("set session authorization clerk").await.expect("as the clerk");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_schema_is_shut_and_has_everything_back() {
    for version in Version::BOTH {
        let ground = Ground::fenced(version).await;
        ground
            .run(
                "create role clerk login; grant usage on schema acme to clerk with grant option;
                 grant select, insert on acme.contacts to clerk; grant usage on acme.contacts_id_seq to clerk",
            )
            .await;
        let road = maintenance(&ground).await;
        let connection = road.connect("crm").await.expect("a connection");
        let acl = async |schema: &str| ground.value(&format!("{ACL}'{schema}'")).await;
        let before = (acl("acme").await, acl("globex").await);
        let (client, writing) = (clerk(&ground).await, clerk(&ground).await);
        let insert = client.prepare("insert into acme.contacts (email) values ('late')").await.expect("prepared");
        client.execute(&insert, &[]).await.expect("it is open");
        writing.batch_execute("begin; insert into acme.contacts (email) values ('under way')").await.expect("open");

        let place = Place::Schema("acme".to_owned());
        let shut = would_take(&connection, &place, &[]).await.expect("an answer");
        let shutting = shut_out(&connection, &place, &shut, &[]);
        let committing = async {
            while ground.value("select has_schema_privilege('clerk', 'acme', 'usage')").await == "t" {
                tokio::task::yield_now().await;
            }
            writing.batch_execute("commit").await.expect("what was under way comes to its end");
        };
        let (done, ()) = tokio::join!(shutting, committing);
        done.expect("shut");
        // a statement that was prepared before, too
        let refused = client.execute(&insert, &[]).await.expect_err("shut out");
        assert_eq!(words(&refused), "42501 permission denied for schema acme", "{version:?}");
        assert_eq!(ground.value("select has_schema_privilege('app', 'acme', 'usage, create')").await, "f");
        let counts = count_all(&connection, Some("acme")).await.expect("retention counts");
        assert!(counts.iter().any(|(table, rows)| table.name == "contacts" && *rows == 302), "{counts:?}");

        let_in(&connection, &place, &shut).await.expect("let in");
        assert_eq!((acl("acme").await, acl("globex").await), before, "{version:?}");
        client.execute(&insert, &[]).await.expect("it is open again");

        // the owner does not get it back while it is dropped
        shut_out(&connection, &place, &shut, &[]).await.expect("shut");
        let target = schema_target(&connection, "acme").await.expect("it is there");
        let (seen, cluster) = (Mutex::new(Vec::new()), &ground.cluster);
        let may_run = || {
            let asked = tokio::task::block_in_place(|| {
                let sql = "select has_schema_privilege('app', 'acme', 'usage')";
                tokio::runtime::Handle::current().block_on(cluster.run_sql("crm", sql))
            });
            seen.lock().expect("no panic").extend(asked.expect("asked").into_iter().flatten().flatten());
            true
        };
        let (_hold, stop) = watch::channel(false);
        let mut control = Control { may_run: &may_run, stop, tell: &mut |_: &_| {} };
        let dropped = drop_schema(&road, &target, &Pace::default(), &mut control).await.expect("dropped");
        assert!(matches!(dropped, SchemaOutcome::Done(_)), "{dropped:?}");
        let seen = seen.into_inner().expect("no panic");
        assert!(seen.len() > 1 && seen.iter().all(|usage| usage == "f"), "{seen:?}");
    }
}
