//! Where a node listens, as the nodes themselves tell it.

use std::fmt;

use super::super::reply::Reply;

/// Host name or address, and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// Reads `<host>:<port>`. A node that does not know its own name leaves the host away or writes
    /// `?`, and means the one that was asked.
    pub(super) fn parse(text: &str, asked: &str) -> Option<Self> {
        // The last colon: an IPv6 address comes without brackets.
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::new(host, port.parse().ok()?, asked))
    }

    fn new(host: &str, port: u16, asked: &str) -> Self {
        let is_known = !matches!(host, "" | "?");
        Self {
            host: if is_known { host } else { asked }.to_owned(),
            port,
        }
    }

    /// Every node in a reply of `CLUSTER SLOTS`: `[first slot, last slot, [host, port, …], …]` each.
    /// What does not look like that is skipped.
    pub(super) fn of_slots(reply: Reply, asked: &str) -> Vec<Self> {
        let ranges = reply.array().unwrap_or_default();
        let nodes = ranges
            .into_iter()
            .flat_map(|range| range.array().unwrap_or_default().into_iter().skip(2));
        nodes
            .filter_map(|node| {
                let mut parts = node.array().ok()?.into_iter();
                let host = parts.next()?.optional_text().ok()?.unwrap_or_default();
                let port = u16::try_from(parts.next()?.int().ok()?).ok()?;
                Some(Self::new(&host, port, asked))
            })
            .collect()
    }
}

impl fmt::Display for Endpoint {
    /// As it stands in an URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Endpoint::parse(text, "asked").map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn a_redirection_is_read_in_every_form_that_nodes_write() {
        for (text, meant) in [
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("node.example.com:7000", "node.example.com:7000"),
            ("::1:7000", "[::1]:7000"),
            (":7000", "asked:7000"),
            ("?:7000", "asked:7000"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(meant), "{text}");
        }
        for text in ["", "10.0.0.1", "10.0.0.1:", "10.0.0.1:70000"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn the_map_of_slots_tells_of_masters_and_replicas() {
        let text = |text: &str| Reply::Text(text.as_bytes().to_vec());
        let node = |host: Reply, port| {
            Reply::Array(vec![
                host,
                Reply::Int(port),
                text("id"),
                Reply::Array(vec![]),
            ])
        };
        let range = Reply::Array(vec![
            Reply::Int(0),
            Reply::Int(16383),
            node(text("10.0.0.1"), 1),
            node(Reply::Nil, 2),
        ]);
        let nodes = Endpoint::of_slots(Reply::Array(vec![range, Reply::Nil]), "asked");
        let shown: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:1", "asked:2"]);
    }
}
