use super::super::catalog::{Relation, Trigger};
use super::super::tests::{foreign_key, relation};
use super::*;

/// `contacts` and `orders` with tenant columns, `lines` by way of orders, `countries` for everybody.
const MAP: &str = "version = 1
layout = \"shared\"
tenant = \"tenant_id\"
tables.\"public.contacts\".columns = { id = \"pseudonym\", tenant_id = \"pseudonym\", chief = \"pseudonym\" }
tables.\"public.countries\" = { erase = \"keep\", reason = \"everybody's\", columns = { id = \"none\" } }
[tables.\"public.orders\".columns]
id = \"pseudonym\"
tenant_id = \"pseudonym\"
contact_id = \"pseudonym\"
last_line = \"none\"
[tables.\"public.lines\"]
via = { columns = [\"order_id\"], parent = \"public.orders\", key = [\"id\"] }
columns = { id = \"none\", order_id = \"pseudonym\" }
";

fn relations() -> Vec<Relation> {
    vec![
        relation("public.contacts", &["id integer!", "tenant_id integer!", "chief integer"]),
        relation("public.orders", &["id integer!", "tenant_id integer!", "contact_id integer!", "last_line integer!"]),
        relation("public.lines", &["id integer!", "order_id integer!"]),
        relation("public.countries", &["id integer!"]),
    ]
}

fn keys() -> Vec<ForeignKey> {
    vec![
        foreign_key("public.orders", "contact_id", "public.contacts", "id"),
        foreign_key("public.lines", "order_id", "public.orders", "id"),
    ]
}

fn planned(relations: Vec<Relation>, keys: Vec<ForeignKey>) -> Result<Plan, Vec<String>> {
    let map = DataMap::parse("m", MAP).expect("a map");
    plan(&map, &Catalog::new(relations, keys), "7")
}

fn order(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {:?}", step.table.name, step.action)).collect()
}

#[test]
fn children_go_first_and_every_condition_names_the_customer() {
    let plan = planned(relations(), keys()).expect("a plan");
    assert_eq!(order(&plan), ["lines Delete", "orders Delete", "contacts Delete"]);
    assert_eq!(
        plan.steps[0].condition,
        "exists (select from \"public\".\"orders\" p0 where t.\"order_id\" = p0.\"id\" and p0.\"tenant_id\" = '7'::integer)"
    );
    assert_eq!(plan.steps[1].condition, "t.\"tenant_id\" = '7'::integer");
    assert_eq!(plan.probes.len(), 1, "orders to contacts; lines are their order's");
    assert_eq!(plan.orphans.len(), 1);
    assert_eq!(plan.fences.len(), 2);
    let map = DataMap::parse("m", MAP).expect("a map");
    assert_eq!(
        reached(&map).map(ToString::to_string).collect::<Vec<_>>(),
        ["public.lines"],
        "no fence asks for its rows"
    );
    assert_eq!(plan.digest().len(), 64);
    assert_ne!(plan.digest(), plan_for("8").digest());
    assert_eq!(plan.digest(), plan_for("7").digest());
}

fn plan_for(customer: &str) -> Plan {
    let map = DataMap::parse("m", MAP).expect("a map");
    plan(&map, &Catalog::new(relations(), keys()), customer).expect("a plan")
}

#[test]
fn a_key_is_quoted_whatever_it_is() {
    let plan = plan_for("7' or true --\\");
    assert_eq!(plan.steps[1].condition, "t.\"tenant_id\" =  E'7'' or true --\\\\'::integer");
}

#[test]
fn circles_are_opened_closed_or_refused() {
    let mut circle = keys();
    circle.push(foreign_key("public.contacts", "chief", "public.orders", "id"));
    let plan = planned(relations(), circle.clone()).expect("a plan");
    assert_eq!(
        order(&plan),
        ["contacts Nullify([\"chief\"])", "lines Delete", "orders Delete", "contacts Delete"],
        "a nullable key is nullified"
    );
    let mut strict = keys();
    strict.push(foreign_key("public.orders", "last_line", "public.lines", "id"));
    let refused = planned(relations(), strict.clone()).expect_err("a circle");
    assert!(refused[0].contains("public.lines, public.orders: foreign keys go round in a circle"), "{refused:?}");
    strict[2].is_deferrable = true;
    let plan = planned(relations(), strict.clone()).expect("a plan");
    assert_eq!(order(&plan), ["lines Together(1)", "orders Together(1)", "contacts Delete"]);
    strict[1].on_delete = OnDelete::Cascade;
    let refused = planned(relations(), strict).expect_err("nothing guards it");
    assert!(refused[0].contains("acts on deletion within a circle"), "{refused:?}");
}

#[test]
fn rows_that_point_to_their_own_table_are_nullified_or_go_leaf_first() {
    let mut own = keys();
    own.push(foreign_key("public.contacts", "chief", "public.contacts", "id"));
    let plan = planned(relations(), own.clone()).expect("a plan");
    assert_eq!(order(&plan)[0], "contacts Nullify([\"chief\"])");
    let mut required = relations();
    required[0] = relation("public.contacts", &["id integer!", "tenant_id integer!", "chief integer!"]);
    let plan = planned(required, own).expect("a plan");
    let last = plan.steps.last().expect("contacts");
    assert_eq!(last.guards, ["not exists (select from \"public\".\"contacts\" c where c.\"chief\" = t.\"id\")"]);
}

#[test]
fn keys_that_act_are_guarded_or_refused() {
    let mut acting = keys();
    acting[0].on_delete = OnDelete::Cascade;
    let plan = planned(relations(), acting).expect("a plan");
    assert_eq!(
        plan.steps[2].guards,
        ["not exists (select from \"public\".\"orders\" c where c.\"contact_id\" = t.\"id\")"]
    );
    for (on_delete, expected) in
        [(OnDelete::Cascade, "would delete rows of public.countries"), (OnDelete::SetNull, "would change rows of")]
    {
        let mut kept = keys();
        kept.push(ForeignKey { on_delete, ..foreign_key("public.countries", "id", "public.contacts", "id") });
        let refused = planned(relations(), kept).expect_err("it acts on what is kept");
        assert!(refused[0].contains(expected), "{refused:?}");
    }
}

#[test]
fn what_is_not_sure_is_refused_all_at_once() {
    let mut odd = relations();
    odd[0].triggers = vec![Trigger { name: "audit".to_owned(), on_delete: true, on_update: false }];
    odd[1].has_delete_rule = true;
    let refused = planned(odd.clone(), keys()).expect_err("a trigger and a rule");
    assert_eq!(refused.len(), 2, "{refused:?}");
    odd.push(relation("public.new", &["id integer!"]));
    let refused = planned(odd, keys()).expect_err("a table without a path");
    assert_eq!(refused, ["public.new: unclassified: portreeve datamap scan proposes an entry"]);
}

#[test]
fn a_way_that_no_key_holds_is_kept_until_its_rows_are_gone() {
    let plan = planned(relations(), Vec::new()).expect("a plan");
    let at = |name: &str| plan.steps.iter().position(|step| step.table.name == name).expect("planned");
    assert!(at("lines") < at("orders"), "{:?}", order(&plan));
    assert_eq!(plan.unfenced, ["public.lines".parse().expect("a name")]);
}
