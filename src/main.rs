//! Parses the arguments and calls a role; the roles come with their commits.

fn main() {}
