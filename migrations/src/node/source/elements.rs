//! The members of the array `keys` of a JSON object, one by one, however long the file is. One that is
//! damaged costs nothing but itself.

use std::io::{BufRead, BufReader, Read};

/// The largest element that is read.
const MAX_ELEMENT: usize = 64 * 1024 * 1024;

/// The elements of a file.
#[derive(Debug)]
pub(super) struct Elements<R> {
    reader: BufReader<R>,
    has_begun: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The bytes of an element, from brace to brace.
    Element(Vec<u8>),
    /// One that is too large to be read.
    TooLarge,
    /// The array ended as it should.
    End,
    /// The file ended before the array did, or has no such array.
    Truncated,
}

impl<R: Read> Elements<R> {
    pub(super) fn new(file: R) -> Self {
        Self {
            reader: BufReader::with_capacity(256 * 1024, file),
            has_begun: false,
        }
    }

    pub(super) fn next(&mut self) -> std::io::Result<Next> {
        if !self.has_begun {
            if !self.find_array()? {
                return Ok(Next::Truncated);
            }
            self.has_begun = true;
        }
        loop {
            match self.byte()? {
                None => return Ok(Next::Truncated),
                Some(b']') => return Ok(Next::End),
                Some(b'{') => return self.element(),
                Some(_) => {}
            }
        }
    }

    /// Reads up to the opening bracket of the member `keys` of the outermost object.
    fn find_array(&mut self) -> std::io::Result<bool> {
        let mut depth = 0_u32;
        let mut last = Vec::new();
        while let Some(byte) = self.byte()? {
            match byte {
                b'"' => last = self.string()?,
                b'[' if depth == 1 && last == b"keys" => return Ok(true),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Reads on to the brace that closes the one just read.
    fn element(&mut self) -> std::io::Result<Next> {
        let mut element = vec![b'{'];
        let mut depth = 1_u32;
        let (mut in_string, mut is_escaped) = (false, false);
        while depth > 0 {
            let Some(byte) = self.byte()? else {
                return Ok(Next::Truncated);
            };
            if element.len() <= MAX_ELEMENT {
                element.push(byte);
            }
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if in_string => is_escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => depth -= 1,
                _ => {}
            }
        }
        if element.len() > MAX_ELEMENT {
            return Ok(Next::TooLarge);
        }
        Ok(Next::Element(element))
    }

    /// The raw text of a string whose opening quote was read; a long one is cut off.
    fn string(&mut self) -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut is_escaped = false;
        while let Some(byte) = self.byte()? {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => break,
                _ => {}
            }
            if text.len() < 64 {
                text.push(byte);
            }
        }
        Ok(text)
    }

    fn byte(&mut self) -> std::io::Result<Option<u8>> {
        let byte = self.reader.fill_buf()?.first().copied();
        if byte.is_some() {
            self.reader.consume(1);
        }
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> (Vec<String>, Next) {
        let mut elements = Elements::new(text.as_bytes());
        let mut found = Vec::new();
        loop {
            match elements.next().unwrap() {
                Next::Element(bytes) => found.push(String::from_utf8(bytes).unwrap()),
                end => return (found, end),
            }
        }
    }

    #[test]
    fn elements_are_found_whatever_stands_before_and_within_them() {
        let text = r#"{"meta":{"keys":[{"not":"this"}],"note":"\"keys\": ["},
            "keys" : [ {"a":"}]\"{"}, {"b":{"c":[{}]}} ], "after": 1}"#;
        let expected = [r#"{"a":"}]\"{"}"#, r#"{"b":{"c":[{}]}}"#];
        assert_eq!(all(text), (expected.map(str::to_owned).to_vec(), Next::End));
    }

    #[test]
    fn a_file_that_was_cut_off_gives_what_is_whole_and_says_so() {
        let (found, end) = all(r#"{"keys":[{"a":1},{"b":"#);
        assert_eq!((found.len(), end), (1, Next::Truncated));
        for text in ["", "{}", "[]", r#"{"other":[{}]}"#] {
            assert_eq!(all(text), (vec![], Next::Truncated), "{text}");
        }
    }
}
