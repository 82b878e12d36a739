//! Names and numbers of users.

use super::*;

#[test]
fn a_name_is_looked_up_whole() {
    let passwd = "root:x:0:0::/root:/bin/sh\nportreeve-proxy:x:991:990::/:/bin/false\nbroken:x\n";
    for (name, uid) in
        [("root", Some(0)), ("portreeve-proxy", Some(991)), ("portreeve", None), ("broken", None), ("", None)]
    {
        assert_eq!(uid_in(passwd, name), uid, "{name}");
    }
}

#[test]
fn root_is_zero_on_this_machine_and_nobody_is_called_this() {
    assert_eq!(User::Name("root".to_owned()).uid().expect("root is in /etc/passwd"), 0);
    assert_eq!(User::Uid(7).uid().expect("a number is a number"), 7);
    let refused = User::Name("no-such-user".to_owned()).uid().expect_err("no such user");
    assert!(refused.to_string().contains("user \"no-such-user\""), "{refused}");
}
