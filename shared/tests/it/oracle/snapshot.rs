//! All that Redis holds of one queue.

/// Members with their scores, or fields with their values.
pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// All that Redis holds of one queue, as it told it: the replies to TIME, four ZRANGEs with scores,
/// HGETALL and LRANGE.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) now: f64,
    replies: String,
}

#[derive(Debug)]
pub(super) struct Contents<'a> {
    pub(super) ready: Pairs<'a>,
    pub(super) timers: Pairs<'a>,
    pub(super) dead: Pairs<'a>,
    pub(super) idle: Pairs<'a>,
    pub(super) jobs: Pairs<'a>,
    /// The newest, as stored.
    pub(super) events: Vec<&'a str>,
}

impl Snapshot {
    pub(crate) fn new(replies: String) -> Self {
        let time = Replies(&replies).array();
        let number = |at: usize| time[at].parse::<u64>().unwrap();
        let now = number(0) * 1000 + number(1) / 1000;
        Self {
            now: now as f64,
            replies,
        }
    }

    pub(super) fn contents(&self) -> Contents<'_> {
        let mut rest = Replies(&self.replies);
        rest.array();
        Contents {
            ready: rest.pairs(),
            timers: rest.pairs(),
            dead: rest.pairs(),
            idle: rest.pairs(),
            jobs: rest.pairs(),
            events: rest.array(),
        }
    }
}

/// What is left of a series of arrays of strings.
struct Replies<'a>(&'a str);

impl<'a> Replies<'a> {
    fn array(&mut self) -> Vec<&'a str> {
        let length = self.number(b'*');
        (0..length).map(|_| self.string()).collect()
    }

    fn pairs(&mut self) -> Pairs<'a> {
        let length = self.number(b'*') / 2;
        let mut pairs = Vec::with_capacity(length);
        for _ in 0..length {
            pairs.push((self.string(), self.string()));
        }
        pairs
    }

    fn string(&mut self) -> &'a str {
        let length = self.number(b'$');
        let (text, rest) = self.0.split_at(length);
        self.0 = &rest[2..];
        text
    }

    /// The number of a line that begins with this sign.
    fn number(&mut self, sign: u8) -> usize {
        let line = self.0.as_bytes();
        assert_eq!(line[0], sign, "{}", self.0);
        let (mut number, mut end) = (0, 1);
        while line[end] != b'\r' {
            number = 10 * number + usize::from(line[end] - b'0');
            end += 1;
        }
        self.0 = &self.0[end + 2..];
        number
    }
}
