//! The self-test where customers share tables: each way to another customer's rows is found, by name, and found gone.

use portreeve::grant::Scope;

use crate::ground::{Ground, found};

/// What is done as superuser, undone again, and the one word that must stand among the refusals, and be new there.
const WAYS_OUT: &[(&str, &str, &str)] = &[
    ("create table fresh (id int); grant select on fresh to public", "drop table fresh", "undeclared:public.fresh"),
    (
        "create table fresh (id int); grant select (id) on fresh to portreeve_staff",
        "drop table fresh",
        "undeclared:public.fresh",
    ),
    ("grant select on passwords to public", "revoke select on passwords from public", "nobody:public.passwords"),
    (
        "alter table contacts disable row level security",
        "alter table contacts enable row level security",
        "unfenced:public.contacts",
    ),
    (
        "alter policy portreeve_fence on contacts to app",
        "alter policy portreeve_fence on contacts to portreeve_staff",
        "unfenced:public.contacts",
    ),
    (
        "alter policy portreeve_fence on contacts using (tenant_id < 9)",
        "alter policy portreeve_fence on contacts using (tenant_id = (select portreeve.customer()::integer))",
        "unfenced:public.contacts",
    ),
    (
        "alter policy portreeve_fence on contacts with check (true)",
        "alter policy portreeve_fence on contacts with check (tenant_id = (select portreeve.customer()::integer))",
        "unfenced:public.contacts",
    ),
    (
        "alter policy portreeve_fence on contacts rename to gone",
        "alter policy gone on contacts rename to portreeve_fence",
        "unfenced:public.contacts",
    ),
    (
        "create policy app_later on contacts using (tenant_id = 1)",
        "drop policy app_later on contacts",
        "overridden:public.contacts",
    ),
    (
        "grant select on events_old to public",
        "revoke select on events_old from public",
        "partition:public.events_old",
    ),
    ("grant select on totals to public", "revoke select on totals from public", "view:public.totals"),
    (
        "alter view emails set (security_invoker = false)",
        "alter view emails set (security_invoker = true)",
        "view:public.emails",
    ),
    ("grant select on summary to public", "revoke select on summary from public", "matview:public.summary"),
    (
        "create function total() returns bigint language sql security definer as 'select sum(v) from public.contacts'",
        "drop function total",
        "definer:public.total()",
    ),
    (
        "create table parent (id bigint not null, tenant_id int not null, email text, v int); alter table contacts inherit parent;
         insert into portreeve.shared_tables values ('parent', 'everybody'); grant select on parent to public",
        "alter table contacts no inherit parent; delete from portreeve.shared_tables where class = 'everybody'
            and relation = 'parent'::regclass; drop table parent",
        "child:public.contacts",
    ),
    (
        "create table parent (id bigint not null, tenant_id int not null, email text, v int);
         create table middle () inherits (parent);
         alter table contacts inherit middle;
         insert into portreeve.shared_tables values ('parent', 'everybody'); grant select on parent to public",
        "alter table contacts no inherit middle; delete from portreeve.shared_tables where class = 'everybody'
            and relation = 'parent'::regclass; drop table parent cascade",
        "child:public.contacts",
    ),
    ("select lo_create(99); grant select on large object 99 to public", "select lo_unlink(99)", "large-object"),
    ("alter role portreeve_shared_read noinherit", "alter role portreeve_shared_read inherit", "inherit"),
    ("alter role pr_g_1 noinherit", "alter role pr_g_1 inherit", "inherit"),
    ("alter role pr_g_1 bypassrls", "alter role pr_g_1 nobypassrls", "bypassrls"),
    ("grant app_owner to pr_g_1", "revoke app_owner from pr_g_1", "membership:app_owner"),
    ("grant truncate on contacts to public", "revoke truncate on contacts from public", "write:public.contacts"),
];

const A_WRITERS: &[(&str, &str, &str)] = &[
    (
        "grant update on countries to public",
        "revoke update on countries from public",
        "write-everybody:public.countries",
    ),
    ("grant truncate on contacts to public", "revoke truncate on contacts from public", "beyond-write:public.contacts"),
    (
        "alter table notes add column contact bigint references contacts on delete cascade",
        "alter table notes drop column contact",
        "fk:public.contacts.notes_contact_fkey",
    ),
    (
        "alter table notes add column contact bigint references contacts on delete set null",
        "alter table notes drop column contact",
        "fk:public.contacts.notes_contact_fkey",
    ),
    (
        "alter table notes add column contact bigint references contacts on update cascade",
        "alter table notes drop column contact",
        "fk:public.contacts.notes_contact_fkey",
    ),
    (
        "alter table countries add column contact bigint references contacts on delete set null",
        "alter table countries drop column contact",
        "fk:public.contacts.countries_contact_fkey",
    ),
    (
        "create table middle (id int primary key, contact bigint references contacts on delete cascade);
         create table far (middle int constraint far references middle on delete cascade)",
        "drop table middle, far",
        "fk:public.middle.far",
    ),
    (
        "create function wipe() returns trigger language plpgsql security definer as
            'begin delete from public.contacts; return null; end';
         create trigger wipe after insert on contacts execute function wipe()",
        "drop function wipe cascade",
        "trigger:public.contacts.wipe",
    ),
    (
        "create function wipe() returns trigger language plpgsql security definer as
            'begin delete from public.contacts; return null; end';
         create trigger wipe after insert on events_new execute function wipe()",
        "drop function wipe cascade",
        "trigger:public.events.wipe",
    ),
    (
        "create rule wipe as on insert to notes do also delete from contacts",
        "drop rule wipe on notes",
        "rule:public.notes.wipe",
    ),
];

#[tokio::test]
async fn each_way_to_another_customers_rows_is_found_and_found_gone() {
    let ground = Ground::fenced().await;
    for (role, scope, ways) in [("pr_g_1", Scope::Read, WAYS_OUT), ("pr_g_2", Scope::Write, A_WRITERS)] {
        ground.open(role, scope, "7").await.expect("a grant");
        let before = ground.test(role, scope).await;
        assert!(before.is_sound(), "{before:#?}");
        let mut missed = Vec::new();
        for (open, close, word) in ways {
            ground.run(open).await;
            let report = ground.test(role, scope).await;
            let words = found(&report.refusals);
            if !words.contains(word) {
                missed.push(format!("{open}: no {word} in {words:?}"));
            }
            if report.refusals.iter().any(|finding| finding.hint.is_empty()) {
                missed.push(format!("{open}: says not what to do"));
            }
            ground.run(close).await;
            let after = ground.test(role, scope).await;
            if after != before {
                missed.push(format!("{close}: {after:#?}"));
            }
        }
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }
}

#[tokio::test]
async fn foreign_keys_with_the_tenant_are_sound_and_oracles_are_told() {
    let ground = Ground::fenced().await;
    ground
        .run(
            "create unique index contacts_tenant on contacts (tenant_id, id);
             create table replies (id int, tenant_id int not null, contact bigint, other bigint references contacts,
                 primary key (tenant_id, id),
                 foreign key (tenant_id, contact) references contacts (tenant_id, id) on delete cascade);
             alter table replies owner to app_owner",
        )
        .await;
    ground.apply(portreeve::fence::Layout::AsItIs).await.expect("applied");
    ground.open("pr_g_1", Scope::Write, "7").await.expect("a grant");
    let report = ground.test("pr_g_1", Scope::Write).await;
    assert!(report.is_sound(), "{report:#?}");
    let told = |word: &str| {
        let remark = report.remarks.iter().find(|remark| remark.word == word);
        remark.unwrap_or_else(|| panic!("no {word} in {report:#?}")).found.clone()
    };
    assert!(told("unique-oracle").contains("contacts_pkey") && !told("unique-oracle").contains("contacts_tenant"));
    assert!(!told("unique-oracle").contains("replies_pkey"), "it begins with the tenant column");
    assert!(told("fk-oracle").contains("public.replies.replies_other_fkey"), "{}", told("fk-oracle"));
    assert!(!told("fk-oracle").contains("tenant_id_contact"), "{}", told("fk-oracle"));
    assert!(told("counts").contains("EXPLAIN ANALYZE"));
}

#[tokio::test]
async fn policies_the_application_makes_later_take_over_when_the_fence_is_applied_again() {
    let ground = Ground::fenced().await;
    ground.run("create policy app_later on contacts to app using (tenant_id = 1)").await;
    let app = ground.application().await;
    const COUNT: &str = "select count(*) from contacts";
    assert_eq!(crate::ground::one(&app, COUNT).await, "30000", "overridden, which the self-test refuses");
    ground.apply(portreeve::fence::Layout::AsItIs).await.expect("applied");
    assert_eq!(crate::ground::one(&app, COUNT).await, "300");
    let seven = ground.seven("pr_g_1", Scope::Read).await;
    assert!(ground.test("pr_g_1", Scope::Read).await.is_sound());
    assert_eq!(crate::ground::one(&seven, COUNT).await, "300");
    ground.fence.end("shared", "pr_g_1", std::time::Duration::from_secs(2)).await.expect("ended");
    ground.fence.close_grant("shared", "pr_g_1").await.expect("closed");
    ground.superuser().await.remove(portreeve::cli::demo::cluster::PROVISIONER).await.expect("removed");
    assert_eq!(crate::ground::one(&app, COUNT).await, "300", "row security stays on for the application's own");
}
