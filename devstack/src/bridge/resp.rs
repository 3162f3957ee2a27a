//! The RESP2 protocol, keeping apart what REST must tell apart: status, bulk and error replies,
//! and the two kinds of null.

use std::io::{Error, ErrorKind};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Above any reply the bridge may pass on; a longer one is cut off with its connection.
const MAX_REPLY: usize = 128 * 1024 * 1024;
/// Deeper than Redis lets a script nest its reply.
const MAX_DEPTH: usize = 256;

/// One reply of the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(Bytes),
    Error(Bytes),
    Integer(i64),
    Bulk(Bytes),
    Array(Vec<Reply>),
    NullBulk,
    NullArray,
}

impl Reply {
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self::Error(Bytes::from(text.into()))
    }

    /// The bytes of a status or bulk reply.
    pub(crate) fn text(&self) -> Option<&Bytes> {
        match self {
            Self::Status(text) | Self::Bulk(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Reply] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// Bytes of the reply on the wire.
    pub(crate) fn wire_len(&self) -> usize {
        match self {
            Self::Status(text) | Self::Error(text) => 3 + text.len(),
            Self::Integer(value) => 3 + value.to_string().len(),
            Self::Bulk(bytes) => 5 + digits(bytes.len()) + bytes.len(),
            Self::Array(items) => {
                3 + digits(items.len()) + items.iter().map(Self::wire_len).sum::<usize>()
            }
            Self::NullBulk | Self::NullArray => 5,
        }
    }

    /// Appends the reply as it stood on the wire.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Status(text) => write_line(out, b'+', text),
            Self::Error(text) => write_line(out, b'-', text),
            Self::Integer(value) => write_line(out, b':', value.to_string().as_bytes()),
            Self::Bulk(bytes) => write_bulk(out, bytes),
            Self::Array(items) => {
                write_line(out, b'*', items.len().to_string().as_bytes());
                for item in items {
                    item.write(out);
                }
            }
            Self::NullBulk => out.put_slice(b"$-1\r\n"),
            Self::NullArray => out.put_slice(b"*-1\r\n"),
        }
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

fn write_line(out: &mut BytesMut, kind: u8, text: &[u8]) {
    out.put_u8(kind);
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn write_bulk(out: &mut BytesMut, bytes: &[u8]) {
    write_line(out, b'$', bytes.len().to_string().as_bytes());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// Appends one request: an array of bulk strings, the command name first.
pub(crate) fn write_request(out: &mut BytesMut, name: &str, args: &[Bytes]) {
    write_line(out, b'*', (args.len() + 1).to_string().as_bytes());
    write_bulk(out, name.as_bytes());
    for arg in args {
        write_bulk(out, arg);
    }
}

/// Cuts replies out of a growing buffer, looking at every header once however often it is asked.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Received and not yet returned; the reader appends here.
    pub(crate) buffer: BytesMut,
    scanned: usize,
    /// Values still to be found to complete the current reply; 0 between replies.
    missing: usize,
}

impl Decoder {
    /// The next reply, or `None` until more bytes have arrived.
    pub(crate) fn next_reply(&mut self) -> Result<Option<Reply>, Error> {
        if self.missing == 0 {
            self.missing = 1;
        }
        while self.missing > 0 {
            if !self.scan_value()? {
                return Ok(None);
            }
        }
        let mut frame = self.buffer.split_to(self.scanned).freeze();
        self.scanned = 0;
        build(&mut frame, 0).map(Some)
    }

    fn scan_value(&mut self) -> Result<bool, Error> {
        if self.scanned > MAX_REPLY {
            return Err(malformed("reply too large"));
        }
        let Some((header, next)) = line_at(&self.buffer, self.scanned) else {
            return Ok(false);
        };
        let (end, children) = match header.split_first() {
            Some((b'$', length)) => match number(length)? {
                -1 => (next, 0),
                length => (next + size(length)? + 2, 0),
            },
            Some((b'*', length)) => match number(length)? {
                -1 => (next, 0),
                length => (next, size(length)?),
            },
            Some((b'+' | b'-' | b':', _)) => (next, 0),
            _ => return Err(malformed("unknown reply type")),
        };
        if end > self.buffer.len() {
            return Ok(false);
        }
        self.scanned = end;
        self.missing = self.missing - 1 + children;
        Ok(true)
    }
}

fn build(frame: &mut Bytes, depth: usize) -> Result<Reply, Error> {
    if depth > MAX_DEPTH {
        return Err(malformed("reply nested too deeply"));
    }
    let Some((header, next)) = line_at(frame, 0) else {
        return Err(malformed("cut off"));
    };
    let (kind, text) = (header[0], frame.slice(1..header.len()));
    frame.advance(next);
    match kind {
        b'+' => Ok(Reply::Status(text)),
        b'-' => Ok(Reply::Error(text)),
        b':' => number(&text).map(Reply::Integer),
        b'$' => match number(&text)? {
            -1 => Ok(Reply::NullBulk),
            length => {
                let bytes = frame.split_to(size(length)?);
                frame.advance(2);
                Ok(Reply::Bulk(bytes))
            }
        },
        _ => match number(&text)? {
            -1 => Ok(Reply::NullArray),
            length => (0..length)
                .map(|_| build(frame, depth + 1))
                .collect::<Result<_, _>>()
                .map(Reply::Array),
        },
    }
}

/// The line starting at `from` without its CRLF, and where the next one starts.
fn line_at(buffer: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let rest = &buffer[from..];
    let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&rest[..length], from + length + 2))
}

fn number(text: &[u8]) -> Result<i64, Error> {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| malformed("not a number"))
}

fn size(length: i64) -> Result<usize, Error> {
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_REPLY)
        .ok_or_else(|| malformed("reply too large"))
}

fn malformed(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] =
        b"*7\r\n+OK\r\n-ERR no\r\n:-7\r\n$4\r\na\r\nb\r\n$-1\r\n*-1\r\n*1\r\n$0\r\n\r\n+NEXT\r\n";

    fn expected() -> Reply {
        Reply::Array(vec![
            Reply::Status("OK".into()),
            Reply::error("ERR no"),
            Reply::Integer(-7),
            Reply::Bulk("a\r\nb".into()),
            Reply::NullBulk,
            Reply::NullArray,
            Reply::Array(vec![Reply::Bulk(Bytes::new())]),
        ])
    }

    #[test]
    fn replies_arriving_byte_by_byte_are_decoded_and_written_back_unchanged() {
        let mut decoder = Decoder::default();
        let mut replies = Vec::new();
        for byte in WIRE {
            decoder.buffer.put_u8(*byte);
            replies.extend(decoder.next_reply().unwrap());
        }
        assert_eq!(replies, [expected(), Reply::Status("NEXT".into())]);
        let mut written = BytesMut::new();
        for reply in &replies {
            reply.write(&mut written);
        }
        assert_eq!(written, WIRE);
        assert_eq!(
            replies.iter().map(Reply::wire_len).sum::<usize>(),
            WIRE.len()
        );
    }

    #[test]
    fn bytes_that_are_not_resp_are_refused() {
        for wire in [
            "HTTP/1.1 200 OK\r\n",
            "$x\r\n",
            "$-2\r\n",
            "*999999999999\r\n",
            "\r\n",
        ] {
            let mut decoder = Decoder {
                buffer: BytesMut::from(wire),
                ..Decoder::default()
            };
            assert!(decoder.next_reply().is_err(), "{wire:?}");
        }
    }
}
