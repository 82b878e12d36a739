//! What another process has used of the processor so far.
//! proc_pid_stat(5): utime and stime, all threads, those that ended included.

use std::fs;
use std::time::Duration;

/// Linux's `USER_HZ`, the same on every architecture we build for.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of a process since it began, to 10 ms; none if it is gone.
pub fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}
