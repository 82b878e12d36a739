//! The application notices nothing: its plans and results, as owner of the tables or not, before, under and after the
//! fence; and what `remove` gives back.

use portreeve::cli::demo::cluster::PROVISIONER;
use portreeve::fence::Layout;

use crate::ground::{Ground, ask, one, shared, wanted};

/// By operators that are leakproof, as nearly all comparisons are.
const QUERIES: &[&str] = &[
    "select * from contacts where v = 5",
    "select count(*) from contacts",
    "select * from contacts where tenant_id = 7 order by id",
    "select tenant_id, count(*) from contacts where v between 10 and 20000 group by 1 order by 1",
    "select c.id, n.id from contacts c join notes n on n.id = c.id where c.tenant_id = 3 order by 1",
    "select n.account, sum(c.v) from contacts c join notes n on n.account = c.tenant_id group by 1 order by 1",
    "select * from events where at = '2024-12-24' and tenant_id = 5",
    "select * from totals order by 1",
    "select * from emails where tenant_id = 9 order by 2",
    "select * from countries order by 1",
    "select * from documents order by 1",
    "update contacts set v = v where tenant_id = -4",
    "delete from notes where id = -1",
    "insert into contacts (id, tenant_id) values (1, 9) on conflict do nothing",
];

async fn seen(ground: &Ground) -> Vec<(String, String)> {
    let app = ground.application().await;
    ask(&app, "set app.tenant = '8'; set extra_float_digits = 0").await.expect("set");
    let mut seen = Vec::new();
    for settings in ["select 1", PARALLEL] {
        ask(&app, settings).await.expect("settings");
        for query in QUERIES {
            let plan = one(&app, &format!("explain {query}")).await;
            let rows = one(&app, &format!("begin; {query}; rollback")).await;
            seen.push((plan, rows));
        }
    }
    assert!(seen.iter().any(|(plan, _)| plan.contains("Parallel Seq Scan")), "{seen:#?}");
    seen
}

/// What makes small tables worth several processes: a policy may not take that away.
const PARALLEL: &str = "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
                        set max_parallel_workers_per_gather = 2";

#[tokio::test]
async fn its_plans_and_results_stay_the_same() {
    let ground = Ground::bare().await;
    ask(&ground.application().await, "select 1").await.expect("it works");
    let before = seen(&ground).await;
    ground.apply(Layout::Shared(shared())).await.expect("applied");
    for ((query, before), under) in QUERIES.iter().cycle().zip(&before).zip(seen(&ground).await) {
        assert_eq!(*before, under, "{query}");
    }
    ground.superuser().await.remove(PROVISIONER).await.expect("removed");
    for ((query, before), after) in QUERIES.iter().cycle().zip(&before).zip(seen(&ground).await) {
        assert_eq!(*before, after, "{query}");
    }
}

/// HOLE: where row security is on, PostgreSQL does not use statistics for operators that are not leakproof, such as
/// LIKE, unless the role owns the table or has BYPASSRLS. Results stay; an estimate, and so a plan, may change.
#[tokio::test]
async fn an_owner_or_bypassrls_keeps_every_estimate() {
    let ground = Ground::bare().await;
    const LIKE: &str = "explain select * from contacts where email like 'e12%' or v::numeric = 7";
    let before = one(&ground.application().await, LIKE).await;
    ground.apply(Layout::Shared(shared())).await.expect("applied");
    let under = one(&ground.application().await, LIKE).await;
    ground.run("alter role app bypassrls").await;
    assert_eq!(one(&ground.application().await, LIKE).await, before);
    ground.run("alter role app nobypassrls; grant app_owner to app").await;
    assert_eq!(one(&ground.application().await, LIKE).await, before);
    assert_ne!(before, under, "PostgreSQL got better: the note in the documentation can go");
}

#[tokio::test]
async fn who_would_lose_copy_is_asked_about() {
    let ground = Ground::bare().await;
    let mut without = shared();
    without.without_copy.clear();
    let asked = ground.apply(Layout::Shared(without.clone())).await.expect_err("it asks");
    assert!(
        asked.contains("\"app\" loses COPY FROM into public.contacts")
            && asked.contains("BYPASSRLS")
            && asked.contains("--without-copy app")
            && asked.contains("nothing was changed"),
        "{asked}"
    );
    ground.run("grant app_owner to app").await;
    ground.apply(Layout::Shared(without)).await.expect("an owner is not asked about");
}

const EVERYTHING: &str = "
select c.relname, c.relrowsecurity::text, c.relacl::text, string_agg(p.polname, ',' order by p.polname)
from pg_class c left join pg_policy p on p.polrelid = c.oid where c.relnamespace = 'public'::regnamespace
group by c.oid order by 1";

#[tokio::test]
async fn removing_it_gives_everything_back() {
    let ground = Ground::bare().await;
    let before = ground.run(EVERYTHING).await;
    ground.apply(Layout::Shared(shared())).await.expect("applied");
    assert_ne!(ground.run(EVERYTHING).await, before);
    assert_eq!(ground.apply(Layout::AsItIs).await, Ok(Vec::new()), "what stands is not done again");
    ground.run("alter table notes rename to remarks").await;
    let removed = ground.superuser().await.remove(PROVISIONER).await.expect("removed");
    assert!(removed.left.is_empty(), "{removed:#?}");
    ground.run("alter table remarks rename to notes").await;
    assert_eq!(ground.run(EVERYTHING).await, before);
    let left = "select count(*) from pg_roles where rolname ~ '^portreeve_(shared|staff)'";
    assert_eq!(ground.run(left).await, [[Some("0".to_owned())]]);
    ground.apply(Layout::Shared(shared())).await.expect("and up again");
}

#[tokio::test]
async fn what_is_declared_otherwise_is_fenced_otherwise() {
    let ground = Ground::fenced().await;
    let mut other = shared();
    (other.own, other.everybody, other.nobody) = (Vec::new(), Vec::new(), vec!["notes".to_owned()]);
    let steps = ground.apply(Layout::Shared(other)).await.expect("applied");
    assert!(steps.iter().any(|step| step == "take the fence from public.notes"), "{steps:#?}");
    assert!(steps.iter().any(|step| step == "revoke select on table public.notes"), "{steps:#?}");
    let off = "select relrowsecurity::text from pg_class where relname = 'notes'";
    assert_eq!(ground.run(off).await, [[Some("false".to_owned())]], "as before us");
    let refused = ground.apply(Layout::Database).await.expect_err("not while it is shared");
    assert!(refused.contains("portreeve fence remove"), "{refused}");
    let plan = ground.superuser().await.plan(&wanted(Layout::AsItIs)).await.expect("a plan");
    assert!(plan.steps.is_empty(), "{plan:#?}");
}
