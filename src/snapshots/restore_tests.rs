//! What is told when a restore into a database ends early; whole restores are in `tests/snapshots/restored.rs`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;

fn reading() -> (Running, Option<ChildStdin>) {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
    let mut child = Running::start(command, None).expect("cat");
    let stdin = child.take_stdin();
    (child, stdin)
}

#[test]
fn what_could_not_be_read_is_the_cause_told() {
    let path = Path::new("/a/snapshot");
    for cause in [
        Error::storage("read", path)(io::Error::other("the disk is gone")),
        Error::NotVerified("it does not agree".to_owned()),
        Error::Interrupted,
    ] {
        let said = cause.to_string();
        let (child, stdin) = reading();
        let told = ended(child, stdin, Err(cause)).expect_err("not read");
        assert_eq!(told.to_string(), said);
    }
    let (child, stdin) = reading();
    ended(child, stdin, Ok(())).expect("all of it was read");
}
