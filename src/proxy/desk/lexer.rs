//! Words and texts of a line at the desk, and where they stand in it; and the line without the codes it holds.
//! Not here: what the words mean (`line`).
//! Texts are `'…'` with `''` for a quote, as in PostgreSQL; `"…"` is taken for the same.

use std::ops::Range;

/// What stands where a code stood.
const MASK: &str = "******";
/// How many digits a code has.
const CODE_DIGITS: usize = 6;

/// One word, text or sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as typed: letters, digits, `_`, `-`, `.`, `/`.
    Word(String),
    /// A text, without its quotes.
    Text(String),
    /// `$1` is 0.
    Parameter(usize),
    /// `;`.
    End,
    /// Anything else.
    Sign(char),
}

/// Where a line breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unended {
    /// A text without its closing quote.
    Text,
    /// A comment without its end.
    Comment,
}

/// The tokens of a text, each with where it stands.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Unended> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let blank = blank(rest)?;
        if blank > 0 {
            at += blank;
            continue;
        }
        let (token, length) = token(rest)?;
        found.push((token, at..at + length));
        at += length;
    }
    Ok(found)
}

/// How much of the beginning is white space or a comment.
fn blank(rest: &str) -> Result<usize, Unended> {
    if rest.starts_with("--") {
        return Ok(rest.find('\n').unwrap_or(rest.len()));
    }
    if let Some(comment) = rest.strip_prefix("/*") {
        return comment.find("*/").map(|end| end + 4).ok_or(Unended::Comment);
    }
    Ok(rest.len() - rest.trim_start().len())
}

fn token(rest: &str) -> Result<(Token, usize), Unended> {
    let first = rest.chars().next().unwrap_or(';');
    match first {
        ';' => Ok((Token::End, 1)),
        '\'' | '"' => quoted(rest, first),
        '$' if rest.get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) => {
            let digits = rest.get(1..).map_or(0, |rest| rest.len() - rest.trim_start_matches(is_digit).len());
            // Parameters count from 1; what is no number of one is one that nobody gave.
            let number = rest.get(1..=digits).and_then(|digits| digits.parse::<usize>().ok());
            Ok((Token::Parameter(number.and_then(|number| number.checked_sub(1)).unwrap_or(usize::MAX)), 1 + digits))
        }
        first if is_word(first) => {
            let length = rest.len() - rest.trim_start_matches(is_word).len();
            Ok((Token::Word(rest.get(..length).unwrap_or_default().to_owned()), length))
        }
        first => Ok((Token::Sign(first), first.len_utf8())),
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), Unended> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            text.push(c);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Ok((Token::Text(text), at + 1));
        }
    }
    Err(Unended::Text)
}

/// The text as the audit log keeps it: without codes, which open access to whoever reads them. What follows the word CODE
/// is masked, and whatever else may be meant as one: six digits that are no ticket, all of them where a line breaks off.
pub(super) fn without_codes(text: &str) -> String {
    let masked = tokens(text).map_or_else(|_| numbers(text), |tokens| codes(&tokens));
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for range in masked {
        kept.push_str(text.get(at..range.start).unwrap_or_default());
        kept.push_str(MASK);
        at = range.end;
    }
    kept.push_str(text.get(at..).unwrap_or_default());
    kept
}

fn codes(tokens: &[(Token, Range<usize>)]) -> Vec<Range<usize>> {
    let is =
        |token: Option<&Token>, word: &str| matches!(token, Some(Token::Word(text)) if text.eq_ignore_ascii_case(word));
    let before = std::iter::once(None).chain(tokens.iter().map(|(token, _)| Some(token)));
    let masked = before.zip(tokens).filter(|(before, (token, _))| match token {
        Token::Word(text) | Token::Text(text) => {
            let may_be = text.len() == CODE_DIGITS && text.chars().all(is_digit);
            is(*before, "code") || (may_be && !is(*before, "ticket"))
        }
        Token::Parameter(_) | Token::End | Token::Sign(_) => false,
    });
    masked.map(|(_, (_, range))| range.clone()).collect()
}

/// Where numbers with as many digits as a code stand.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if c.is_ascii_digit() {
            start.get_or_insert(at);
        } else if let Some(start) = start.take().filter(|start| at - start == CODE_DIGITS) {
            found.push(start..at);
        }
    }
    found
}

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
