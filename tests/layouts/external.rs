//! `fence = "external"` where customers share a database: a role for each, found sound only where the catalogs show that it
//! reaches one customer. Through the gate: `tests/endings/external.rs`.

use std::fs;

use portreeve::cli::demo::cluster::Cluster;
use portreeve::fence::{Accepted, Error, Fence, Login, Place, Report, Upstream};
use portreeve::grant::{Layout, Scope};
use portreeve::net::tls_connect::VerifiedTls;
use portreeve::secret::Secret;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};

use crate::ground::{TABLES, Version, ask, cluster, found, one, upstream_of, words};

const ENDER: &str = "create role ender login password 'ender'; grant pg_signal_backend, pg_read_all_stats to ender;
    grant connect on database crm to ender";

/// Somebody else's roles for two customers with a schema each.
const OF_SCHEMAS: &str = "
create role support_acme login password 'support'; create role support_globex login password 'support';
revoke all on database crm from public; grant connect on database crm to support_acme, support_globex;
grant usage on schema acme to support_acme; grant select on acme.contacts, acme.orders to support_acme;
grant usage on schema globex to support_globex; grant select on globex.contacts, globex.orders to support_globex";

/// Tables of two customers, whose keys are numbers and texts, and somebody else's policies for one of them.
const OF_TENANTS: &str = "
create table contacts (id int primary key, tenant int not null, email text);
insert into contacts select g, 7 + g % 2, g || case g % 2 when 0 then '@seven' else '@eight' end from generate_series(1, 100) g;
create table notes (id int primary key, owner varchar(20) not null, note text);
insert into notes select g, 7 + g % 2, case g % 2 when 0 then 'seven' else 'eight' end from generate_series(1, 100) g;
create table countries (code text primary key); insert into countries values ('NL');
create role support_7 login password 'support';
revoke all on database crm from public; grant connect on database crm to support_7;
grant select, insert, update, delete on contacts, notes to support_7;
alter table contacts enable row level security; alter table notes enable row level security;
create policy app on contacts using (true); create policy app on notes using (true);
create policy seven on contacts as restrictive to support_7 using (tenant = 7);
create policy seven on notes as restrictive to support_7 using (owner = '7')";

/// Ways to spoil the policies, the finding, and the way back.
const SPOILT: [(&str, &str, &str); 9] = [
    (
        "alter policy seven on contacts using (tenant = 8)",
        "undeclared:public.contacts",
        "alter policy seven on contacts using (tenant = 7)",
    ),
    (
        "alter policy seven on contacts using (tenant = current_setting('app.tenant')::int)",
        "undeclared:public.contacts",
        "alter policy seven on contacts using (tenant = 7)",
    ),
    (
        "alter policy seven on contacts using (tenant = 7 or id = 1)",
        "undeclared:public.contacts",
        "alter policy seven on contacts using (tenant = 7)",
    ),
    (
        "alter policy seven on contacts with check (true)",
        "undeclared:public.contacts",
        "alter policy seven on contacts with check (tenant = 7)",
    ),
    (
        "drop policy seven on contacts; create policy seven on contacts to support_7 using (tenant = 7)",
        "undeclared:public.contacts",
        "drop policy seven on contacts; create policy seven on contacts as restrictive to support_7 using (tenant = 7)",
    ),
    (
        "drop policy seven on notes; create policy seven on notes as restrictive for select to support_7 using (owner = '7')",
        "undeclared:public.notes",
        "drop policy seven on notes; create policy seven on notes as restrictive to support_7 using (owner = '7')",
    ),
    (
        "alter table notes disable row level security",
        "undeclared:public.notes",
        "alter table notes enable row level security",
    ),
    ("grant select on countries to public", "undeclared:public.countries", "revoke select on countries from public"),
    (
        "create view seen as select * from contacts; grant select on seen to support_7",
        "view:public.seen",
        "drop view seen",
    ),
];

/// A cluster with a database `crm`, to which whoever has a password is let in, and the fence around it.
async fn ground(version: Version, sql: &[&str]) -> Cluster {
    let cluster = cluster(version, &[]).await;
    cluster.create_database("crm").await.expect("a database");
    for sql in sql {
        cluster.run_sql("crm", sql).await.unwrap_or_else(|error| unreachable!("{sql}: {error}"));
    }
    let hba = cluster.directory().join("data/pg_hba.conf");
    let lines = fs::read_to_string(&hba).expect("a file");
    fs::write(&hba, format!("hostssl crm all 127.0.0.1/32 scram-sha-256\n{lines}")).expect("written");
    cluster.run_sql("crm", "select pg_reload_conf()").await.expect("read again");
    cluster
}

fn fence(cluster: &Cluster, role: &str, accepted: &[&str]) -> Fence {
    let upstream = upstream_of(cluster);
    let upstream = Upstream { provisioner: "ender".to_owned(), password: Secret::new("ender".to_owned()), ..upstream };
    let accepted = accepted.iter().map(|entry| Accepted::from_entry(entry)).collect();
    let login = |scope| Login { scope, role: role.to_owned(), password: Secret::new("support".to_owned()) };
    Fence::external(upstream, accepted, vec![login(Scope::Read), login(Scope::Write)]).expect("a fence")
}

async fn sign_in(cluster: &Cluster, role: &str) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(cluster.port()).dbname("crm").user(role).password("support");
    config.ssl_mode(SslMode::Require);
    let tls = VerifiedTls::new(cluster.proxy_tls().expect("files"), "localhost").expect("a name");
    let (client, connection) = config.connect(tls).await.unwrap_or_else(|error| unreachable!("{}", words(&error)));
    tokio::spawn(connection);
    client
}

fn place(tenant: &str) -> Place<'_> {
    Place { database: "crm", tenant: Some(tenant) }
}

async fn tested(fence: &Fence, tenant: &str, layout: Layout, scope: Scope) -> Report {
    let (role, _) = fence.login(place(tenant), scope).expect("it is named").expect("somebody else's");
    fence.external_test(place(tenant), layout, &role, scope).await.expect("a report")
}

#[tokio::test]
async fn one_role_for_all_is_refused_and_one_for_each_is_named() {
    for version in Version::BOTH {
        let cluster = ground(version, &[ENDER]).await;
        let refused =
            fence(&cluster, "support", &[]).login(place("acme"), Scope::Read).expect_err("it reaches them all");
        assert!(matches!(refused, Error::NoLogin { .. }) && refused.is_not_set_up());
        assert!(refused.to_string().contains("would reach them all; write {tenant} into its name"), "{refused}");
        let each = fence(&cluster, "support_{tenant}", &[]);
        let (role, _) = each.login(place("acme"), Scope::Read).expect("named").expect("somebody else's");
        assert_eq!(role, "support_acme");
        let refused = each.login("crm", Scope::Read).expect_err("it is named after what there is not");
        assert!(refused.to_string().contains("named after a schema or a tenant key"), "{refused}");
        let refused = each.login(place(&"x".repeat(60)), Scope::Read).expect_err("too long");
        assert!(refused.to_string().contains("longer than 63 bytes"), "{refused}");
        let refused = each.login(place("acme"), Scope::Metadata).expect_err("none");
        assert!(refused.to_string().contains("none is named for the scope metadata"), "{refused}");
    }
}

#[tokio::test]
async fn a_role_for_each_schema_reaches_that_schema() {
    for version in Version::BOTH {
        let cluster = ground(version, &[TABLES, ENDER, OF_SCHEMAS]).await;
        let unread = fence(&cluster, "support_{tenant}", &[]);
        let report = tested(&unread, "acme", Layout::Schema, Scope::Read).await;
        assert_eq!(found(&report.refusals), ["shared-role"], "nobody has read what it cannot do");
        let fence = fence(&cluster, "support_{tenant}", &["shared-role we have read what it cannot do"]);
        for customer in ["acme", "globex"] {
            let report = tested(&fence, customer, Layout::Schema, Scope::Read).await;
            assert!(report.is_sound(), "{version:?} {customer}: {report:?}");
        }
        let (role, _) = fence.login(place("acme"), Scope::Read).expect("named").expect("somebody else's");
        let client = sign_in(&cluster, &role).await;
        assert_eq!(one(&client, "select count(*) from acme.contacts").await, "300");
        let refused = ask(&client, "select * from globex.contacts").await.expect_err("another customer's");
        assert!(refused.starts_with("42501"), "{refused}");
        for (spoil, word, mend) in [
            (
                "grant usage on schema globex to support_acme",
                "schema:globex",
                "revoke usage on schema globex from support_acme",
            ),
            (
                "grant select on public.plans to public",
                "outside:public.plans",
                "revoke select on public.plans from public",
            ),
            (
                "create view acme.theirs as select * from globex.contacts; grant select on acme.theirs to support_acme",
                "view:acme.theirs",
                "drop view acme.theirs",
            ),
            (
                "create role support_base; grant support_base to support_acme",
                "membership:support_base",
                "drop role support_base",
            ),
            (
                "alter table globex.contacts inherit acme.contacts",
                "child:globex.contacts",
                "alter table globex.contacts no inherit acme.contacts",
            ),
            (
                "grant update on acme.contacts to public",
                "write:acme.contacts",
                "revoke update on acme.contacts from public",
            ),
        ] {
            cluster.run_sql("crm", spoil).await.expect(spoil);
            let report = tested(&fence, "acme", Layout::Schema, Scope::Read).await;
            assert!(found(&report.refusals).contains(&word), "{version:?}: {spoil}: {report:?}");
            cluster.run_sql("crm", mend).await.expect(mend);
        }
        assert!(tested(&fence, "acme", Layout::Schema, Scope::Read).await.is_sound());
        taken_on(&cluster, version, &client).await;
        let nobodys = fence.external_test(place("initech"), Layout::Schema, "support_acme", Scope::Read).await;
        let nobodys = nobodys.expect("a report");
        assert!(found(&nobodys.refusals).contains(&"no-schema"), "{nobodys:?}");
    }
}

/// Another customer's schema by a role that is only taken on, though its membership was accepted.
async fn taken_on(cluster: &Cluster, version: Version, acmes: &Client) {
    let aside = without_inheriting(version, "support_base", "support_acme");
    let aside = format!(
        "create role support_base; {aside}; grant usage on schema globex to support_base;
         grant select on globex.contacts to support_base"
    );
    cluster.run_sql("crm", &aside).await.expect(&aside);
    ask(acmes, "set role support_base").await.expect("a member may");
    assert_eq!(one(acmes, "select count(*) from globex.contacts").await, "300", "so it is refused");
    ask(acmes, "reset role").await.expect("back");
    let accepted = ["shared-role we have read what it cannot do", "membership:support_base it carries the privileges"];
    let fence = fence(cluster, "support_{tenant}", &accepted);
    let report = tested(&fence, "acme", Layout::Schema, Scope::Read).await;
    assert_eq!(found(&report.refusals), ["set-role:support_base"], "{version:?}: {report:?}");
    let back = "drop owned by support_base; drop role support_base; alter role support_acme inherit";
    cluster.run_sql("crm", back).await.expect(back);
}

#[tokio::test]
async fn a_role_for_each_tenant_is_held_by_policies_that_name_the_key() {
    for version in Version::BOTH {
        let cluster = ground(version, &[ENDER, OF_TENANTS]).await;
        let fence = fence(&cluster, "support_{tenant}", &["shared-role we have read what it cannot do"]);
        for scope in [Scope::Read, Scope::Write] {
            let report = tested(&fence, "7", Layout::Shared, scope).await;
            let reads = scope == Scope::Read;
            assert_eq!(report.is_sound(), !reads, "{version:?}: a reader that may write is none: {report:?}");
        }
        let client = sign_in(&cluster, "support_7").await;
        for table in ["contacts", "notes"] {
            assert_eq!(one(&client, &format!("select count(*) from {table}")).await, "50", "{table}");
            let deleted =
                format!("with gone as (delete from {table} where id % 2 = 1 returning 1) select count(*) from gone");
            assert_eq!(one(&client, &deleted).await, "0", "another customer's rows of {table}");
        }
        let refused = ask(&client, "update contacts set tenant = 8").await.expect_err("another customer's");
        assert!(refused.starts_with("42501"), "{refused}");
        for (spoil, word, mend) in SPOILT {
            cluster.run_sql("crm", spoil).await.expect(spoil);
            let report = tested(&fence, "7", Layout::Shared, Scope::Write).await;
            assert!(found(&report.refusals).contains(&word), "{version:?}: {spoil}: {report:?}");
            cluster.run_sql("crm", mend).await.expect(mend);
            let report = tested(&fence, "7", Layout::Shared, Scope::Write).await;
            assert!(report.is_sound(), "{version:?}: {mend}: {report:?}");
        }
        loose(&cluster, &fence).await;
        escapes(&cluster, version).await;
    }
}

/// A type of its own may take several keys for one, whatever schema it lies in: the policy tells nobody apart.
async fn loose(cluster: &Cluster, fence: &Fence) {
    for schema in ["public", "pg_catalog"] {
        let sql = format!(
            "create extension citext schema {schema}; create table labels (id int primary key, owner citext not null);
             insert into labels values (1, 'Acme'), (2, 'acme'); alter table labels enable row level security;
             create policy app on labels using (true);
             create policy acme on labels as restrictive to support_acme using (owner = 'acme');
             grant select on labels to support_acme"
        );
        cluster.run_sql("crm", "create role support_acme login password 'support'").await.expect("a role");
        cluster.run_sql("crm", "grant connect on database crm to support_acme").await.expect("granted");
        cluster.run_sql("crm", &sql).await.expect("labels");
        let client = sign_in(cluster, "support_acme").await;
        assert_eq!(one(&client, "select count(*) from labels").await, "2", "two keys are one");
        let report = tested(fence, "acme", Layout::Shared, Scope::Read).await;
        assert_eq!(found(&report.refusals), ["undeclared:public.labels"], "{schema}: {report:?}");
        let exact = "drop policy acme on labels;
            create policy acme on labels as restrictive to support_acme using (owner::text = 'acme')";
        cluster.run_sql("crm", exact).await.expect(exact);
        assert_eq!(one(&client, "select count(*) from labels").await, "1");
        let report = tested(fence, "acme", Layout::Shared, Scope::Read).await;
        assert!(report.is_sound(), "{schema}: compared as text it is one key: {report:?}");
        drop(client);
        let gone = "drop table labels; drop extension citext; drop owned by support_acme; drop role support_acme";
        cluster.run_sql("crm", gone).await.expect(gone);
    }
}

/// To let `member` take that role on, and inherit nothing from it.
fn without_inheriting(version: Version, role: &str, member: &str) -> String {
    match version {
        Version::Fifteen => format!("alter role {member} noinherit; grant {role} to {member}"),
        Version::Eighteen => format!("grant {role} to {member} with inherit false, set true"),
    }
}

/// A role that may be taken on leaves the policy that does not name it; accepted or not, that is seen.
async fn escapes(cluster: &Cluster, version: Version) {
    let base = "create role support_base; grant support_base to support_7; grant select on contacts to support_base";
    cluster.run_sql("crm", base).await.expect(base);
    let accepted = ["shared-role we have read what it cannot do", "membership:support_base it carries the privileges"];
    let fence = fence(cluster, "support_{tenant}", &accepted);
    let report = tested(&fence, "7", Layout::Shared, Scope::Write).await;
    assert!(found(&report.refusals).contains(&"undeclared:public.contacts"), "{report:?}");
    let client = sign_in(cluster, "support_7").await;
    ask(&client, "set role support_base").await.expect("a member may");
    assert_eq!(one(&client, "select count(*) from contacts").await, "100", "all customers' rows: so it is refused");
    let both = "alter policy seven on contacts to support_7, support_base";
    cluster.run_sql("crm", both).await.expect(both);
    assert_eq!(one(&client, "select count(*) from contacts").await, "50");
    let report = tested(&fence, "7", Layout::Shared, Scope::Write).await;
    assert_eq!(found(&report.refusals), ["undeclared:public.notes"], "it could be given to that role too: {report:?}");

    // What is not inherited is asked for by SET ROLE, and no question about support_7 shows it.
    let both = "alter policy seven on notes to support_7, support_base";
    cluster.run_sql("crm", both).await.expect(both);
    let report = tested(&fence, "7", Layout::Shared, Scope::Write).await;
    assert!(report.is_sound(), "an accepted membership that is inherited: {report:?}");
    let aside = without_inheriting(version, "support_base", "support_7");
    let aside = format!("{aside}; grant select on countries to support_base");
    cluster.run_sql("crm", &aside).await.expect(&aside);
    ask(&client, "reset role").await.expect("back");
    let refused = ask(&client, "select * from countries").await.expect_err("not inherited");
    assert!(refused.starts_with("42501"), "{refused}");
    ask(&client, "set role support_base").await.expect("a member may");
    assert_eq!(one(&client, "select count(*) from countries").await, "1", "so it is refused");
    let report = tested(&fence, "7", Layout::Shared, Scope::Write).await;
    assert!(found(&report.refusals).contains(&"set-role:support_base"), "{report:?}");
    let accepted = ["shared-role we have read it", "membership it carries the privileges", "set-role we know better"];
    let report = tested(&self::fence(cluster, "support_{tenant}", &accepted), "7", Layout::Shared, Scope::Write).await;
    assert!(found(&report.refusals).contains(&"set-role:support_base"), "nobody may accept that: {report:?}");
}
