//! Ports as create takes them: one string, plus the ports of tools.

use serde::Serialize;

use super::error::ApiError;
use super::order::Tool;

/// Ports and tools together.
const MAX_PORTS: usize = 15;

/// Taken by the service itself.
const RESERVED: std::ops::RangeInclusive<u16> = 2222..=2224;

/// A port inside the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
}

/// How a port is reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Http,
    Tcp,
}

/// Reads `8888/http,22/tcp` and the tools' ports.
pub(super) fn parse(ports: &str, tools: Option<&[Tool]>) -> Result<Vec<Port>, ApiError> {
    let mut parsed: Vec<Port> = Vec::new();
    for item in ports.split(',').filter(|_| !ports.is_empty()) {
        let (number, protocol) = item
            .split_once('/')
            .ok_or_else(|| ApiError::invalid("ports", "expected <port>/<type>"))?;
        parsed.push(port("ports", number, protocol)?);
    }
    for tool in tools.unwrap_or_default() {
        if tool.name != "Jupyter" {
            return Err(ApiError::invalid("tools.name", "only Jupyter"));
        }
        parsed.push(port("tools.port", &tool.port, &tool.kind)?);
    }
    if parsed.len() > MAX_PORTS {
        return Err(ApiError::invalid(
            "ports",
            "ports and tools together at most 15",
        ));
    }
    let mut numbers: Vec<u16> = parsed.iter().map(|port| port.number).collect();
    numbers.sort_unstable();
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ApiError::invalid("ports", "a port appears twice"));
    }
    Ok(parsed)
}

fn port(field: &str, number: &str, protocol: &str) -> Result<Port, ApiError> {
    // `parse` would also take a leading plus sign.
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number
        .parse::<u16>()
        .ok()
        .filter(|number| digits && *number > 0)
        .ok_or_else(|| ApiError::invalid(field, "must be between 1 and 65535"))?;
    if RESERVED.contains(&number) {
        return Err(ApiError::invalid(field, "2222, 2223 and 2224 are reserved"));
    }
    let protocol = match protocol {
        "http" => Protocol::Http,
        "tcp" => Protocol::Tcp,
        _ => return Err(ApiError::invalid(field, "type must be http or tcp")),
    };
    Ok(Port { number, protocol })
}
