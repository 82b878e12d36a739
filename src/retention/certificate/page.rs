//! The certificate for people: one page that prints on A4, without a script.
//! Not here: whether it is true; the page says how to check the file beside it, which alone counts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{At, Body, Exception, ExceptionKind, Findings, Part, Traces, Verdict};

const STYLE: &str = include_str!("page.css");

/// The page of a certificate as it was verified.
pub fn page(verdict: &Verdict, key_id: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Certificate of erasure " (verdict.id) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Certificate of erasure" }
                    @if let Some(first) = verdict.parts.first() { (parties(&first.body)) }
                    (state(verdict))
                    @for part in &verdict.parts { (section(&part.body)) }
                    @if let Some((part, due)) = verdict.next() {
                        p .next { "Part " (part.number()) " of 4 (" (title(part)) ") follows by " (moment(due)) "." }
                    }
                    footer {
                        p { "Certificate " code { (verdict.id) } ", signed with key " code { (key_id) } "." }
                        p { "This page is a copy for reading. Check the file it was made from, offline:" }
                        pre { "portreeve verify-proof FILE --key KEY-FILE" }
                        p { "It counts and names objects; it holds nothing about a person. All times are UTC." }
                    }
                }
            }
        }
    }
}

fn state(verdict: &Verdict) -> Markup {
    html! {
        @if verdict.findings.is_empty() {
            p .state { "Checked: " (verdict.parts.len()) " of 4 parts are signed and unchanged." }
        } @else {
            div .state .broken role="alert" {
                p { strong { "Do not rely on this certificate." } }
                ul { @for finding in &verdict.findings { li { (finding) } } }
            }
        }
    }
}

fn parties(body: &Body) -> Markup {
    html! {
        dl {
            (term("Customer", &body.customer))
            (optional("Account", body.account.as_deref()))
            (optional("Controller", body.controller.as_deref()))
            (optional("Processor", body.processor.as_deref()))
            (optional("Contract", body.contract.as_deref()))
            (list("Sub-processors", &body.sub_processors))
            (list("Databases", &body.scope.databases))
            (list("Categories of data", &body.scope.categories))
            (list("Categories of people", &body.scope.subjects))
        }
    }
}

fn section(body: &Body) -> Markup {
    html! {
        section {
            h2 { "Part " (body.number) " of " (body.of) ": " (title(body.part)) }
            p { (statement(body)) }
            dl {
                (term("Begun", &body.times.started.0.to_string()))
                (term("Confirmed", &body.times.ended.0.to_string()))
                (term("Signed", &body.issued.0.to_string()))
                (term("Clocks", &format!("{} agreed within {} ms", body.times.clocks, body.times.skew_ms)))
                (term("How", &format!("{} ({})", body.method.what, body.method.tool)))
                (term("Planned by", &body.people.planned))
                (list("Approved by", &body.people.approved))
                (term("Run by", &body.people.ran))
            }
            (findings(&body.findings))
            (traces(body))
            @if !body.exceptions.is_empty() {
                h3 { "Not erased" }
                ul { @for exception in &body.exceptions { li { (told(exception)) } } }
            }
            @if !body.not_covered.is_empty() {
                h3 { "What this part says nothing about" }
                ul { @for item in &body.not_covered { li { (item) } } }
            }
        }
    }
}

fn title(part: Part) -> &'static str {
    match part {
        Part::Live => "live data",
        Part::Backups => "backups",
        Part::Archive => "archive and recorded values",
        Part::Logs => "logs",
    }
}

fn statement(body: &Body) -> String {
    match &body.findings {
        Findings::Live(live) => format!(
            "No live row of the customer is left. {} tables were emptied of it, {} rows in all; {} known values were \
             looked for and none was found.",
            live.tables.len(),
            live.tables.iter().map(|table| table.deleted).sum::<u64>(),
            live.needles.probed
        ),
        Findings::Backups(backups) => format!(
            "{} snapshots held rows of the customer. Each was deleted and then seen to be absent from its store.",
            backups.held
        ),
        Findings::Archive(archives) => format!(
            "The customer's {} archives and their keys are gone. What its records in the audit log said can be opened by \
             nobody any more, in no copy.",
            archives.archives.len()
        ),
        Findings::Logs(logs) => format!(
            "Nothing of {} records in the audit log can be opened any more. The application's own logs hold no line older \
             than {}.",
            logs.logs.iter().map(|log| log.records).sum::<u64>(),
            logs.application.oldest.0
        ),
    }
}

fn findings(findings: &Findings) -> Markup {
    match findings {
        Findings::Live(live) => table(
            &["table", "planned", "deleted", "left"],
            live.tables.iter().map(|table| {
                vec![table.name.clone(), table.planned.to_string(), table.deleted.to_string(), table.left.to_string()]
            }),
        ),
        Findings::Backups(backups) => table(
            &["snapshot", "taken", "deleted", "seen absent", "by"],
            backups.snapshots.iter().map(|snapshot| {
                let name = format!("{}/{}", snapshot.backend, snapshot.id);
                let at = |at: At| at.0.to_string();
                vec![name, at(snapshot.taken), at(snapshot.deleted), at(snapshot.absent), snapshot.seen_by.clone()]
            }),
        ),
        Findings::Archive(archives) => table(
            &["archive", "made", "deleted", "seen absent", "key destroyed"],
            archives.archives.iter().map(|archive| {
                let at = |at: At| at.0.to_string();
                vec![
                    archive.id.clone(),
                    at(archive.made),
                    at(archive.deleted),
                    at(archive.absent),
                    at(archive.key_destroyed),
                ]
            }),
        ),
        Findings::Logs(logs) => table(
            &["log", "records", "that nothing opens"],
            logs.logs.iter().map(|log| vec![log.name.clone(), log.records.to_string(), log.unreadable.to_string()]),
        ),
    }
}

fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Markup {
    html! {
        table {
            thead { tr { @for column in columns { th scope="col" { (column) } } } }
            tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
        }
    }
}

fn traces(body: &Body) -> Markup {
    let level = |level: &Traces| match level {
        Traces::L0 => "no row and no orphan (L0)",
        Traces::L1 => "no trace that SQL shows (L1)",
        Traces::L2 => "no trace in the database's files (L2)",
        Traces::L3 => "no copy (L3)",
        Traces::L4 => "no trace on the medium (L4)",
    };
    html! {
        h3 { "How far traces were looked for" }
        ul {
            @for reached in &body.residue.levels { li { (level(reached)) } }
            @for left in &body.residue.report { li { (left) } }
        }
    }
}

fn told(exception: &Exception) -> String {
    let kind = match exception.kind {
        ExceptionKind::Hold => "held",
        ExceptionKind::Law => "required by law",
        ExceptionKind::Anonymised => "made anonymous",
    };
    let review = exception.review.map(|at| format!(", to be reviewed at {}", at.0)).unwrap_or_default();
    format!("{}: {kind}, {}{review}", exception.scope, exception.authority)
}

fn term(name: &str, value: &str) -> Markup {
    html! { dt { (name) } dd { (value) } }
}

fn optional(name: &str, value: Option<&str>) -> Markup {
    html! { @if let Some(value) = value { (term(name, value)) } }
}

fn list(name: &str, values: &[String]) -> Markup {
    html! { @if !values.is_empty() { (term(name, &values.join(", "))) } }
}

fn moment(at: At) -> Markup {
    let at = at.0.to_string();
    html! { time datetime=(at) { (at) } }
}
