//! The words in which a verification answers.
//! Not here: how it comes to them (`verify.rs`).

use std::fmt;

/// What is the case, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// All that was signed is there and unchanged.
    Ok,
    /// Content is gone: its keys were destroyed.
    Erased,
    /// Content is gone before it lawfully could.
    ErasedEarly,
    /// Something that must be there is not.
    Missing,
    /// Bytes after the last whole batch that the checkpoint does not cover: a write that a crash cut off.
    Torn,
    /// The log is shorter than what was signed.
    RolledBack,
    /// The log is another than what was signed: bytes were changed.
    Forked,
    /// Nobody outside vouches for it: a remark, not an alarm.
    Unwitnessed,
    /// Signed, but not by this key; or sealed under another.
    WrongKey,
}

impl Verdict {
    /// Whether somebody must look into it.
    pub fn is_alarm(self) -> bool {
        match self {
            Verdict::Ok | Verdict::Erased | Verdict::Unwitnessed => false,
            Verdict::ErasedEarly
            | Verdict::Missing
            | Verdict::Torn
            | Verdict::RolledBack
            | Verdict::Forked
            | Verdict::WrongKey => true,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Ok => "ok",
            Verdict::Erased => "erased",
            Verdict::ErasedEarly => "erased-early",
            Verdict::Missing => "missing",
            Verdict::Torn => "torn",
            Verdict::RolledBack => "rolled-back",
            Verdict::Forked => "forked",
            Verdict::Unwitnessed => "unwitnessed",
            Verdict::WrongKey => "wrong-key",
        })
    }
}

/// One thing that a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In one word.
    pub verdict: Verdict,
    /// Where: the file, and if known the byte and the position.
    pub place: String,
    /// What.
    pub detail: String,
}

/// `forked: 000000000000.segment byte 4224, position 17: a sealed part does not match its leaf`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.verdict, self.place, self.detail)
    }
}
