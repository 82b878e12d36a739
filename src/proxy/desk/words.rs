//! The desk's vocabulary: its verbs with their usage, what drivers say unasked, and durations as people write them.
//! Not here: the order of words in a line (`line`).

use std::time::Duration;

use super::lexer::Token;
use super::line::Line;

/// Everything that can be typed, as a hint.
pub(super) const USAGE: &str = "Type SHOW GRANTS; SHOW REQUESTS; SHOW CUSTOMERS; SHOW SESSION; REQUEST …; OPEN …; \
                                ANSWER …; WITHDRAW …; RELEASE …; QUESTION …; BREAK …; CONFIRM …; or SHOW HELP; to see \
                                each in full.";

/// What the first word of a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Help,
    Show,
    Request,
    Open,
    Answer,
    Withdraw,
    Release,
    Question,
    Break,
    Confirm,
}

impl Verb {
    pub(super) const ALL: [Verb; 10] = [
        Verb::Show,
        Verb::Request,
        Verb::Open,
        Verb::Answer,
        Verb::Withdraw,
        Verb::Release,
        Verb::Question,
        Verb::Break,
        Verb::Confirm,
        Verb::Help,
    ];
    pub(super) const WORDS: [&str; 10] =
        ["SHOW", "REQUEST", "OPEN", "ANSWER", "WITHDRAW", "RELEASE", "QUESTION", "BREAK", "CONFIRM", "HELP"];

    pub(super) fn of(word: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|verb| verb.word() == word)
    }

    fn word(self) -> &'static str {
        self.usage().split(' ').next().unwrap_or_default()
    }

    /// How it is typed.
    pub(super) fn usage(self) -> &'static str {
        match self {
            Verb::Help => "HELP",
            Verb::Show => "SHOW GRANTS | REQUESTS | CUSTOMERS | EMERGENCIES | SESSION | HELP",
            Verb::Request => {
                "REQUEST customer FOR '2 hours' REASON '…' TICKET '…' [SCOPE metadata | read | write] [NECESSITY '…'] \
                 [PURPOSE fault | question | operation] [CHANNEL portal | mail | phone | form] [WITHIN '24 hours'] \
                 [CODE 123456]"
            }
            Verb::Open => {
                "OPEN customer FOR '1 hour' REASON '…' TICKET '…' [SCOPE metadata | read | write] \
                 [PURPOSE fault | question | operation]"
            }
            Verb::Answer => "ANSWER r7 'text'",
            Verb::Withdraw => "WITHDRAW r7",
            Verb::Release => "RELEASE customer",
            Verb::Question => "QUESTION customer REASON '…'",
            Verb::Break => {
                "BREAK customer FOR '30 min' REASON '…' TICKET '…' [SCOPE read | write] \
                 [PURPOSE fault | question | operation]"
            }
            Verb::Confirm => "CONFIRM b7",
        }
    }

    /// What it does, in a sentence.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            // psql keeps the word HELP to itself where it is the first of a line.
            Verb::Help => "Shows what can be typed, as SHOW HELP does.",
            Verb::Show => {
                "Lists your grants, your requests, the customers you look after or emergencies, or shows this session."
            }
            Verb::Request => {
                "Asks the account owner for access. More than metadata needs NECESSITY: why that is not enough. With a CODE \
                 that the owner reads out it is open at once, as far and as long as the code says."
            }
            Verb::Open => "Opens access at once, where the account owner lets staff do so.",
            Verb::Answer => "Answers what the account owner asked back.",
            Verb::Withdraw => "Takes a request back that you no longer need.",
            Verb::Release => "Gives your access to a customer back before its time; your sessions there end.",
            Verb::Break => {
                "Asks for access in an emergency, where the account owner agreed to that: somebody else has 15 minutes to \
                 confirm it, one of the two a team lead or of security. The owner is told."
            }
            Verb::Confirm => {
                "Confirms what somebody else asks for in an emergency, which opens it for them for at most an hour."
            }
            Verb::Question => "Doubts what was instructed: nothing is opened until the account owner has answered.",
        }
    }
}

/// What drivers and their pools say without being asked. It changes nothing here, and they expect an answer.
pub(super) fn of_drivers(word: &str, rest: &[Token]) -> Option<Line> {
    let first = match rest.first() {
        Some(Token::Word(word)) => word.to_ascii_uppercase(),
        Some(Token::Text(_) | Token::Parameter(_) | Token::End | Token::Sign(_)) | None => String::new(),
    };
    match (word, first.as_str()) {
        ("BEGIN", _) | ("START", "TRANSACTION") => Some(Line::Begin),
        ("COMMIT" | "END", _) => Some(Line::End("COMMIT")),
        ("ROLLBACK" | "ABORT", _) => Some(Line::End("ROLLBACK")),
        ("SET", _) => Some(Line::Setting("SET")),
        ("RESET", _) => Some(Line::Setting("RESET")),
        ("DEALLOCATE", _) => Some(Line::Setting("DEALLOCATE")),
        ("DISCARD", _) => Some(Line::Setting("DISCARD ALL")),
        ("UNLISTEN", _) => Some(Line::Setting("UNLISTEN")),
        _ => None,
    }
}

/// Whether a word begins a statement of SQL.
pub(super) fn is_sql(word: &str) -> bool {
    const SQL: [&str; 24] = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "TABLE", "VALUES", "COPY", "CREATE", "ALTER", "DROP",
        "GRANT", "REVOKE", "EXPLAIN", "CALL", "DO", "DECLARE", "FETCH", "LISTEN", "NOTIFY", "TRUNCATE", "VACUUM",
        "PREPARE",
    ];
    SQL.contains(&word)
}

/// `: did you mean "SHOW"?`, if one of the words is near.
pub(super) fn nearest(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), known)).min();
    near.filter(|(distance, _)| *distance <= 2).map(|(_, known)| format!(": did you mean {known}?")).unwrap_or_default()
}

/// A duration such as `2 hours`, `90 min` or `1h`: one whole number and a unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds = match unit.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}
