//! Signatures over the exact bytes that are sent.
//!
//! Two schemes go out together: Standard Webhooks 1.0 (`webhook-*`, base64, covers id and time)
//! and the one of the service's earlier releases (`X-Webhook-*`, hex, covers the body alone).

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

const SECRET_PREFIX: &str = "whsec_";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const MAX_ID_BYTES: usize = 128;

/// Standard alphabet; padding is written and, on input, optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A signing secret, keyed for both schemes. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret {
    standard: Hmac<Sha256>,
    legacy: Hmac<Sha256>,
}

/// The text cannot be a signing secret because it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret must not be empty")]
pub struct InvalidSecret;

/// The id is not 1 to 128 characters of `A-Z a-z 0-9 _ -`.
///
/// A full stop in particular would let two different messages sign the same bytes, since it is
/// the separator of the signed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook id must be 1 to 128 letters, digits, hyphens or underscores")]
pub struct InvalidWebhookId;

impl Secret {
    /// `whsec_` followed by the base64 of 24 to 64 bytes keys Standard Webhooks with those bytes;
    /// any other text keys it with its own UTF-8 bytes. The older scheme is always keyed with the
    /// text as given, prefix included.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        if text.is_empty() {
            return Err(InvalidSecret);
        }
        let decoded = text
            .strip_prefix(SECRET_PREFIX)
            .and_then(|encoded| BASE64.decode(encoded).ok())
            .filter(|key| KEY_BYTES.contains(&key.len()));
        Ok(Self {
            standard: keyed(decoded.as_deref().unwrap_or(text.as_bytes()))?,
            legacy: keyed(text.as_bytes())?,
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, InvalidSecret> {
    Hmac::new_from_slice(key).map_err(|_| InvalidSecret)
}

/// `v1,<base64>` over `<id>.<timestamp>.<body>`; `timestamp` is in Unix seconds.
#[must_use]
pub fn standard_signature(secret: &Secret, id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut mac = secret.standard.clone();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// `sha256=<lower-case hex>` over the body.
#[must_use]
pub fn legacy_signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac = secret.legacy.clone();
    mac.update(body);
    let mut signature = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(signature, "{byte:02x}");
    }
    signature
}

/// The headers of one attempt: id and time always, signatures when there are secrets.
///
/// `secrets` is ordered, current first. `webhook-signature` carries one signature per secret;
/// the older header has room for one and carries that of the current secret.
pub fn signed_headers(
    secrets: &[Secret],
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> Result<HeaderMap, InvalidWebhookId> {
    let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=MAX_ID_BYTES).contains(&id.len()) || !id.bytes().all(is_id_byte) {
        return Err(InvalidWebhookId);
    }
    let header = |text: &str| HeaderValue::from_str(text).map_err(|_| InvalidWebhookId);
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", header(id)?);
    headers.insert("webhook-timestamp", timestamp.into());
    headers.insert("x-webhook-timestamp", timestamp.into());
    if let Some(current) = secrets.first() {
        let all: Vec<_> = secrets
            .iter()
            .map(|s| standard_signature(s, id, timestamp, body))
            .collect();
        headers.insert("webhook-signature", header(&all.join(" "))?);
        headers.insert(
            "x-webhook-signature",
            header(&legacy_signature(current, body))?,
        );
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const B: &str = "whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno";
    const C: &str = "whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpQ==";
    const D: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

    const ASCII: &str =
        r#"{"type":"instance.running","timestamp":"2026-01-02T03:04:05Z","data":{"id":"ins_01"}}"#;
    const UNICODE: &str = "{\"type\":\"instance.failed\",\"data\":{\"name\":\"プロジェクト-ñ-😀\",\"note\":\"\u{e9}\u{301}\"}}";
    const WS: &str = "{ \"type\" : \"instance.running\" }\n";
    const BIN: [u8; 4] = [0xff, 0xfe, 0x00, 0x80];

    const AT: u64 = 1_767_323_045;

    fn big() -> String {
        format!("{{\"pad\":\"{}\"}}", "x".repeat(100_000))
    }

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    fn signed(text: &str, id: &str, timestamp: u64, body: impl AsRef<[u8]>) -> String {
        standard_signature(&secret(text), id, timestamp, body.as_ref())
    }

    #[test]
    fn standard_signatures_match_the_published_vectors() {
        let nulesc = r#"{"name":"a\u0000b"}"#;
        assert_eq!(
            (ASCII.len(), UNICODE.len(), WS.len(), nulesc.len()),
            (85, 85, 32, 19)
        );
        let svix = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        assert_eq!(
            signed(svix, id, 1_614_265_330, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        for (got, expected) in [
            (
                signed(A, "msg_2b8Zk1QbVt0Xc9Yd7We5Rf3Tg", AT, ASCII),
                "v1,F2pLitum1JvhIcvztq9RPjyjOVEl8rjwwTeKNcIgroc=",
            ),
            (
                signed(A, "msg_unicode_0001", AT, UNICODE),
                "v1,vkYLjYxrYvGuCyNtM2h87oF9kMcZgrZmVwXrwFuymI4=",
            ),
            (
                signed(A, "msg_empty_0001", AT, ""),
                "v1,2qTJjdGM+luhP/miBsXgzOwDusShS+HN8PrqDBDBSGo=",
            ),
            (
                signed(D, "msg_minkey_0001", 0, "{}"),
                "v1,TKlB4+DtNbDflL8ygIfVLu8CTMFdztPfk5n9Q9rs9Uw=",
            ),
            (
                signed(C, "msg_maxkey_0001", 4_102_444_800, WS),
                "v1,KsfMZiT3glfJUbbBlDQ1/GlLgAH3MGQ3NM7e92b0OFU=",
            ),
            (
                signed(A, "msg_nulesc_0001", AT, nulesc),
                "v1,u/K8uX6j9m/cF8GdNrt5//gLezw+nnCOhRL/NsacVV0=",
            ),
            (
                signed(A, "a", 1, "1.2.3"),
                "v1,tWgH2pi7mK141iQ6OjqbHOKpiD/qjhPHZp1py047Tl8=",
            ),
            (
                signed(A, "msg_big_0001", AT, big()),
                "v1,Knp88d1lIEd4a6wNXPoHklXtpw/H51QGEPBvMtqd2LU=",
            ),
            (
                signed(A, "msg_bin_0001", AT, BIN),
                "v1,htosyfE5mwhMooz1kxxxrA9IBldyDBjJrmxXUkqJT5c=",
            ),
        ] {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn every_live_secret_signs_and_the_current_one_comes_first() {
        let secrets = [secret(A), secret(B)];
        let headers = signed_headers(&secrets, "msg_rotate_0001", AT, ASCII.as_bytes()).unwrap();
        assert_eq!(
            headers["webhook-signature"],
            "v1,R6aMvJE0UFu/TpGGgCScIuKwASBls+hD4FTo+x8bzHI= v1,P+LmGpCfsRNRxnO3kMWHioGs4ZrALJzotCjMBG5UL1M="
        );
        assert_eq!(headers["webhook-id"], "msg_rotate_0001");
        assert_eq!(headers["webhook-timestamp"], "1767323045");
        assert_eq!(headers["x-webhook-timestamp"], "1767323045");
        assert_eq!(
            headers["x-webhook-signature"],
            "sha256=a9d04159812a45f3ec277b1ca9ad855558bfe7bb5ee13384a315b1baa467e9a1"
        );
    }

    /// Each of these is what a particular mistake would produce for the first vector.
    #[test]
    fn known_mistakes_give_the_signatures_they_are_known_by_and_not_ours() {
        let id = "msg_2b8Zk1QbVt0Xc9Yd7We5Rf3Tg";
        let ours = signed(A, id, AT, ASCII);
        let undecoded = A.strip_prefix("whsec_").unwrap();
        let prefixed = Secret {
            standard: keyed(A.as_bytes()).unwrap(),
            legacy: secret(A).legacy,
        };
        for (got, expected) in [
            (
                signed(A, id, AT + 1, ASCII),
                "v1,DPAhkaxiuwBN9pSJbXJolWUWAN6ZEnJZh6xEAjVJdtc=",
            ),
            (
                signed(A, id, AT, format!("{ASCII}\n")),
                "v1,p3yZV/xJTkCjs2KAKRhphuwob95nQwKhxCTlk/HGxZM=",
            ),
            (
                signed(undecoded, id, AT, ASCII),
                "v1,GOEnqEB+V5cE0868w9wcYlXIe6C38KH8NscgiG/wTbc=",
            ),
            (
                standard_signature(&prefixed, id, AT, ASCII.as_bytes()),
                "v1,8ZqE/EH7BAhl2tQbAkHiWY9qrsmWXzioSnhKvsHWr9Q=",
            ),
            (
                signed(A, id, AT * 1000, ASCII),
                "v1,FJIQo0aqbP5avWGeYVR2g+/B2Q41wTVE39AI7N63UMU=",
            ),
        ] {
            assert_eq!(got, expected);
            assert_ne!(got, ours);
        }
    }

    #[test]
    fn an_id_with_a_full_stop_would_be_ambiguous_and_is_refused() {
        let ambiguous = "v1,t25rM6MRD4om9I7ebtnm8cRnTHzrmtIw3G0+HzuWwI0=";
        assert_eq!(signed(A, "x", 1, "2.y"), ambiguous);
        assert_eq!(signed(A, "x.1", 2, "y"), ambiguous);
        for id in ["x.1", "", "a b", "a\r\nx: y", "ä", &"x".repeat(129)] {
            assert_eq!(
                signed_headers(&[], id, 1, b"").unwrap_err(),
                InvalidWebhookId,
                "{id:?}"
            );
        }
    }

    #[test]
    fn older_signatures_match_the_published_vectors() {
        let signed = |text: &str, body: &[u8]| legacy_signature(&secret(text), body);
        let (k64, k65) = ("k".repeat(64), "k".repeat(65));
        for (got, expected) in [
            (
                signed("s3cr3t", ASCII.as_bytes()),
                "a058415e48875467cf32758f589d615deff0c251a5386bfedcea55f2efc2f423",
            ),
            (
                signed("s3cr3t", UNICODE.as_bytes()),
                "b97e33c32a07a317986a2aa8e1c47a06b34d119c548f3a4df29fe6298df12369",
            ),
            (
                signed("s3cr3t", b""),
                "3c81cc9496e1c25250f6ccb85f697c1bb623e3480d6538ad8cb6a6648142777d",
            ),
            (
                signed("pä$$wörd-🔑", ASCII.as_bytes()),
                "0c5ee1bb00fd1426519e94490799201295b393c3dff82160a0112b0b534cfb8e",
            ),
            (
                signed("s3cr3t", WS.as_bytes()),
                "e217d70493c972d6bf215ff14e24a119ab3b906c4007448abd30516ef4d0eea7",
            ),
            (
                signed(&k64, b"{}"),
                "d76035d5eb586aa7440c5113bd8b8dfbbdbc7c043a2a2091c52613ddc264c4ad",
            ),
            (
                signed(&k65, b"{}"),
                "75c887706e5a0f3f0bde64ba6dabd79209254a602d7f05f4b66d73bf0e027314",
            ),
            (
                signed("s3cr3t", &BIN),
                "ae4befaa91b21cc599018a033a0230f42fd5f29ffa6a5892a58b7616aef6a997",
            ),
            (
                signed("s3cr3t", big().as_bytes()),
                "9f6c66fab7d958db75ea8975ac3f217e4a421d54b2cb3714bb41b89922ecea1d",
            ),
            (
                signed(A, ASCII.as_bytes()),
                "a9d04159812a45f3ec277b1ca9ad855558bfe7bb5ee13384a315b1baa467e9a1",
            ),
        ] {
            assert_eq!(got, format!("sha256={expected}"));
        }
    }

    #[test]
    fn secrets_that_are_not_24_to_64_bytes_of_base64_are_plain_text() {
        let unpadded = A.trim_end_matches('=');
        assert_eq!(signed(unpadded, "a", 1, ""), signed(A, "a", 1, ""));
        let long = format!("whsec_{}", BASE64.encode([1; 65]));
        let short = format!("whsec_{}", BASE64.encode([1; 23]));
        for text in [
            "s3cr3t",
            "whsec_",
            "whsec_local_test",
            "whsec_--79_Pv6-fj39vX08_Lx8O_u7ezr6uno",
            &short,
            &long,
        ] {
            let as_text = Secret {
                standard: keyed(text.as_bytes()).unwrap(),
                legacy: keyed(b"").unwrap(),
            };
            assert_eq!(
                signed(text, "a", 1, "x"),
                standard_signature(&as_text, "a", 1, b"x"),
                "{text}"
            );
        }
        assert_eq!(Secret::parse("").unwrap_err(), InvalidSecret);
        assert_eq!(format!("{:?}", secret("s3cr3t")), "Secret(***)");
    }

    #[test]
    fn without_secrets_a_message_has_id_and_time_and_no_signature() {
        let headers = signed_headers(&[], "msg_1", AT, b"{}").unwrap();
        assert_eq!(headers.len(), 3);
    }
}
