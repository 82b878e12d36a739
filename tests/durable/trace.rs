//! Reads a strace of the proxy and judges the order of its writes: first the record is durable, then the rest.
//! Not here: how the trace is made (`order.rs`).
//! Lines are as `strace -f -ttt -yy -s 0` writes them; a call of one thread may be cut in two by another's.

use std::collections::HashMap;

/// One system call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// What the first argument is: `3</path>` or `7<TCP:[127.0.0.1:1->127.0.0.1:2]>`.
    pub(crate) on: String,
    arguments: String,
    result: i64,
    /// Unix time at which it began.
    pub(crate) at: f64,
    /// The lines at which it began and ended.
    began: usize,
    ended: usize,
}

/// Reads the whole calls of a trace, in the order in which they ended.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, (usize, f64, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, at, rest)) = prefix(line) else { continue };
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(thread, (number, at, begun.to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((began, at, begun)) = open.remove(thread) else { continue };
            let Some((_, tail)) = resumed.split_once(" resumed>") else { continue };
            calls.extend(call(&format!("{begun}{tail}"), at, began, number));
        } else {
            calls.extend(call(rest, at, number, number));
        }
    }
    calls
}

/// The thread, the time, and the rest of a line.
fn prefix(line: &str) -> Option<(&str, f64, &str)> {
    let (thread, rest) = line.trim_start().split_once(' ')?;
    let (at, rest) = rest.trim_start().split_once(' ')?;
    Some((thread, at.parse().ok()?, rest.trim()))
}

fn call(text: &str, at: f64, began: usize, ended: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(" = "))?;
    let arguments = arguments.trim_end().trim_end_matches(')');
    let number: String = result.trim().chars().take_while(|c| *c == '-' || c.is_ascii_digit()).collect();
    let on = arguments.split_once(", ").map_or(arguments, |(first, _)| first);
    let (name, on, arguments) = (name.to_owned(), on.to_owned(), format!("{arguments} = {result}"));
    Some(Call { name, on, arguments, result: number.parse().ok()?, at, began, ended })
}

impl Call {
    fn descriptor(&self) -> &str {
        self.on.split('<').next().unwrap_or_default()
    }

    fn is_send(&self) -> bool {
        ["write", "writev", "sendto", "sendmsg"].contains(&self.name.as_str()) && self.result > 0
    }

    fn is_receive(&self) -> bool {
        ["read", "readv", "recvfrom", "recvmsg"].contains(&self.name.as_str()) && self.result > 0
    }

    /// A TCP connection from that port here to that port there.
    fn is_on(&self, here: Option<u16>, there: u16) -> bool {
        let ends = self.on.split_once("TCP:[").and_then(|(_, rest)| rest.strip_suffix("]>")?.split_once("->"));
        ends.is_some_and(|(from, to)| {
            let port = |end: &str| end.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            port(to) == Some(there) && here.is_none_or(|here| port(from) == Some(here))
        })
    }
}

/// A write of the log that survives power loss from the line on at which it ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Durable {
    began: usize,
    pub(crate) ended: usize,
    pub(crate) at: f64,
}

/// The durable writes to segments of the log in `directory`: a write to a file opened for synchronous writing when it
/// has ended, any other when the next fdatasync or fsync of the same file has.
pub(crate) fn durable(calls: &[Call], directory: &str) -> Vec<Durable> {
    let is_segment = |on: &str| on.contains(directory) && on.trim_end_matches('>').ends_with(".segment");
    let mut synchronous: HashMap<&str, bool> = HashMap::new();
    let mut unsynced: HashMap<&str, (usize, f64)> = HashMap::new();
    let mut found = Vec::new();
    for call in calls {
        match call.name.as_str() {
            "openat" if call.result >= 0 && call.arguments.contains(directory) => {
                let opened = call.arguments.rsplit_once(" = ").map_or("", |(_, opened)| opened);
                let descriptor = opened.split('<').next().unwrap_or_default();
                let flags = ["O_DSYNC", "O_SYNC"];
                synchronous.insert(descriptor, flags.iter().any(|flag| call.arguments.contains(flag)));
            }
            "pwrite64" | "pwritev" | "pwritev2" | "write" | "writev" if is_segment(&call.on) && call.result > 0 => {
                if synchronous.get(call.descriptor()).copied().unwrap_or(false) {
                    found.push(Durable { began: call.began, ended: call.ended, at: call.at });
                } else {
                    unsynced.insert(call.descriptor(), (call.began, call.at));
                }
            }
            "fdatasync" | "fsync" if is_segment(&call.on) && call.result == 0 => {
                if let Some((began, at)) = unsynced.remove(call.descriptor()) {
                    found.push(Durable { began, ended: call.ended, at });
                }
            }
            _ => {}
        }
    }
    found
}

/// One client at the gate, and the server behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) gate: u16,
    pub(crate) client: u16,
    pub(crate) server: u16,
}

/// What was seen between two moments in which the client only asks statements, one at a time.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Order {
    /// Statements that arrived.
    pub(crate) statements: usize,
    /// Writes to the client.
    pub(crate) answers: usize,
    /// Writes to the server, and how many of them before the statement's record was durable.
    pub(crate) forwarded: usize,
    pub(crate) ahead: usize,
    /// Every write to the client before the record of its statement was durable.
    pub(crate) violations: Vec<String>,
}

/// The order of everything between `since` and `until` (Unix time).
pub(crate) fn order(calls: &[Call], durable: &[Durable], ports: Ports, since: f64, until: f64) -> Order {
    let mut order = Order::default();
    let within: Vec<&Call> = calls.iter().filter(|call| call.at >= since && call.at <= until).collect();
    let is_client = |call: &Call| call.is_on(Some(ports.gate), ports.client);
    let arrivals: Vec<usize> = within.iter().filter(|c| c.is_receive() && is_client(c)).map(|c| c.ended).collect();
    order.statements = arrivals.len();
    for call in within.iter().filter(|call| call.is_send()) {
        // Nothing was asked yet: not an answer.
        let Some(arrived) = arrivals.iter().rev().find(|arrived| **arrived < call.began) else { continue };
        let is_recorded = durable.iter().any(|write| write.began > *arrived && write.ended < call.began);
        if is_client(call) {
            order.answers += 1;
            if !is_recorded {
                order.violations.push(format!("line {}: {} {}", call.began + 1, call.name, call.on));
            }
        } else if call.is_on(None, ports.server) {
            order.forwarded += 1;
            order.ahead += usize::from(!is_recorded);
        }
    }
    order
}

const PORTS: Ports = Ports { gate: 6432, client: 40000, server: 5432 };

fn judged(lines: &[&str]) -> Order {
    let opening = "10 1.0 openat(AT_FDCWD</>, \"/a/log/000000000000.segment\", O_RDWR|O_DSYNC|O_DIRECT) = SEGMENT";
    let client = "7<TCP:[127.0.0.1:6432->127.0.0.1:40000]>";
    let server = "8<TCP:[127.0.0.1:33333->127.0.0.1:5432]>";
    let segment = "9</a/log/000000000000.segment>";
    let mut trace = format!("{}\n", opening.replace("SEGMENT", segment));
    for (number, line) in (2..).zip(lines) {
        let line = line.replace("CLIENT", client).replace("SERVER", server).replace("SEGMENT", segment);
        let (thread, rest) = line.split_once(' ').expect("a thread");
        trace.push_str(&format!("{thread} {number}.0 {rest}\n"));
    }
    let calls = calls(&trace);
    order(&calls, &durable(&calls, "/a/log/"), PORTS, 2.0, 99.0)
}

const ARRIVES: &str = r#"11 recvfrom(CLIENT, ""..., 16384, 0, NULL, NULL) = 60"#;
const FORWARDED: &str = r#"11 sendto(SERVER, ""..., 60, MSG_NOSIGNAL, NULL, 0) = 60"#;
const RECORDED: &str = r#"12 pwrite64(SEGMENT, ""..., 4096, 8192) = 4096"#;
const ANSWERED: &str = r#"11 sendto(CLIENT, ""..., 90, MSG_NOSIGNAL, NULL, 0) = 90"#;

#[test]
fn the_right_order_is_right() {
    let overlap = judged(&[ARRIVES, FORWARDED, RECORDED, ANSWERED, ANSWERED]);
    let expected = Order { statements: 1, answers: 2, forwarded: 1, ahead: 1, violations: Vec::new() };
    assert_eq!(overlap, expected);
    let strict = judged(&[ARRIVES, RECORDED, FORWARDED, ANSWERED]);
    assert_eq!((strict.forwarded, strict.ahead, strict.violations), (1, 0, Vec::new()));
}

#[test]
fn an_answer_before_its_record_is_found() {
    assert_eq!(judged(&[ARRIVES, FORWARDED, ANSWERED, RECORDED]).violations.len(), 1);
    // The record of the statement before does not count.
    let lines = [ARRIVES, FORWARDED, RECORDED, ANSWERED, ARRIVES, FORWARDED, ANSWERED];
    assert_eq!(judged(&lines).violations.len(), 1);
    // Nor does a write that had begun before the statement came, nor one that has not ended yet.
    let begun = r#"12 pwrite64(SEGMENT, ""..., 4096, 8192 <unfinished ...>"#;
    let ended = "12 <... pwrite64 resumed>) = 4096";
    assert_eq!(judged(&[begun, ARRIVES, ended, ANSWERED]).violations.len(), 1);
    assert_eq!(judged(&[ARRIVES, begun, ANSWERED, ended]).violations.len(), 1);
    assert_eq!(judged(&[ARRIVES, begun, ended, ANSWERED]).violations.len(), 0);
    // Nor one that failed, nor one to another file.
    assert_eq!(judged(&[ARRIVES, &RECORDED.replace("= 4096", "= -1 EIO"), ANSWERED]).violations.len(), 1);
    let elsewhere = RECORDED.replace("SEGMENT", "5</a/log/checkpoint.new>");
    assert_eq!(judged(&[ARRIVES, &elsewhere, ANSWERED]).violations.len(), 1);
}

#[test]
fn without_synchronous_writing_only_a_sync_makes_durable() {
    let open = r#"12 openat(AT_FDCWD</>, "/a/log/000000000000.segment", O_WRONLY|O_CLOEXEC) = SEGMENT"#;
    let sync = "12 fdatasync(SEGMENT) = 0";
    assert_eq!(judged(&[open, ARRIVES, RECORDED, ANSWERED]).violations.len(), 1);
    assert_eq!(judged(&[open, ARRIVES, RECORDED, sync, ANSWERED]).violations.len(), 0);
    assert_eq!(judged(&[open, ARRIVES, RECORDED, ANSWERED, sync]).violations.len(), 1);
}

#[test]
fn a_forward_before_the_record_is_counted() {
    assert_eq!(judged(&[ARRIVES, FORWARDED, RECORDED, ANSWERED]).ahead, 1);
    assert_eq!(judged(&[ARRIVES, RECORDED, FORWARDED, ANSWERED]).ahead, 0);
}
