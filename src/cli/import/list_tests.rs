use super::*;

fn faults(text: &str) -> Vec<(usize, &'static str, String)> {
    parse(text).expect("a list").1.into_iter().map(|fault| (fault.line, fault.column, fault.says)).collect()
}

#[test]
fn a_list_is_read_as_others_write_it() {
    let text = "\u{feff}Customer,Display_Name,cluster,database,schema,tenant,teams,owner\r\n\
                acme,\"Acme, \"\"the\"\" GmbH\",main,acme,,,,Olga@Acme.example\r\n\
                \r\n\
                globex,,main,shared,,t-2,support;night,\n\
                initech , ,main,big,initech,,night support,ina@initech.example";
    let (rows, faults) = parse(text).expect("a list");
    assert_eq!(faults, []);
    let [acme, globex, initech] = rows.as_slice() else { panic!("three: {rows:?}") };
    assert_eq!((acme.line, acme.layout, acme.display.as_deref()), (2, Layout::Database, Some("Acme, \"the\" GmbH")));
    assert_eq!((acme.owner.as_deref(), acme.tenant.as_deref()), (Some("olga@acme.example"), None));
    assert_eq!((globex.line, globex.layout, globex.tenant.as_deref()), (4, Layout::Shared, Some("t-2")));
    assert_eq!(
        (globex.teams.as_slice(), globex.owner.as_deref()),
        (["support".to_owned(), "night".to_owned()].as_slice(), None)
    );
    assert_eq!((initech.customer.as_str(), initech.layout, initech.teams.len()), ("initech", Layout::Schema, 2));
}

#[test]
fn what_is_no_list_at_all_is_said() {
    for (text, said) in [
        ("", "it is empty: its first line names the columns: customer, "),
        ("customer,cluster\nacme,main", "line 1: column \"database\" is missing; known are: customer, "),
        ("customer,cluster,database,mail\n", "line 1: there is no column \"mail\"; known are: customer, "),
        ("customer,cluster,database,customer\n", "line 1: column \"customer\" is there twice"),
        ("customer,cluster,database\n", "no customer is on the list"),
        ("customer,cluster,database\n\"acme,main,acme\n", "line 2: a quotation mark is not closed"),
    ] {
        let fault = parse(text).expect_err(text);
        assert!(fault.starts_with(said), "{text}: {fault}");
    }
}

#[test]
fn every_line_that_is_wrong_is_named_with_its_column() {
    let text = "customer,cluster,database,schema,tenant,teams,owner\n\
                acme,main,acme,,,,olga@acme.example\n\
                ,main,x,,,,\n\
                globex,,globex,,,,\n\
                initech,main,big,s,t,,\n\
                umbrella,main,umbrella,,,night;night,\n\
                acme,main,other,,,,\n\
                second,main,acme,,,,\n\
                third,main,third,,,,olga@acme.example\n\
                hooli,main,hooli,,,,,,\n";
    let said = |line: usize, column: &'static str, says: &str| (line, column, says.to_owned());
    assert_eq!(
        faults(text),
        [
            said(3, "customer", "is empty"),
            said(4, "cluster", "is empty"),
            said(5, "tenant", "stands beside a schema: a customer has a schema of its own, or a tenant key, not both"),
            said(6, "teams", "names \"night\" twice"),
            said(7, "customer", "\"acme\" stands in line 2 already"),
            said(8, "database", "\"acme\" stands in line 2 already"),
            said(9, "owner", "\"olga@acme.example\" stands in line 2 already"),
            said(10, "customer", "the line has more cells than the first line has columns: quote what holds a comma"),
        ]
    );
}
