//! What was measured beside what should be: a table on the screen, and `target/bench/report.json`.

use std::fs;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Failed;
use super::samples::{Figure, Samples};

/// How far a ratio may be beyond its limit and still be called even.
const TOLERANCE: f64 = 0.05;

/// A limit.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Measured for comparison only.
    Nothing,
    /// Ratio at most.
    Ratio(f64),
    /// Ratio at least.
    RatioFrom(f64),
    /// Our own figure at most.
    Most(f64),
    /// Our own figure at least.
    Least(f64),
}

/// What `ratio` is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    PgBouncer,
    Floor,
    Nobody,
}

/// The report, as it is written.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    unit: &'static str,
    portreeve: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgbouncer: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// The limit in words, or nothing.
    due: Option<String>,
    /// False if a limit is missed.
    ok: bool,
    #[serde(skip)]
    key: (String, &'static str),
}

/// Where a row's figures come from, and what is due.
struct Wanted<'a> {
    cell: &'a str,
    figure: &'static str,
    unit: &'static str,
    beside: Beside,
    due: Due,
}

impl Report {
    /// An empty one of that machine.
    pub fn new(machine: String) -> Report {
        Report { machine, rows: Vec::new() }
    }

    /// Compares the medians.
    pub fn fill(&mut self, samples: &Samples, long_log: &str) {
        for mode in ["simple", "prepared"] {
            for clients in [1, 8, 32] {
                self.select(samples, &format!("select_{mode}_c{clients}"), clients);
            }
        }
        self.added_latency(samples);
        let tpcb = "tpcb_simple_c8";
        for (figure, unit) in [("cpu_us", "us CPU/tx"), ("tps", "tx/s"), ("median_us", "us"), ("p99_us", "us")] {
            self.row(samples, Wanted { cell: tpcb, figure, unit, beside: Beside::PgBouncer, due: Due::Nothing });
        }
        for cell in ["copy_out_psql", "copy_out", "large_value"] {
            let due = if cell == "large_value" { Due::Nothing } else { Due::Ratio(0.4) };
            let (beside, unit) = (Beside::PgBouncer, "ms CPU/GB");
            self.row(samples, Wanted { cell, figure: "cpu_ms_per_gb", unit, beside, due });
            self.row(samples, Wanted { cell, figure: "mb_per_s", unit: "MB/s", beside, due: Due::Nothing });
        }
        for (figure, unit, beside, due) in [
            ("append_per_s", "records/s", Beside::Nobody, Due::Least(100_000.0)),
            ("append_beside_one_core_per_s", "records/s", Beside::Floor, Due::RatioFrom(0.5)),
            ("append_beside_primitives_per_s", "records/s", Beside::Floor, Due::Nothing),
            ("append_mb_per_s", "MB/s", Beside::Nobody, Due::Nothing),
            ("one_writer_us", "us", Beside::Floor, Due::Ratio(1.25)),
            ("record_300_cpu_us", "us CPU/record", Beside::Nobody, Due::Most(3.0)),
            ("verify_mb_per_s", "MB/s", Beside::Floor, Due::RatioFrom(0.7)),
            ("verify_records_per_s", "records/s", Beside::Nobody, Due::Nothing),
        ] {
            self.row(samples, Wanted { cell: "audit", figure, unit, beside, due });
        }
        for (figure, unit, due) in [
            ("leaves", "leaves", Due::Nothing),
            ("written_per_s", "records/s", Due::Nothing),
            ("writing_mib", "MiB at most", Due::Most(64.0)),
            ("open_ms", "ms", Due::Most(1000.0)),
            ("opening_mib", "MiB at most", Due::Nothing),
            ("tree_s", "s", Due::Most(5.0)),
            ("search_week_ms", "ms", Due::Most(100.0)),
            ("search_week_most_ms", "ms", Due::Nothing),
            ("found_per_week", "statements", Due::Nothing),
            ("search_all_ms", "ms", Due::Nothing),
        ] {
            self.row(samples, Wanted { cell: long_log, figure, unit, beside: Beside::Nobody, due });
        }
        let (figure, beside, due) = ("one_of_10k_s", Beside::Nobody, Due::Most(5.0));
        self.row(samples, Wanted { cell: "erasing", figure, unit: "s", beside, due });
        for (figure, unit, due) in [
            ("decide_ns", "ns", Due::Most(1000.0)),
            ("first_open_ms", "ms", Due::Nothing),
            ("open_ms", "ms", Due::Most(2000.0)),
        ] {
            let beside = Beside::Nobody;
            self.row(samples, Wanted { cell: "decisions", figure, unit, beside, due });
        }
        // With SHA-256 both ends hash every byte: more than plain `pg_basebackup` does, and not what is asked of us.
        for (figure, due) in [("mb_per_s", Due::RatioFrom(0.9)), ("sha256_mb_per_s", Due::Nothing)] {
            self.row(samples, Wanted { cell: "snapshots", figure, unit: "MB/s", beside: Beside::Floor, due });
        }
        for (figure, unit, beside, due) in [
            ("plan_ms", "ms", Beside::Nobody, Due::Most(1000.0)),
            ("coverage_ms", "ms", Beside::Nobody, Due::Most(2000.0)),
            ("purge_rows_per_s", "rows/s", Beside::Floor, Due::RatioFrom(0.6)),
            ("load_tps_beside_purge", "tx/s", Beside::Floor, Due::RatioFrom(0.8)),
        ] {
            self.row(samples, Wanted { cell: "retention", figure, unit, beside, due });
        }
        for (figure, due) in [
            ("answered_ms", Due::Nothing),
            ("last_byte_p50_ms", Due::Nothing),
            ("last_byte_p99_ms", Due::Most(250.0)),
            ("told_p50_ms", Due::Nothing),
            ("told_p99_ms", Due::Nothing),
            ("backend_gone_p50_ms", Due::Nothing),
            ("backend_gone_p99_ms", Due::Most(1000.0)),
        ] {
            self.row(samples, Wanted { cell: "revocation", figure, unit: "ms", beside: Beside::Nobody, due });
        }
    }

    fn select(&mut self, samples: &Samples, cell: &str, clients: u32) {
        let cpu = match clients {
            32 => Due::Ratio(1.0),
            8 => Due::Ratio(1.15),
            _ => Due::Nothing,
        };
        let throughput = match clients {
            32 => Due::RatioFrom(1.0),
            8 => Due::RatioFrom(0.9),
            _ => Due::Nothing,
        };
        for (figure, unit, due) in [
            ("cpu_us", "us CPU/tx", cpu),
            ("tps", "tx/s", throughput),
            ("median_us", "us", Due::Nothing),
            ("p99_us", "us", Due::Nothing),
        ] {
            self.row(samples, Wanted { cell, figure, unit, beside: Beside::PgBouncer, due });
        }
    }

    /// One client's median beyond PgBouncer's, beside one durable write of the same disk.
    fn added_latency(&mut self, samples: &Samples) {
        for cell in ["select_simple_c1", "select_prepared_c1"] {
            let median = |contender| samples.figure(cell, contender, "median_us").map(|figure| figure.median);
            let write = samples.figure("audit", "floor", "durable_write_us").map(|figure| figure.median);
            if let (Some(ours), Some(theirs), Some(write)) = (median("portreeve"), median("pgbouncer"), write) {
                let added = ours - theirs;
                self.rows.push(Row {
                    id: format!("{cell}.added_us"),
                    unit: "us",
                    portreeve: rounded(added),
                    pgbouncer: None,
                    floor: Some(rounded(write)),
                    ratio: Some(rounded(added / write)),
                    due: Due::Ratio(1.0).words(),
                    ok: Due::Ratio(1.0).holds(added, Some(added / write)),
                    key: (cell.to_owned(), "added_us"),
                });
            }
        }
    }

    fn row(&mut self, samples: &Samples, wanted: Wanted<'_>) {
        let Wanted { cell, figure, unit, beside, due } = wanted;
        let median = |contender| samples.figure(cell, contender, figure).map(|figure: Figure| figure.median);
        let Some(portreeve) = median("portreeve") else { return };
        let (pgbouncer, floor) = (median("pgbouncer"), median("relay").or_else(|| median("floor")));
        let other = match beside {
            Beside::PgBouncer => pgbouncer,
            Beside::Floor => floor,
            Beside::Nobody => None,
        };
        let ratio = other.map(|other| portreeve / other);
        self.rows.push(Row {
            id: format!("{cell}.{figure}"),
            unit,
            portreeve: rounded(portreeve),
            pgbouncer: pgbouncer.map(rounded),
            floor: floor.map(rounded),
            ratio: ratio.map(rounded),
            due: due.words(),
            ok: due.holds(portreeve, ratio),
            key: (cell.to_owned(), figure),
        });
    }

    /// The table on the screen, with how far the runs lie apart.
    pub fn show(&self, samples: &Samples) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["figure", "unit", "direct", "floor", "PgBouncer", "Portreeve", "ratio", "due", ""]);
        for row in &self.rows {
            let (cell, figure) = &row.key;
            let shown = |contender| samples.figure(cell, contender, figure).map(spread).unwrap_or_default();
            let floor = if row.floor.is_some() && shown("relay").is_empty() && shown("floor").is_empty() {
                row.floor.map(|floor| floor.to_string()).unwrap_or_default()
            } else {
                shown("relay") + &shown("floor")
            };
            let ours = shown("portreeve");
            table.add_row([
                row.id.clone(),
                row.unit.to_owned(),
                shown("direct"),
                floor,
                shown("pgbouncer"),
                if ours.is_empty() { row.portreeve.to_string() } else { ours },
                row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
                row.due.clone().unwrap_or_default(),
                if row.ok { "" } else { "MISSED" }.to_owned(),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{}\nmedian (least to most); {} % tolerance\n{table}", self.machine, TOLERANCE * 100.0);
        let missed: Vec<&str> = self.rows.iter().filter(|row| !row.ok).map(|row| row.id.as_str()).collect();
        println!("missed: {}", if missed.is_empty() { "none".to_owned() } else { missed.join(", ") });
    }

    /// Writes `target/bench/report.json`.
    pub fn write(&self) -> Result<PathBuf, Failed> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/report.json");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path)
    }
}

impl Due {
    fn holds(self, ours: f64, ratio: Option<f64>) -> bool {
        match (self, ratio) {
            (Due::Nothing, _) => true,
            (Due::Ratio(limit), Some(ratio)) => ratio <= limit * (1.0 + TOLERANCE),
            (Due::RatioFrom(limit), Some(ratio)) => ratio >= limit * (1.0 - TOLERANCE),
            (Due::Ratio(_) | Due::RatioFrom(_), None) => false,
            (Due::Most(limit), _) => ours <= limit,
            (Due::Least(limit), _) => ours >= limit,
        }
    }

    fn words(self) -> Option<String> {
        match self {
            Due::Nothing => None,
            Due::Ratio(limit) => Some(format!("ratio <= {limit}")),
            Due::RatioFrom(limit) => Some(format!("ratio >= {limit}")),
            Due::Most(limit) => Some(format!("<= {limit}")),
            Due::Least(limit) => Some(format!(">= {limit}")),
        }
    }
}

/// Three digits that count are enough of a figure that spreads by percents.
fn rounded(value: f64) -> f64 {
    if value.abs() >= 100.0 { value.round() } else { (value * 100.0).round() / 100.0 }
}

fn spread(Figure { median, least, most }: Figure) -> String {
    let (median, least, most) = (rounded(median), rounded(least), rounded(most));
    if least == most { median.to_string() } else { format!("{median} ({least} to {most})") }
}
