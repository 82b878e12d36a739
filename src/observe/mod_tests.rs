//! Which filter counts, and what a wrong one is told.

use super::*;

#[test]
fn the_environment_outranks_the_configuration() {
    for (environment, level, counts) in [
        (None, "info", "info"),
        (Some(""), "info", "info"),
        (Some("debug"), "info", "debug"),
        (Some("portreeve=trace,warn"), "info", "portreeve=trace,warn"),
    ] {
        let filter = filter(environment, level).expect("a filter");
        assert_eq!(filter.to_string(), counts, "{environment:?} {level}");
    }
}

#[test]
fn a_wrong_filter_names_where_it_stands() {
    for (environment, level, begins) in [
        (None, "portreeve=loud", "[observe] level: \"portreeve=loud\" is not a filter such as \"info\""),
        (Some("a=b=c"), "info", "RUST_LOG: \"a=b=c\" is not a filter"),
    ] {
        let refused = filter(environment, level).expect_err("no filter").to_string();
        assert!(refused.starts_with(begins), "{refused}");
    }
}
