use super::*;

fn traveller(text: &str) -> Traveller {
    text.parse().expect("a role, and from where")
}

#[test]
fn each_connection_is_one_of_four() {
    let expected = Expected {
        application: vec![traveller("app@10.0.0.0/8"), traveller("web")],
        maintenance: vec![traveller("postgres@local"), traveller("portreeve_maintenance")],
        provisioner: "portreeve_provisioner".to_owned(),
        sessions: BTreeSet::from([(41, "pr_g_7".to_owned())]),
    };
    for (pid, role, address, road) in [
        (1, "app", Some("10.1.2.3"), Road::Application),
        (1, "app", Some("192.0.2.1"), Road::Unexplained),
        (1, "app", None, Road::Unexplained),
        (1, "web", None, Road::Application),
        (1, "postgres", None, Road::Maintenance),
        (1, "postgres", Some("127.0.0.1"), Road::Unexplained),
        (1, "portreeve_maintenance", Some("10.9.9.9"), Road::Maintenance),
        (1, "portreeve_provisioner", Some("10.9.9.9"), Road::Gate),
        (41, "pr_g_7", Some("10.9.9.9"), Road::Gate),
        (42, "pr_g_7", Some("10.9.9.9"), Road::Unexplained),
        (41, "pr_g_8", Some("10.9.9.9"), Road::Unexplained),
        (1, "jane", Some("10.9.9.9"), Road::Unexplained),
    ] {
        let connected = Connected {
            pid,
            since: Timestamp(0),
            role: role.to_owned(),
            database: Some("acme".to_owned()),
            address: address.map(|address| address.parse().expect("an address")),
            application: "psql".to_owned(),
        };
        assert_eq!(expected.road(&connected), road, "{connected:?}");
    }
}

#[test]
fn the_role_of_a_grant_is_no_application_though_it_is_listed() {
    let expected = Expected { application: vec![traveller("pr_g_7")], ..Expected::default() };
    let (role, application) = ("pr_g_7".to_owned(), String::new());
    let connected = Connected { pid: 1, since: Timestamp(0), role, database: None, address: None, application };
    assert_eq!(expected.road(&connected), Road::Unexplained);
}

#[test]
fn a_traveller_reads_back_as_written() {
    for text in ["app", "app@10.0.0.0/8", "app@2001:db8::/32", "postgres@local", "odd@name@192.0.2.7"] {
        assert_eq!(traveller(text).to_string(), text);
    }
    assert!("app@nowhere".parse::<Traveller>().is_err() && "app@10.0.0.1/8".parse::<Traveller>().is_err());
}
