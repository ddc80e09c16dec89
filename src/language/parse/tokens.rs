//! Text → a flat list of tokens with their places, whatever the text is.
//!
//! The grammar decides what a file means; this list serves all that pest does not tell: how deep the brackets go before
//! it recurses, where a node ends without the space behind it, what stands at a mistake, where to go on after one, and
//! which comments document a declaration. A text with `${…}` is several tokens, with those of its expressions between.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word of letters, digits and `_`.
    Word,
    /// A name in backticks.
    Quoted,
    /// Anything that starts with a digit: `12.50`, `1h30m`, `0.1f`, also `12abc`.
    Number,
    /// A whole text, or its part up to and with `${`, between `}` and `${`, or from `}` on.
    Text,
    /// A text that has no end on its line.
    OpenText,
    /// `'…'`, which is no text here.
    SingleQuoted,
    Open,
    Close,
    /// An operator or another mark, the longest that fits.
    Mark,
    /// A character that has no place outside texts and comments.
    Stray,
}

/// A token: its kind and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// The first of its line.
    pub leads: bool,
}

/// A `///` line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doc {
    pub start: usize,
    pub end: usize,
}

/// All tokens of a text, in order, and its `///` lines.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub list: Vec<Token>,
    pub docs: Vec<Doc>,
    /// Escapes in texts that are not known.
    pub bad_escapes: Vec<(usize, usize)>,
}

impl Tokens {
    /// The index of the first token that ends after `at`.
    pub fn at_or_after(&self, at: usize) -> usize {
        self.list.partition_point(|token| token.end <= at)
    }

    /// The end of the last token that starts before `end`: where a node ends without the space behind it.
    pub fn trimmed_end(&self, end: usize) -> Option<usize> {
        let after = self.list.partition_point(|token| token.start < end);
        after.checked_sub(1).map(|last| self.list[last].end.min(end))
    }
}

/// Marks of more than one character, longest first.
const LONG_MARKS: [&str; 25] = [
    "??=", "===", "!==", "...", "?.", "??", "=>", "==", "=+", "!=", "<=", ">=", "<>", "&&", "||", "+=", "-=", "*=",
    "/=", "++", "--", "->", "..", ":=", "::",
];

/// Characters that are a mark by themselves.
const MARKS: &str = ".,:=+-*/%<>!?|@;&#^~$\\";

/// Splits a text into tokens. Linear in its length.
pub(super) fn scan(text: &str) -> Tokens {
    let mut scanner = Scanner { text, at: 0, line_fresh: true, texts: Vec::new(), tokens: Tokens::default() };
    if text.starts_with('\u{feff}') {
        scanner.at = '\u{feff}'.len_utf8();
    }
    while let Some(next) = scanner.peek() {
        scanner.token(next);
    }
    scanner.tokens
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// No token yet on this line.
    line_fresh: bool,
    /// For each text whose `${` is open: how many braces are open inside it.
    texts: Vec<usize>,
    tokens: Tokens,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn token(&mut self, next: char) {
        match next {
            '\n' => {
                self.at += 1;
                self.line_fresh = true;
            }
            ' ' | '\t' | '\r' => self.at += 1,
            '/' if self.rest().starts_with("//") => self.comment(),
            '"' => self.text_from(self.at, 1),
            '\'' => self.single_quoted(),
            '`' => self.quoted(),
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            '0'..='9' => self.number(),
            '{' | '(' | '[' => self.open(next),
            '}' | ')' | ']' => self.close(next),
            _ => self.mark(next),
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        self.tokens.list.push(Token { kind, start, end, leads: self.line_fresh });
        self.line_fresh = false;
        self.at = end;
    }

    fn comment(&mut self) {
        let end = self.rest().find('\n').map_or(self.text.len(), |length| self.at + length);
        if self.rest().starts_with("///") {
            self.tokens.docs.push(Doc { start: self.at, end });
        }
        self.at = end;
    }

    fn word(&mut self) {
        let start = self.at;
        let length = self.rest().bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let end = start + length;
        let marked = matches!(&self.text[start..end], "t" | "d") && self.text[end..].starts_with('"');
        match marked {
            true => self.plain_text(start, end + 1),
            false => self.push(Kind::Word, start, end),
        }
    }

    /// `t"…"`, `d"…"`: no escapes, no `${`.
    fn plain_text(&mut self, start: usize, from: usize) {
        let length = self.text[from..].find(['"', '\n']).unwrap_or(self.text.len() - from);
        let end = from + length;
        match self.text[end..].starts_with('"') {
            true => self.push(Kind::Text, start, end + 1),
            false => self.push(Kind::OpenText, start, end),
        }
    }

    fn quoted(&mut self) {
        let start = self.at;
        let length = self.text[start + 1..].find(['`', '\n']).unwrap_or(self.text.len() - start - 1);
        let end = start + 1 + length;
        match self.text[end..].starts_with('`') && length > 0 {
            true => self.push(Kind::Quoted, start, end + 1),
            false => self.push(Kind::Stray, start, start + 1),
        }
    }

    fn single_quoted(&mut self) {
        let start = self.at;
        let length = self.text[start + 1..].find(['\'', '\n']).unwrap_or(self.text.len() - start - 1);
        let end = start + 1 + length;
        match self.text[end..].starts_with('\'') {
            true => self.push(Kind::SingleQuoted, start, end + 1),
            false => self.push(Kind::Stray, start, start + 1),
        }
    }

    fn number(&mut self) {
        let bytes = self.text.as_bytes();
        let mut end = self.at;
        loop {
            let here = bytes.get(end).copied().unwrap_or(b' ');
            let next = bytes.get(end + 1).copied().unwrap_or(b' ');
            let exponent = matches!(bytes[end.saturating_sub(1)], b'e' | b'E') && matches!(here, b'+' | b'-');
            let digits = here.is_ascii_alphanumeric() || here == b'_' || (here == b'.' && next.is_ascii_digit());
            let signed = exponent && end > self.at + 1 && next.is_ascii_digit();
            if !(digits || signed) {
                break;
            }
            end += 1;
        }
        self.push(Kind::Number, self.at, end);
    }

    fn open(&mut self, bracket: char) {
        if bracket == '{'
            && let Some(braces) = self.texts.last_mut()
        {
            *braces += 1;
        }
        self.push(Kind::Open, self.at, self.at + 1);
    }

    fn close(&mut self, bracket: char) {
        match self.texts.last_mut() {
            Some(0) if bracket == '}' => {
                self.texts.pop();
                self.text_from(self.at, 1);
            }
            Some(braces) if bracket == '}' => {
                *braces -= 1;
                self.push(Kind::Close, self.at, self.at + 1);
            }
            _ => self.push(Kind::Close, self.at, self.at + 1),
        }
    }

    /// A text, or a part of one, from its `"` or `}` on.
    fn text_from(&mut self, start: usize, opening: usize) {
        if self.text[start..].starts_with("\"\"\"") {
            let from = start + 3;
            return match self.text[from..].find("\"\"\"") {
                Some(length) => self.push(Kind::Text, start, from + length + 3),
                None => self.push(Kind::OpenText, start, self.text.len()),
            };
        }
        let bytes = self.text.as_bytes();
        let mut end = start + opening;
        loop {
            match bytes.get(end) {
                Some(b'"') => return self.push(Kind::Text, start, end + 1),
                Some(b'$') if bytes.get(end + 1) == Some(&b'{') => {
                    self.texts.push(0);
                    return self.push(Kind::Text, start, end + 2);
                }
                Some(b'\\') => end = self.escape(end),
                None | Some(b'\n') => return self.push(Kind::OpenText, start, end),
                Some(_) => end += 1,
            }
        }
    }

    /// Steps over an escape; notes one that is not known.
    fn escape(&mut self, start: usize) -> usize {
        let Some(next) = self.text[start + 1..].chars().next().filter(|next| *next != '\n') else {
            return start + 1;
        };
        let end = start + 1 + next.len_utf8();
        if matches!(next, 'n' | 't' | 'r' | '\\' | '"' | '$') {
            return end;
        }
        if next != 'u' || braced_character(&self.text[end..]).is_none() {
            self.tokens.bad_escapes.push((start, end));
        }
        end
    }

    fn mark(&mut self, next: char) {
        let start = self.at;
        let long = LONG_MARKS.iter().find(|mark| self.rest().starts_with(**mark));
        match long {
            Some(mark) => self.push(Kind::Mark, start, start + mark.len()),
            None if MARKS.contains(next) => self.push(Kind::Mark, start, start + 1),
            None => self.push(Kind::Stray, start, start + next.len_utf8()),
        }
    }
}

/// The character of `{1F600}` at the start of a text.
pub(super) fn braced_character(text: &str) -> Option<char> {
    let digits = text.strip_prefix('{')?;
    let length = digits.bytes().take(7).take_while(u8::is_ascii_hexdigit).count();
    digits[length..].starts_with('}').then(|| u32::from_str_radix(&digits[..length], 16).ok())?.and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        scan(text).list.iter().map(|token| &text[token.start..token.end]).collect()
    }

    #[test]
    fn marks_are_the_longest_that_fit() {
        assert_eq!(words("a ??= b?.c ?? 1.50-2"), ["a", "??=", "b", "?.", "c", "??", "1.50", "-", "2"]);
        assert_eq!(words("1e-6f x.5"), ["1e-6f", "x", ".", "5"]);
    }

    #[test]
    fn a_text_is_split_at_its_expressions() {
        assert_eq!(
            words(r#""a ${ {b: "${c}"} } d" e"#),
            ["\"a ${", "{", "b", ":", "\"${", "c", "}\"", "}", "} d\"", "e"]
        );
    }

    #[test]
    fn comments_are_no_tokens_and_docs_are_kept() {
        let tokens = scan("/// one\na // two \" ( \n//! three\nb");
        assert_eq!(tokens.list.len(), 2);
        assert_eq!(tokens.docs.len(), 1);
        assert!(tokens.list.iter().all(|token| token.leads));
    }

    #[test]
    fn a_text_without_an_end_stops_at_its_line() {
        let tokens = scan("\"abc\nd");
        assert_eq!(tokens.list[0].kind, Kind::OpenText);
        assert_eq!(tokens.list[1].kind, Kind::Word);
    }

    #[test]
    fn escapes_are_checked() {
        assert!(scan(r#""\n\u{1F600}\"""#).bad_escapes.is_empty());
        assert_eq!(scan(r#""\q \u{d800}""#).bad_escapes.len(), 2);
    }
}
