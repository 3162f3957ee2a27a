//! From a host to an open socket: one look-up, every address vetted, only those dialled.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::Host;

use super::{FailureReason, Guard, Outbound, Resolve};

const DNS_BUDGET: Duration = Duration::from_secs(2);
const CONNECT_BUDGET: Duration = Duration::from_secs(3);
/// A longer answer is cut: nobody needs more, and each address may cost a connect time-out.
const MAX_ADDRESSES: usize = 16;

impl Outbound {
    /// Opens a TCP connection to `host`:`port` before `deadline`.
    pub(super) async fn dial(
        &self,
        host: &Host<String>,
        port: u16,
        deadline: Instant,
    ) -> Result<TcpStream, FailureReason> {
        let addresses = resolve(self.guard, &*self.resolver, host, deadline).await?;
        let budget = deadline.min(Instant::now() + CONNECT_BUDGET);
        match &self.proxy {
            Some(proxy) => proxy.tunnel(&addresses, port, budget).await,
            None => connect(&addresses, port, budget).await,
        }
    }

    /// Opens and closes a TCP connection to `endpoint` (`host:port`, with or without `tcp://`)
    /// before `deadline`.
    pub async fn probe_tcp(&self, endpoint: &str, deadline: Instant) -> Result<(), FailureReason> {
        let endpoint = endpoint.strip_prefix("tcp://").unwrap_or(endpoint);
        let (host, port) = endpoint.rsplit_once(':').ok_or(FailureReason::UrlInvalid)?;
        let port = port.parse().map_err(|_| FailureReason::UrlInvalid)?;
        let host = Host::parse(host).map_err(|_| FailureReason::UrlInvalid)?;
        let host = self.guard.check_host(host)?;
        self.dial(&host, port, deadline).await.map(drop)
    }
}

/// The vetted addresses of `host`. IP literals are vetted too, though they need no look-up.
async fn resolve(
    guard: Guard,
    resolver: &dyn Resolve,
    host: &Host<String>,
    deadline: Instant,
) -> Result<Vec<IpAddr>, FailureReason> {
    let name = match host {
        Host::Ipv4(ip) => return vet(guard, vec![(*ip).into()]),
        Host::Ipv6(ip) => return vet(guard, vec![(*ip).into()]),
        // The final dot keeps the system's search domains from turning a public name into a
        // cluster-internal one. Where internal names are allowed they may need those domains.
        Host::Domain(name) if guard.allow_private => name.clone(),
        Host::Domain(name) => format!("{name}."),
    };
    let budget = deadline.min(Instant::now() + DNS_BUDGET);
    let answer = timeout_at(budget, resolver.resolve(&name))
        .await
        .map_err(|_| FailureReason::TimeoutDns)?
        .map_err(|_| FailureReason::DnsError)?;
    vet(guard, answer)
}

/// All or nothing: an answer that mixes public and private addresses is an attack or a mistake.
fn vet(guard: Guard, mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, FailureReason> {
    if addresses.is_empty() {
        return Err(FailureReason::DnsError);
    }
    if !addresses.iter().all(|ip| guard.allows(*ip)) {
        return Err(FailureReason::AddressBlocked);
    }
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

/// Tries the addresses in order; each gets an equal share of what is left of the time, so one
/// that swallows packets cannot use it all up.
async fn connect(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> Result<TcpStream, FailureReason> {
    let mut failure = FailureReason::DnsError;
    for (tried, ip) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - tried) as u32;
        let attempt = TcpStream::connect(SocketAddr::new(*ip, port));
        failure = match timeout_at(Instant::now() + share, attempt).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => FailureReason::from_io(&error),
            Err(_) => FailureReason::TimeoutConnect,
        };
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::SystemResolver;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn one_bad_address_spoils_the_whole_answer() {
        let strict = Guard::default();
        assert_eq!(
            vet(strict, ips(&["1.1.1.1", "10.0.0.1"])),
            Err(FailureReason::AddressBlocked)
        );
        assert_eq!(
            vet(strict, ips(&["fd00::1"])),
            Err(FailureReason::AddressBlocked)
        );
        assert_eq!(vet(strict, vec![]), Err(FailureReason::DnsError));
        assert_eq!(vet(strict, ips(&["1.1.1.1"])), Ok(ips(&["1.1.1.1"])));
        let many = vec![IpAddr::from([1, 1, 1, 1]); 100];
        assert_eq!(vet(strict, many).unwrap().len(), MAX_ADDRESSES);
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_whatever_its_text_says() {
        // Straight to the resolver, past the rules on names. Some systems do not know the name
        // with its final dot.
        let host = Host::Domain("localhost".to_owned());
        let blocked = resolve(Guard::default(), &SystemResolver, &host, soon()).await;
        assert!(
            matches!(
                blocked,
                Err(FailureReason::AddressBlocked | FailureReason::DnsError)
            ),
            "{blocked:?}"
        );
        let lax = Guard {
            allow_private: true,
            allow_http: true,
        };
        assert!(
            resolve(lax, &SystemResolver, &host, soon())
                .await
                .unwrap()
                .iter()
                .all(IpAddr::is_loopback)
        );
    }

    #[tokio::test]
    async fn a_literal_is_vetted_without_a_look_up() {
        for literal in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
            let host = Host::parse(literal).unwrap();
            let answer = resolve(Guard::default(), &SystemResolver, &host, soon()).await;
            assert_eq!(answer, Err(FailureReason::AddressBlocked), "{literal}");
        }
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = connect(&ips(&["127.0.0.2", "127.0.0.1"]), port, soon())
            .await
            .unwrap();
        assert_eq!(
            stream.peer_addr().unwrap().ip(),
            IpAddr::from([127, 0, 0, 1])
        );
    }
}
