//! A lexer's best effort at a statement's kind and the relations it names: a label, never a fence.
//! Deliberately not a parser: views, functions and search paths can hide anything from it.
//! Lexical rules: PostgreSQL 18 manual, section 4.1 (comments nest, `E''`, `$tag$`, quoted identifiers).

use super::lexer::{Lexer, Token};

/// Bytes of a statement that are looked at; what comes after has no label.
pub const LABELLED_BYTES_MAX: usize = 64 * 1024;
/// Relations kept per statement.
pub const RELATIONS_MAX: usize = 32;

/// What a statement seems to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The leading word in lower case (`select`, `update`, `copy`, …), `empty`, `several` for a query string with
    /// statements of different kinds, or `other`.
    pub kind: &'static str,
    /// Relations named, in order of appearance, each once, written as PostgreSQL would quote them.
    pub relations: Vec<String>,
}

/// Labels a statement's text, in whatever encoding that keeps ASCII as ASCII.
pub fn label(text: &[u8]) -> Label {
    let (text, _) = text.split_at_checked(LABELLED_BYTES_MAX).unwrap_or((text, &[]));
    let mut scan = Scan::default();
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        scan.token(token, lexer.peeks(b'('), lexer.peeks(b'.'));
    }
    scan.end_statement();
    scan.relations.retain(|name| !scan.defined.contains(name));
    Label { kind: scan.kind.unwrap_or("empty"), relations: scan.relations }
}

/// One level of parentheses.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// A query or a list of sources stands in it, so FROM means a relation (unlike in `extract(year FROM t)`).
    query: bool,
    /// A relation's name comes next.
    expected: bool,
    /// A comma brings another relation.
    list: bool,
    /// Nothing was read in it yet.
    fresh: bool,
}

impl Level {
    const STATEMENT: Level = Level { query: true, expected: false, list: false, fresh: true };
}

#[derive(Debug, Default)]
struct Scan {
    kind: Option<&'static str>,
    /// The kind of the statement under way.
    current: Option<&'static str>,
    /// `WITH` was read and the verb behind it not yet.
    with: bool,
    below: Vec<Level>,
    level: Level,
    /// The last two words, lower case.
    previous: [Word; 2],
    /// Parts of a qualified name under way.
    name: Option<String>,
    dotted: bool,
    relations: Vec<String>,
    /// Names defined by WITH.
    defined: Vec<String>,
}

/// The words that change what comes after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Other,
    As,
    Distinct,
    For,
    Is,
    Key,
    Not,
    On,
    Do,
}

impl Word {
    fn of(word: &str) -> Word {
        match word {
            "as" => Word::As,
            "distinct" => Word::Distinct,
            "for" => Word::For,
            "is" => Word::Is,
            "key" => Word::Key,
            "not" => Word::Not,
            "on" => Word::On,
            "do" => Word::Do,
            _ => Word::Other,
        }
    }
}

impl Scan {
    fn token(&mut self, token: Token<'_>, before_parenthesis: bool, before_dot: bool) {
        if self.current.is_none() && self.below.is_empty() && !matches!(token, Token::Symbol(b';')) {
            self.level = Level::STATEMENT;
        }
        match token {
            Token::Word(word) => self.word(&word.to_ascii_lowercase(), before_parenthesis, before_dot),
            Token::Quoted(name) => self.identifier(&quoted(&name), before_parenthesis, before_dot),
            Token::Symbol(b'(') => self.open(),
            Token::Symbol(b')') => self.close(),
            Token::Symbol(b',') => {
                self.level.expected = self.level.list;
                self.previous = Default::default();
            }
            Token::Symbol(b'.') => self.dotted = self.name.is_some(),
            Token::Symbol(b';') if self.below.is_empty() => self.end_statement(),
            Token::Symbol(_) | Token::Literal => {
                self.current.get_or_insert("other");
                self.level.expected = false;
                self.level.fresh = false;
                self.previous = Default::default();
            }
        }
    }

    fn word(&mut self, word: &str, before_parenthesis: bool, before_dot: bool) {
        if self.name.is_some() && self.dotted {
            return self.identifier(word, before_parenthesis, before_dot);
        }
        let fresh = std::mem::replace(&mut self.level.fresh, false);
        self.verb(word, fresh);
        let [before, last] = self.previous;
        self.previous = [last, Word::of(word)];
        match word {
            "from" if self.level.query => {
                let compared = last == Word::Distinct && matches!(before, Word::Is | Word::Not);
                let source = self.current == Some("copy") && self.below.is_empty();
                self.expect(!compared && !source, true);
            }
            "join" | "into" | "table" | "copy" | "truncate" | "vacuum" | "analyze" | "analyse" => {
                self.expect(self.level.query, matches!(word, "table" | "truncate" | "vacuum" | "analyze" | "analyse"));
            }
            "using" => self.expect(self.level.query && !before_parenthesis, true),
            "update" => {
                let clause = matches!(last, Word::For | Word::Key | Word::Do | Word::On);
                self.expect(self.level.query && !clause, false);
            }
            "only" | "if" | "not" | "exists" | "lateral" | "concurrently" | "verbose" | "full"
                if self.level.expected => {}
            "select" | "insert" | "delete" | "merge" | "values" | "with" => {
                self.level.query |= fresh;
                self.expect(false, false);
            }
            "where" | "set" | "group" | "order" | "having" | "limit" | "offset" | "fetch" | "window" | "union"
            | "intersect" | "except" | "returning" | "when" | "default" | "to" => self.expect(false, false),
            "on" | "as" | "for" | "inner" | "left" | "right" | "cross" | "natural" => self.level.expected = false,
            _ => self.identifier(word, before_parenthesis, before_dot),
        }
    }

    /// Takes a word as the statement's kind, if it is one and comes where a verb does.
    fn verb(&mut self, word: &str, fresh: bool) {
        let verb = KINDS.iter().find(|kind| **kind == word).copied();
        if self.with {
            let changes = matches!(word, "insert" | "update" | "delete" | "merge") && fresh;
            let main =
                self.below.is_empty() && matches!(word, "select" | "insert" | "update" | "delete" | "merge" | "values");
            if changes || main {
                let known = matches!(self.current, Some("insert" | "update" | "delete" | "merge"));
                if !known {
                    self.current = verb;
                }
                self.with = !main;
            }
        } else if self.current.is_none() {
            self.with = word == "with";
            self.current = Some(verb.unwrap_or("other"));
        }
    }

    fn expect(&mut self, expected: bool, list: bool) {
        self.level.expected = expected;
        self.level.list = list && expected;
    }

    fn identifier(&mut self, written: &str, before_parenthesis: bool, before_dot: bool) {
        self.level.fresh = false;
        if self.with
            && self.level.query
            && self.below.is_empty()
            && !self.level.expected
            && self.defined.len() < RELATIONS_MAX
        {
            self.defined.push(written.to_owned());
        }
        let name = match self.name.take() {
            Some(parts) if self.dotted => format!("{parts}.{written}"),
            _ if self.level.expected => written.to_owned(),
            _ => return,
        };
        self.dotted = false;
        if before_dot {
            self.name = Some(name);
            return;
        }
        self.level.expected = false;
        // A name before a parenthesis is a function, but for INSERT INTO t (…), COPY t (…), CREATE TABLE t (…).
        let called =
            before_parenthesis && self.level.list && !matches!(self.current, Some("create" | "vacuum" | "analyze"));
        if !called && self.relations.len() < RELATIONS_MAX && !self.relations.contains(&name) {
            self.relations.push(name);
        }
    }

    fn open(&mut self) {
        let sources = self.level.expected && self.level.query;
        self.level.expected = false;
        self.level.fresh = false;
        let inner = Level { query: sources, expected: sources, list: sources, fresh: true };
        self.below.push(std::mem::replace(&mut self.level, inner));
        self.previous = Default::default();
    }

    fn close(&mut self) {
        if let Some(outer) = self.below.pop() {
            self.level = outer;
        }
        self.previous = Default::default();
    }

    fn end_statement(&mut self) {
        if self.current.is_none() && !self.below.is_empty() {
            self.current = Some("other");
        }
        if let Some(current) = self.current.take() {
            self.kind = match self.kind {
                None => Some(current),
                Some(kind) if kind == current => Some(kind),
                Some(_) => Some("several"),
            };
        }
        self.with = false;
        self.below.clear();
        self.level = Level::STATEMENT;
        self.name = None;
        self.dotted = false;
        self.previous = Default::default();
    }
}

/// A quoted identifier as PostgreSQL would write it: quoted only where it must be.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The words a statement can begin with.
const KINDS: [&str; 50] = [
    "abort",
    "alter",
    "analyze",
    "begin",
    "call",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "discard",
    "do",
    "drop",
    "end",
    "execute",
    "explain",
    "fetch",
    "grant",
    "import",
    "insert",
    "listen",
    "load",
    "lock",
    "merge",
    "move",
    "notify",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "select",
    "set",
    "show",
    "start",
    "table",
    "truncate",
    "unlisten",
    "update",
    "vacuum",
];

#[cfg(test)]
#[path = "label_tests.rs"]
mod tests;
