//! What a line at the desk asks for: the first word, then clauses in any order, values perhaps left to parameters.
//! Not here: doing it (`seat`). Whatever else is typed is answered with what can be.

use super::answers::Columns;
use super::lexer::{Token, Unended, tokens};
use super::shows;
use super::words::{self, USAGE, Verb};
use crate::wire::response::{Report, Severity};
use crate::wire::sqlstate;

/// The longest list of lines in one text.
const LINES_MAX: usize = 16;

/// A value, or the parameter that will hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// As typed.
    Given(String),
    /// The parameter with that number, from 0.
    Parameter(usize),
}

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// One's own grants.
    Grants,
    /// One's own requests.
    Requests,
    /// The customers one looks after.
    Customers,
    /// What was asked for in an emergency.
    Emergencies,
    /// This session.
    Session,
}

/// What may be said beside the customer, each at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clauses {
    given: Vec<(&'static str, Value)>,
}

impl Clauses {
    pub(super) fn get(&self, word: &str) -> Option<&Value> {
        self.given.iter().find(|(name, _)| *name == word).map(|(_, value)| value)
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// What can be typed.
    Help,
    /// A list.
    Show(Shown),
    /// Ask the owner, or use the owner's code.
    Request(Value, Clauses),
    /// Open access where the owner lets staff do so.
    Open(Value, Clauses),
    /// Answer what an owner asked back.
    Answer(Value, Value),
    /// Take a request back.
    Withdraw(Value),
    /// Give a grant back, by its own name or its customer's.
    Release(Value),
    /// Doubt an instruction.
    Question(Value, Clauses),
    /// Ask for access in an emergency.
    Break(Value, Clauses),
    /// Confirm what somebody else asked for in one.
    Confirm(Value),
    /// What drivers say of themselves, and what is answered: nothing follows from it.
    Setting(&'static str),
    /// A transaction is said to begin or end; there are none.
    Begin,
    /// The same, its end, and what is answered.
    End(&'static str),
}

impl Line {
    /// The columns of its answer; none: it has no rows.
    pub(super) fn columns(&self) -> Option<Columns> {
        match self {
            Line::Help => Some(shows::HELP),
            Line::Show(Shown::Grants) | Line::Open(..) | Line::Release(_) => Some(shows::GRANTS),
            Line::Show(Shown::Requests) | Line::Answer(..) | Line::Withdraw(_) => Some(shows::REQUESTS),
            Line::Show(Shown::Customers) | Line::Question(..) => Some(shows::CUSTOMERS),
            Line::Show(Shown::Emergencies) | Line::Break(..) | Line::Confirm(_) => Some(shows::EMERGENCIES),
            Line::Show(Shown::Session) => Some(shows::SESSION),
            // With a code it is open at once.
            Line::Request(_, clauses) if clauses.get("CODE").is_some() => Some(shows::GRANTS),
            Line::Request(..) => Some(shows::REQUESTS),
            Line::Setting(_) | Line::Begin | Line::End(_) => None,
        }
    }

    /// How many parameters it needs: the highest number.
    pub(super) fn parameters(&self) -> usize {
        let number = |value: &Value| match value {
            Value::Given(_) => 0,
            Value::Parameter(index) => index.saturating_add(1),
        };
        self.values().into_iter().map(number).max().unwrap_or(0)
    }

    /// The parameter that holds a code, if one does.
    pub(super) fn code_parameter(&self) -> Option<usize> {
        let Line::Request(_, clauses) = self else { return None };
        match clauses.get("CODE") {
            Some(Value::Parameter(index)) => Some(*index),
            Some(Value::Given(_)) | None => None,
        }
    }

    fn values(&self) -> Vec<&Value> {
        match self {
            Line::Request(customer, clauses)
            | Line::Open(customer, clauses)
            | Line::Question(customer, clauses)
            | Line::Break(customer, clauses) => {
                std::iter::once(customer).chain(clauses.given.iter().map(|(_, value)| value)).collect()
            }
            Line::Answer(request, text) => vec![request, text],
            Line::Withdraw(named) | Line::Release(named) | Line::Confirm(named) => vec![named],
            Line::Help | Line::Show(_) | Line::Setting(_) | Line::Begin | Line::End(_) => Vec::new(),
        }
    }
}

/// Reads every line of a text; none: it is blank.
pub(super) fn read(text: &str) -> Result<Vec<Line>, Report> {
    let tokens = tokens(text).map_err(|unended| {
        let what = match unended {
            Unended::Text => "a text that begins with a quote has no end",
            Unended::Comment => "a comment has no end",
        };
        wrong(what.to_owned()).hint("Write texts as '…', with '' for a quote in them.")
    })?;
    let tokens: Vec<Token> = tokens.into_iter().map(|(token, _)| token).collect();
    let lines: Vec<&[Token]> = tokens.split(|token| *token == Token::End).filter(|line| !line.is_empty()).collect();
    if lines.len() > LINES_MAX {
        return Err(Report::new(Severity::Error, sqlstate::PROGRAM_LIMIT_EXCEEDED, "too many lines at once")
            .hint(format!("Send at most {LINES_MAX} lines in one text.")));
    }
    lines.into_iter().map(|tokens| Reader { tokens, verb: None }.line()).collect()
}

fn wrong(message: String) -> Report {
    Report::new(Severity::Error, sqlstate::SYNTAX_ERROR, message)
}

/// What of a line is not read yet.
struct Reader<'t> {
    tokens: &'t [Token],
    verb: Option<Verb>,
}

impl Reader<'_> {
    fn line(mut self) -> Result<Line, Report> {
        let Some(word) = self.word() else { return Err(self.no_verb()) };
        if let Some(line) = words::of_drivers(&word, self.tokens) {
            return Ok(line);
        }
        let Some(verb) = Verb::of(&word) else { return Err(unknown(&word)) };
        self.verb = Some(verb);
        let line = match verb {
            Verb::Help => Line::Help,
            Verb::Show => self.shown()?,
            Verb::Request => {
                let known = ["FOR", "REASON", "TICKET", "SCOPE", "NECESSITY", "PURPOSE", "CHANNEL", "WITHIN", "CODE"];
                Line::Request(self.value("a customer")?, self.clauses(&known)?)
            }
            Verb::Open => {
                let known = ["FOR", "REASON", "TICKET", "SCOPE", "PURPOSE"];
                Line::Open(self.value("a customer")?, self.clauses(&known)?)
            }
            Verb::Answer => Line::Answer(self.value("a request such as r7")?, self.value("a text")?),
            Verb::Withdraw => Line::Withdraw(self.value("a request such as r7")?),
            Verb::Release => Line::Release(self.value("a customer, or a grant such as g7")?),
            Verb::Question => Line::Question(self.value("a customer")?, self.clauses(&["REASON"])?),
            Verb::Break => {
                let known = ["FOR", "REASON", "TICKET", "SCOPE", "PURPOSE"];
                Line::Break(self.value("a customer")?, self.clauses(&known)?)
            }
            Verb::Confirm => Line::Confirm(self.value("an emergency such as b7")?),
        };
        match self.tokens.first() {
            None => Ok(line),
            Some(token) => Err(self.wrong(format!("{} is not expected there", shown(token)))),
        }
    }

    fn wrong(&self, message: String) -> Report {
        match self.verb {
            Some(verb) => wrong(message).hint(format!("Type: {};", verb.usage())),
            None => wrong(message).hint(USAGE),
        }
    }

    fn no_verb(&self) -> Report {
        let found = self.tokens.first().map_or_else(|| "nothing".to_owned(), shown);
        self.wrong(format!("a line begins with a word, not with {found}"))
    }

    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn word(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.tokens.first() else { return None };
        let word = word.to_ascii_uppercase();
        self.next();
        Some(word)
    }

    fn shown(&mut self) -> Result<Line, Report> {
        let word = self.word().unwrap_or_default();
        let shown = match word.as_str() {
            "GRANTS" => Shown::Grants,
            "REQUESTS" => Shown::Requests,
            "CUSTOMERS" => Shown::Customers,
            "EMERGENCIES" => Shown::Emergencies,
            "SESSION" => Shown::Session,
            "HELP" => return Ok(Line::Help),
            _ => return Err(self.wrong(format!("there is no \"{}\" to show", word.to_ascii_lowercase()))),
        };
        Ok(Line::Show(shown))
    }

    fn value(&mut self, what: &str) -> Result<Value, Report> {
        match self.next() {
            Some(Token::Word(text) | Token::Text(text)) => Ok(Value::Given(text)),
            Some(Token::Parameter(number)) => Ok(Value::Parameter(number)),
            Some(token @ (Token::End | Token::Sign(_))) => Err(self.wrong(format!("{} is not {what}", shown(&token)))),
            None => Err(self.wrong(format!("{what} is missing"))),
        }
    }

    fn clauses(&mut self, known: &[&'static str]) -> Result<Clauses, Report> {
        let mut clauses = Clauses::default();
        while !self.tokens.is_empty() {
            let Some(word) = self.word() else {
                let found = self.tokens.first().map_or_else(String::new, shown);
                return Err(self.wrong(format!("{found} is not expected there")));
            };
            let Some(name) = known.iter().find(|name| **name == word) else {
                let nearest = words::nearest(&word, known);
                return Err(self.wrong(format!("\"{word}\" is not expected there{nearest}")));
            };
            if clauses.get(name).is_some() {
                return Err(self.wrong(format!("{name} is said twice")));
            }
            let value = self.value(&format!("the value of {name}"))?;
            clauses.given.push((name, value));
        }
        Ok(clauses)
    }
}

fn unknown(word: &str) -> Report {
    if words::is_sql(word) {
        return Report::new(Severity::Error, sqlstate::FEATURE_NOT_SUPPORTED, "the desk holds no data to query")
            .detail("Here staff ask for access and give it back; every line is recorded.")
            .hint(format!("For a customer's data connect with dbname set to its name. Here: {USAGE}"));
    }
    let nearest = words::nearest(word, &Verb::WORDS);
    wrong(format!("\"{word}\" is not a word of the desk{nearest}")).hint(USAGE)
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(text) => format!("\"{text}\""),
        Token::Text(text) => format!("'{text}'"),
        Token::Parameter(number) => format!("${}", number.saturating_add(1)),
        Token::End => "\";\"".to_owned(),
        Token::Sign(sign) => format!("\"{sign}\""),
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
