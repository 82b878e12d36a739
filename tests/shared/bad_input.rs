//! What cannot be fenced as it is: named, with what to do about it, and nothing is changed.

use portreeve::fence::{Layout, Shared};
use portreeve::grant::Scope;

use crate::ground::{Ground, found, shared, wanted};

#[tokio::test]
async fn each_table_that_cannot_be_fenced_is_named_with_what_to_do() {
    let ground = Ground::bare().await;
    let mut missed = Vec::new();
    for (before, change, after, says) in [
        (
            "create table loose (id int)",
            shared(),
            "drop table loose",
            ["table public.loose has no tenant column", "--table public.loose=COLUMN, --everybody public.loose"],
        ),
        (
            "",
            Shared { own: vec![("notes".to_owned(), "owner".to_owned())], ..shared() },
            "",
            ["table public.notes has no column owner", "--table public.notes=COLUMN"],
        ),
        (
            "create table odd (tenant_id numeric)",
            shared(),
            "drop table odd",
            ["column tenant_id of table public.odd is of type numeric", "bigint, uuid, text"],
        ),
        (
            "create table quiet (tenant_id int); create policy p on quiet using (false)",
            shared(),
            "drop table quiet",
            ["table public.quiet has row policies that are switched off", "drop them, or ALTER TABLE"],
        ),
        (
            "create collation loud (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             create table fuzzy (tenant_id text collate loud)",
            shared(),
            "drop table fuzzy; drop collation loud",
            ["takes different texts for equal", "give it another"],
        ),
        (
            "create table parent (id int); create table child (tenant_id int) inherits (parent)",
            Shared { everybody: vec!["countries".to_owned(), "parent".to_owned()], ..shared() },
            "drop table child, parent",
            ["table public.child inherits from public.parent", "declare public.parent otherwise"],
        ),
        (
            "",
            Shared { everybody: vec!["countries".to_owned(), "nowhere".to_owned()], ..shared() },
            "",
            ["there is no table nowhere", "schema.table"],
        ),
        (
            "",
            Shared { everybody: vec!["countries".to_owned(), "notes".to_owned()], ..shared() },
            "",
            ["table notes is declared twice", ""],
        ),
        (
            "",
            Shared { everybody: vec!["countries".to_owned(), "events_old".to_owned()], ..shared() },
            "",
            ["events_old cannot be declared", "declare its parent"],
        ),
    ] {
        if !before.is_empty() {
            ground.run(before).await;
        }
        match ground.apply(Layout::Shared(change)).await {
            Ok(_) => panic!("{says:?} is missing: it was applied"),
            Err(refused) if says.iter().all(|part| refused.contains(part)) => {}
            Err(refused) => missed.push(format!("{says:?} is not in: {refused}")),
        }
        if !after.is_empty() {
            ground.run(after).await;
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let left = "select count(*) from pg_policy where polname ~ '^portreeve_' union all
                select count(*) from pg_namespace where nspname = 'portreeve'";
    assert_eq!(ground.run(left).await, [[Some("0".to_owned())], [Some("0".to_owned())]], "nothing was changed");
}

#[tokio::test]
async fn views_that_stay_closed_are_told() {
    let ground = Ground::bare().await;
    let plan = ground.superuser().await.plan(&wanted(Layout::Shared(shared()))).await.expect("a plan");
    let notes = plan.notes.join("\n");
    assert!(notes.contains("view public.totals reads with its owner's rights"), "{notes}");
    assert!(notes.contains("materialised view public.summary"), "{notes}");
    assert!(!notes.contains("public.emails"), "{notes}");
}

#[tokio::test]
async fn rows_without_a_tenant_are_counted_and_nobodys() {
    let ground = Ground::fenced().await;
    let report =
        ground.superuser().await.check(None, Scope::Read, "portreeve_provisioner", &[]).await.expect("a report");
    assert!(report.is_sound(), "{report:#?}");
    let remark = report.remarks.iter().find(|remark| remark.word == "nullable:public.notes").expect("a remark");
    assert!(
        remark.found.contains("such rows are nobody's; there are 100") && remark.hint.contains("NOT NULL"),
        "{remark:?}"
    );
    assert!(!found(&report.remarks).contains(&"nullable:public.contacts"));
}

#[tokio::test]
async fn a_whole_database_becomes_shared_only_without_open_grants() {
    let ground = Ground::bare().await;
    ground.apply(Layout::Database).await.expect("one customer's");
    let verifier = postgres_protocol::password::scram_sha_256(b"x");
    let until = crate::ground::in_an_hour();
    ground.fence.open_grant("shared", "pr_g_1", Scope::Read, &verifier, until, 1).await.expect("a grant");
    let refused = ground.apply(Layout::Shared(shared())).await.expect_err("it would see nothing, or everything");
    assert!(refused.contains("grants for the whole database are open (pr_g_1)"), "{refused}");
    ground.fence.close_grant("shared", "pr_g_1").await.expect("closed");
    let steps = ground.apply(Layout::Shared(shared())).await.expect("applied");
    for revoked in ["table public.passwords", "table public.totals", "table public.summary", "table public.events_old"]
    {
        let step = format!("revoke select on {revoked}");
        assert!(steps.contains(&step), "no {step} in {steps:#?}");
    }
    ground.open("pr_g_2", Scope::Write, "7").await.expect("a grant");
    let report = ground.test("pr_g_2", Scope::Write).await;
    assert!(report.is_sound(), "{report:#?}");
}
