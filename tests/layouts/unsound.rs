//! What makes the fence of schemas unsound: each way is found by the self-test, by name.

use portreeve::grant::Scope;

use crate::ground::{Ground, Version, found};

/// What is done as superuser, undone again, for which scope, and the finding that must then refuse.
const WAYS_OUT: &[(&str, &str, Scope, &str)] = &[
    (
        "grant usage on schema globex to public",
        "revoke usage on schema globex from public",
        Scope::Read,
        "schema:globex",
    ),
    (
        "grant select on public.plans to public",
        "revoke select on public.plans from public",
        Scope::Read,
        "outside:public.plans",
    ),
    (
        "create view acme.leak as select * from globex.contacts; grant select on acme.leak to portreeve_staff",
        "drop view acme.leak",
        Scope::Read,
        "view:acme.leak",
    ),
    (
        "create materialized view acme.copy as select * from globex.contacts; grant select on acme.copy to public",
        "drop materialized view acme.copy",
        Scope::Read,
        "view:acme.copy",
    ),
    (
        "create view acme.inner as select * from globex.contacts; create view acme.leak as select * from acme.inner;
         grant select on acme.leak to portreeve_staff",
        "drop view acme.inner cascade",
        Scope::Read,
        "view:acme.leak",
    ),
    (
        "create view globex.inner with (security_invoker = true) as select * from globex.contacts;
         create materialized view acme.inner as select * from globex.inner; create view acme.leak as select * from acme.inner;
         grant select on acme.leak to portreeve_staff",
        "drop view globex.inner cascade",
        Scope::Read,
        "view:acme.leak",
    ),
    (
        "create table acme.parent (id int); create table globex.heir () inherits (acme.parent);
         create view acme.leak as select * from acme.parent; grant select on acme.leak to portreeve_staff",
        "drop table acme.parent cascade",
        Scope::Read,
        "view:acme.leak",
    ),
    (
        "create table acme.middle () inherits (acme.orders); create table globex.child () inherits (acme.middle)",
        "drop table acme.middle cascade",
        Scope::Read,
        "child:globex.child",
    ),
    (
        "create table acme.middle (id int primary key references acme.orders on delete cascade);
         create table globex.far (middle int constraint far references acme.middle on delete set null)",
        "drop table acme.middle cascade; drop table globex.far",
        Scope::Write,
        "fk:acme.middle.far",
    ),
    (
        "create table globex.child () inherits (acme.orders)",
        "drop table globex.child",
        Scope::Read,
        "child:globex.child",
    ),
    (
        "alter table globex.orders add constraint far foreign key (id) references acme.orders on delete cascade",
        "alter table globex.orders drop constraint far",
        Scope::Write,
        "fk:acme.orders.far",
    ),
    (
        "create function acme.peek() returns trigger language plpgsql security definer as 'begin return new; end';
         create trigger peek before insert on acme.orders for each row execute function acme.peek()",
        "drop function acme.peek cascade",
        Scope::Write,
        "trigger:acme.orders.peek",
    ),
    (
        "create rule also as on insert to acme.orders do also select 1",
        "drop rule also on acme.orders",
        Scope::Write,
        "rule:acme.orders.also",
    ),
    (
        "create function acme.all_of_them() returns bigint language sql security definer as 'select 1::bigint'",
        "drop function acme.all_of_them",
        Scope::Read,
        "definer:acme.all_of_them()",
    ),
    (
        "select lo_create(4711); grant select on large object 4711 to public",
        "select lo_unlink(4711)",
        Scope::Read,
        "large-object",
    ),
    (
        "grant select on acme.contacts to public",
        "revoke select on acme.contacts from public",
        Scope::Metadata,
        "personal:acme.contacts",
    ),
    (
        "grant select (email) on acme.contacts to portreeve_staff",
        "revoke select (email) on acme.contacts from portreeve_staff",
        Scope::Metadata,
        "personal:acme.contacts.email",
    ),
    (
        "select lo_create(4712); grant select on large object 4712 to public",
        "select lo_unlink(4712)",
        Scope::Metadata,
        "personal:large-object",
    ),
    (
        // As a cluster has it that was initialised before CVE-2024-4317 was mended.
        "create table kept as select pg_get_viewdef('pg_stats_ext_exprs'::regclass) as mended;
         set allow_system_table_mods = on;
         do $$ begin execute 'create or replace view pg_catalog.pg_stats_ext_exprs as '
             || (select regexp_replace(mended, 'pg_has_role\\([^)]*\\)', 'true') from kept); end $$;
         create statistics acme.common on v, country from acme.contacts",
        "set allow_system_table_mods = on; drop statistics acme.common;
         do $$ begin execute 'create or replace view pg_catalog.pg_stats_ext_exprs as ' || (select mended from kept); end $$;
         drop table kept",
        Scope::Read,
        "stats-ext:pg_stats_ext_exprs",
    ),
    ("alter schema acme rename to gone", "alter schema gone rename to acme", Scope::Read, "no-schema"),
];

#[tokio::test]
async fn each_way_out_is_found_by_name() {
    for version in Version::BOTH {
        let ground = Ground::fenced(version).await;
        let role = |scope: Scope| format!("pr_g_{scope}");
        for scope in [Scope::Metadata, Scope::Read, Scope::Write] {
            ground.open(&role(scope), scope, "acme").await.expect("a grant");
        }
        let mut missed = Vec::new();
        for (make, unmake, scope, word) in WAYS_OUT {
            let before = ground.test(&role(*scope), *scope).await;
            assert!(before.is_sound(), "{version:?}, before {word}: {before:#?}");
            ground.run(make).await;
            let report = ground.test(&role(*scope), *scope).await;
            if !found(&report.refusals).contains(word) {
                missed.push(format!("{version:?}: {word} is not in {:?}", found(&report.refusals)));
            }
            ground.run(unmake).await;
        }
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }
}

/// What leads nowhere else is no finding: a chain that stays in the schema, one that a reader's own rights end, and a key
/// whose action cannot reach the next table.
#[tokio::test]
async fn a_chain_that_leads_nowhere_is_no_finding() {
    let ground = Ground::fenced(Version::Fifteen).await;
    ground
        .run(
            "create view acme.inner as select * from acme.contacts; create view acme.outer as select * from acme.inner;
             create view globex.checked with (security_invoker = true) as select * from globex.contacts;
             create view acme.looks with (security_invoker = true) as select * from globex.checked;
             grant select on acme.outer, acme.looks to portreeve_staff;
             create table acme.middle (id int primary key, orders int references acme.orders on delete set null);
             create table globex.far (middle int references acme.middle on delete cascade)",
        )
        .await;
    for (role, scope) in [("pr_g_1", Scope::Read), ("pr_g_2", Scope::Write)] {
        ground.open(role, scope, "acme").await.expect("a grant");
        let report = ground.test(role, scope).await;
        assert!(report.is_sound(), "{report:#?}");
    }
}
