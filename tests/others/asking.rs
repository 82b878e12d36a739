//! Asking the program that says what `signed_note`, `tlog_tiles` and `sigsum` say: a line of JSON each way.
//! Not here: what they are asked. The program: `c2sp/src/main.rs`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A running program.
pub(crate) struct Others {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Others {
    pub(crate) fn start() -> Others {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/c2sp/debug/c2sp");
        assert!(program.exists(), "{} is missing: run make setup", program.display());
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
        let questions = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Others { child, questions, answers }
    }

    /// What they say; or why they refuse.
    pub(crate) fn ask(&mut self, question: &Value) -> Result<Value, String> {
        writeln!(self.questions, "{question}").expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer to {question}: {line:?}"));
        match answer["refused"].as_str() {
            Some(refused) => {
                assert!(!refused.starts_with("the question"), "{refused}: {question}");
                Err(refused.to_owned())
            }
            None => Ok(answer),
        }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Bytes as they stand in a question.
pub(crate) fn text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Hashes as they stand in a question.
pub(crate) fn texts(hashes: &[[u8; 32]]) -> Vec<String> {
    hashes.iter().map(|hash| text(hash)).collect()
}

/// From hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(digit).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
