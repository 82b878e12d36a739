//! The grammar of the command line.

use clap::CommandFactory;

use super::*;

fn parsed(line: &str) -> Result<Arguments, String> {
    Arguments::try_parse_from(line.split_whitespace()).map_err(|fault| fault.to_string())
}

#[test]
fn the_grammar_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_verb_has_help() {
    fn check(command: &clap::Command, path: &str) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let path = format!("{path} {}", inner.get_name());
            assert!(inner.get_about().is_some(), "{path} says nothing about itself");
            check(inner, &path);
        }
    }
    check(&Arguments::command(), "portreeve");
}

#[test]
fn global_options_stand_anywhere() {
    for line in [
        "portreeve --config a.toml --format json config check",
        "portreeve config --config a.toml check --format json",
        "portreeve config check --format json --config a.toml",
    ] {
        let arguments = parsed(line).expect(line);
        assert_eq!((arguments.config, arguments.format), (PathBuf::from("a.toml"), Format::Json), "{line}");
    }
    let arguments = parsed("portreeve proxy").expect("a service");
    assert_eq!((arguments.config, arguments.format), (PathBuf::from(DEFAULT_PATH), Format::Table));
    assert!(matches!(arguments.command, Command::Service(Service::Proxy)));
}

#[test]
fn what_is_not_a_verb_is_told_the_nearest() {
    let refused = parsed("portreeve custmer list").expect_err("no verb");
    assert!(refused.contains("customer"), "{refused}");
}
