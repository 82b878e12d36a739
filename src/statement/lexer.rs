//! PostgreSQL's lexical structure, enough of it for a label: words, quoted identifiers, literals, comments.
//! Not here: meaning. An unterminated literal simply ends the text.
//! Specification: PostgreSQL 18 manual, section 4.1; backslashes in plain `''` are taken literally (the default).

use std::borrow::Cow;

/// One token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An unquoted word, as written.
    Word(Cow<'a, str>),
    /// A quoted identifier, without its quotes.
    Quoted(String),
    /// A string, a number or a parameter.
    Literal,
    /// Any other byte.
    Symbol(u8),
}

/// Cuts a text into tokens.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Lexer { rest: text }
    }

    /// Whether the next token is that symbol.
    pub(super) fn peeks(&mut self, symbol: u8) -> bool {
        self.skip_blank();
        self.rest.first() == Some(&symbol)
    }

    /// The next token; none at the end.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let (&first, after) = self.rest.split_first()?;
        let second = after.first().copied();
        match (first, second) {
            (b'\'', _) => self.string(1, false),
            (b'e' | b'E', Some(b'\'')) => self.string(2, true),
            (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', Some(b'\'')) => self.string(2, false),
            (b'u' | b'U', Some(b'&')) if after.get(1) == Some(&b'\'') => self.string(3, false),
            (b'u' | b'U', Some(b'&')) if after.get(1) == Some(&b'"') => self.quoted(3),
            (b'"', _) => self.quoted(1),
            (b'$', Some(b'0'..=b'9')) => self.number(),
            (b'$', _) => self.dollar(),
            (b'0'..=b'9', _) => self.number(),
            _ if starts_word(first) => {
                let word = self.take_while(continues_word);
                Some(Token::Word(String::from_utf8_lossy(word)))
            }
            _ => {
                self.rest = after;
                Some(Token::Symbol(first))
            }
        }
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().position(|byte| !belongs(*byte)).unwrap_or(self.rest.len());
        self.take(count)
    }

    fn number(&mut self) -> Option<Token<'a>> {
        self.take(1);
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
        Some(Token::Literal)
    }

    fn string(&mut self, opening: usize, escapes: bool) -> Option<Token<'a>> {
        self.take(opening);
        while let Some((&byte, after)) = self.rest.split_first() {
            let doubled = byte == b'\'' && after.first() == Some(&b'\'');
            if doubled || (escapes && byte == b'\\') {
                self.take(2);
                continue;
            }
            self.rest = after;
            if byte == b'\'' {
                break;
            }
        }
        Some(Token::Literal)
    }

    fn quoted(&mut self, opening: usize) -> Option<Token<'a>> {
        self.take(opening);
        let mut name = Vec::new();
        while let Some((&byte, after)) = self.rest.split_first() {
            self.rest = after;
            if byte == b'"' {
                if after.first() != Some(&b'"') {
                    break;
                }
                self.take(1);
            }
            name.push(byte);
        }
        Some(Token::Quoted(String::from_utf8_lossy(&name).into_owned()))
    }

    /// `$tag$ … $tag$`; a lone `$` is a symbol.
    fn dollar(&mut self) -> Option<Token<'a>> {
        let tag_end = self.rest.iter().skip(1).position(|byte| !continues_word(*byte) || *byte == b'$');
        let delimiter =
            tag_end.and_then(|end| self.rest.get(..end + 2)).filter(|delimiter| delimiter.last() == Some(&b'$'));
        let Some(delimiter) = delimiter else {
            self.take(1);
            return Some(Token::Symbol(b'$'));
        };
        self.take(delimiter.len());
        let end = self.rest.windows(delimiter.len()).position(|window| window == delimiter);
        self.take(end.map_or(self.rest.len(), |end| end + delimiter.len()));
        Some(Token::Literal)
    }

    fn skip_blank(&mut self) {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, rest @ ..] => self.rest = rest,
                [b'-', b'-', ..] => {
                    self.take_while(|byte| byte != b'\n' && byte != b'\r');
                }
                [b'/', b'*', ..] => self.skip_comment(),
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.rest {
                [b'/', b'*', rest @ ..] => {
                    depth += 1;
                    self.rest = rest;
                }
                [b'*', b'/', rest @ ..] => {
                    depth = depth.saturating_sub(1);
                    self.rest = rest;
                    if depth == 0 {
                        return;
                    }
                }
                [_, rest @ ..] => self.rest = rest,
                [] => return,
            }
        }
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}
