//! The URL of a Redis Cluster: `redis+cluster://[user:password@]host[:port][,host[:port]…]`.

use url::Url;

const SCHEMES: [(&str, &str); 2] = [
    ("redis+cluster://", "redis"),
    ("rediss+cluster://", "rediss"),
];
const DEFAULT_PORT: u16 = 6379;

/// One URL per node, each with the credentials, or what is wrong, without a word of the text: it may
/// be secret. `None` if the scheme is not a cluster's.
pub(super) fn parse(raw: &str) -> Option<Result<Vec<Url>, &'static str>> {
    let raw = raw.trim();
    SCHEMES.iter().find_map(|(prefix, scheme)| {
        let head = raw.get(..prefix.len())?;
        let is_cluster = head.eq_ignore_ascii_case(prefix);
        is_cluster.then(|| nodes(scheme, &raw[prefix.len()..]))
    })
}

/// The nodes without their credentials.
pub(super) fn shown(seeds: &[Url]) -> String {
    let scheme = seeds.first().map_or("", Url::scheme);
    let nodes: Vec<_> = seeds
        .iter()
        .map(|seed| {
            let port = seed.port().unwrap_or(DEFAULT_PORT);
            format!("{}:{port}", seed.host_str().unwrap_or_default())
        })
        .collect();
    format!("{scheme}+cluster://{}", nodes.join(","))
}

fn nodes(scheme: &str, rest: &str) -> Result<Vec<Url>, &'static str> {
    let (credentials, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
    if credentials.contains(['@', '/', '?', '#']) {
        return Err(
            "credentials come once, before the first node; write @ as %40, / as %2F, ? as %3F and # as %23 in them",
        );
    }
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    if hosts.contains(['/', '?', '#']) {
        return Err("a cluster has one database and no options: nothing may follow the nodes");
    }
    hosts
        .split(',')
        .map(|host| node(scheme, credentials, host.trim()))
        .collect()
}

fn node(scheme: &str, credentials: &str, host: &str) -> Result<Url, &'static str> {
    let wrong = "must name nodes as host:port, separated by commas";
    let mut url = Url::parse(&format!("{scheme}://{credentials}@{host}")).map_err(|_| wrong)?;
    if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
        return Err(wrong);
    }
    let port = url.port().unwrap_or(DEFAULT_PORT);
    url.set_port(Some(port)).map_err(|()| wrong)?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &str) -> Result<Vec<String>, &'static str> {
        let seeds = parse(raw).expect("a cluster's scheme")?;
        Ok(seeds.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn only_a_clusters_scheme_is_taken() {
        for raw in ["redis://a:1", "rediss://a:1", "redis+cluster", "", "é"] {
            assert!(parse(raw).is_none(), "{raw}");
        }
        assert_eq!(parsed(" REDIS+CLUSTER://a:1/ ").unwrap(), ["redis://a:1"]);
    }

    #[test]
    fn every_node_gets_the_credentials_and_none_is_shown() {
        let raw = "redis+cluster://app:s%40crt@a:1,b";
        assert_eq!(
            parsed(raw).unwrap(),
            ["redis://app:s%40crt@a:1", "redis://app:s%40crt@b:6379"]
        );
        let seeds = parse(raw).unwrap().unwrap();
        assert_eq!(shown(&seeds), "redis+cluster://a:1,b:6379");
        let seeds = parse("rediss+cluster://:s%40crt@[::1]:5").unwrap().unwrap();
        assert_eq!(shown(&seeds), "rediss+cluster://[::1]:5");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_credentials() {
        for (raw, told) in [
            ("redis+cluster://", "host:port"),
            ("redis+cluster://a:1,", "host:port"),
            ("redis+cluster://a:0", "host:port"),
            ("redis+cluster://a:x", "host:port"),
            ("redis+cluster://u:hunter2@a:1,u:hunter2@b:1", "%40"),
            ("redis+cluster://u:hunter/2@a:1", "%2F"),
            ("redis+cluster://u:hunter2@a:1/3", "one database"),
            ("redis+cluster://a:1?protocol=resp3", "no options"),
        ] {
            let problem = parsed(raw).unwrap_err();
            assert!(problem.contains(told), "{raw}: {problem}");
            assert!(!problem.contains("hunter"), "{problem}");
        }
    }
}
