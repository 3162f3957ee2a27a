//! The `healthcheck` subcommand: asks the running process of the same configuration whether it is
//! ready. For container images, which have neither a shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// `/readyz` answers within a quarter of a second, however Redis is.
const PATIENCE: Duration = Duration::from_secs(2);
/// The answer is a few hundred bytes.
const LARGEST_ANSWER: u64 = 4096;

/// Asks `/readyz` at the admin listener of `host` and `port`: success when it is ready, failure with
/// one line on standard error when it is not, or does not answer.
pub async fn main(host: IpAddr, port: u16) -> ExitCode {
    let addr = SocketAddr::new(reachable(host), port);
    let asked = timeout(PATIENCE, ask(addr)).await;
    let answer = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return failed(addr, &error.to_string()),
        Err(_) => return failed(addr, "no answer"),
    };
    if answer.starts_with("HTTP/1.1 200 ") {
        return ExitCode::SUCCESS;
    }
    failed(addr, answer.lines().last().unwrap_or("an empty answer"))
}

fn failed(addr: SocketAddr, why: &str) -> ExitCode {
    eprintln!("not ready at {addr}: {why}");
    ExitCode::FAILURE
}

/// Where a listener on `host` is reached from the same machine.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

async fn ask(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let reached = |host: &str| reachable(host.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0"), "127.0.0.1");
        assert_eq!(reached("::"), "::1");
        assert_eq!(reached("10.1.2.3"), "10.1.2.3");
    }
}
