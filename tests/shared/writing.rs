//! What a writer of one tenant changes, and what they cannot.

use portreeve::grant::Scope;

use crate::ground::{Ground, ask, one};

const POLICY: &str = "42501 new row violates row-level security policy";
const DENIED: &str = "42501 permission denied";

#[tokio::test]
async fn a_writer_changes_one_customers_rows_only() {
    let ground = Ground::fenced().await;
    let others = "select md5(string_agg(c::text, ',' order by id)) from contacts c where tenant_id <> 7";
    let before = ground.run(others).await;
    let seven = ground.seven("pr_g_1", Scope::Write).await;
    for (sql, answer) in [
        ("insert into contacts (tenant_id, email, v) values (7, 'new', 0) returning tenant_id", "7"),
        ("update contacts set v = -1 where email = 'new' returning v", "-1"),
        ("with gone as (delete from contacts where email = 'new' returning 1) select count(*) from gone", "1"),
        ("with hit as (update contacts set v = 0 where tenant_id = 8 returning 1) select count(*) from hit", "0"),
        ("with gone as (delete from contacts where id % 100 = 0 returning 1) select count(*) from gone", "0"),
        (
            "with hit as (update contacts set v = v returning tenant_id) \
             select count(*), min(tenant_id), max(tenant_id) from hit",
            "300 7 7",
        ),
        ("insert into events values (7, '2024-01-01', 'x') returning tenant_id", "7"),
        ("update events set at = '2026-01-01' where what = 'x' returning tenant_id", "7"),
        ("insert into emails values (7, 'by view') returning tenant_id", "7"),
        ("delete from emails where email = 'by view' returning tenant_id", "7"),
    ] {
        assert_eq!(one(&seven, sql).await, answer, "{sql}");
    }
    for (sql, code) in [
        ("insert into contacts (tenant_id, email) values (8, 'x')", POLICY),
        ("insert into contacts (tenant_id, email) select tenant_id + 1, email from contacts", POLICY),
        ("update contacts set tenant_id = 8", POLICY),
        (
            "insert into contacts (id, tenant_id) select id, 8 from contacts limit 1 \
             on conflict (id) do update set tenant_id = 8",
            POLICY,
        ),
        (
            "merge into contacts c using (values (7)) s(t) on c.tenant_id = s.t when matched then update set tenant_id = 8",
            POLICY,
        ),
        (
            "merge into contacts c using (values (8)) s(t) on c.tenant_id = s.t \
             when not matched then insert (tenant_id) values (8)",
            POLICY,
        ),
        ("insert into emails values (8, 'x')", POLICY),
        ("update events set tenant_id = 8", POLICY),
        ("insert into notes values (0, null, 'nobody''s')", POLICY),
        ("insert into events_new values (7, '2026-01-01', 'x')", DENIED),
        ("insert into countries values ('XX')", DENIED),
        ("update countries set code = 'XX'", DENIED),
        ("delete from countries", DENIED),
        ("insert into passwords values (2, 'y')", DENIED),
        ("truncate contacts", DENIED),
        ("create index on contacts (v)", "42501 must be owner"),
        (
            "create trigger t before insert on contacts for each row execute function suppress_redundant_updates_trigger()",
            DENIED,
        ),
    ] {
        let refused = one(&seven, sql).await;
        assert!(refused.starts_with(code), "{sql}: {refused}");
    }
    let copy = seven.copy_in::<_, bytes::Bytes>("copy contacts (tenant_id) from stdin").await.err().expect("refused");
    let copy = crate::ground::words(&copy);
    assert!(copy.contains("COPY FROM not supported with row-level security"), "{copy}");
    assert_eq!(ground.run(others).await, before, "not a byte of another customer's row");
    let report = ground.test("pr_g_1", Scope::Write).await;
    assert!(report.is_sound(), "{report:#?}");
}

/// An owner's foreign-key action is not held by any policy: this is what the self-test refuses (`fk:`).
#[tokio::test]
async fn a_cascade_would_reach_another_customers_row() {
    let ground = Ground::fenced().await;
    ground
        .run(
            "create table replies (id int primary key, tenant_id int not null,
                 contact bigint references contacts on delete cascade);
             insert into replies select 1, 8, id from contacts where tenant_id = 7 limit 1;
             alter table replies owner to app_owner",
        )
        .await;
    ground.apply(portreeve::fence::Layout::AsItIs).await.expect("the new table has the tenant column");
    let seven = ground.seven("pr_g_1", Scope::Write).await;
    let report = ground.test("pr_g_1", Scope::Write).await;
    let words = crate::ground::found(&report.refusals);
    assert_eq!(words, ["fk:public.contacts.replies_contact_fkey"], "{report:#?}");
    ask(&seven, "delete from contacts").await.expect("its own contacts");
    assert_eq!(ground.run("select count(*) from replies").await, [[Some("0".to_owned())]], "as PostgreSQL does");
    let reader = ground.open("pr_g_2", Scope::Read, "7").await;
    reader.expect("a grant");
    assert!(ground.test("pr_g_2", Scope::Read).await.is_sound(), "a reader deletes nothing");
}
