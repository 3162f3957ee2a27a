//! Reads a request as it comes, so that it can be looked at byte for byte.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What no request of ours comes near.
const MAX_REQUEST: usize = 4 << 20;

/// One request to the end of its body, as text; `None` when it breaks off or never ends.
pub async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_REQUEST {
        if is_complete(&bytes) {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    None
}

fn is_complete(bytes: &[u8]) -> bool {
    let end = b"\r\n\r\n";
    let Some(head) = bytes.windows(end.len()).position(|window| window == end) else {
        return false;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap_or(0));
    bytes.len() >= head + end.len() + length
}
