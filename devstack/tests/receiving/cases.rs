//! Requests that are ours, and requests that are not.

use worker::webhook::{Secret, standard_signature};

const A: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const B: &str = "whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno";
const ID: &str = "msg_2b8Zk1QbVt0Xc9Yd7We5Rf3Tg";
const AT: u64 = 1_767_323_045;
const BODY: &[u8] =
    br#"{"type":"instance.running","timestamp":"2026-01-02T03:04:05Z","data":{"id":"ins_01"}}"#;
/// As published.
const V1: &str = "v1,F2pLitum1JvhIcvztq9RPjyjOVEl8rjwwTeKNcIgroc=";

/// A request as a receiver sees it, and what it makes of it.
pub(crate) struct Case {
    pub(crate) about: &'static str,
    pub(crate) secret: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) body: Vec<u8>,
    pub(crate) now: u64,
    pub(crate) is_ours: bool,
}

impl Case {
    /// The published vector, which is ours.
    fn ours(about: &'static str) -> Self {
        Self {
            about,
            secret: A.to_owned(),
            timestamp: AT.to_string(),
            signature: V1.to_owned(),
            body: BODY.to_vec(),
            now: AT,
            is_ours: true,
        }
    }

    fn forged(about: &'static str) -> Self {
        Self {
            is_ours: false,
            ..Self::ours(about)
        }
    }

    /// As a line for a program: fields in hex, so that anything can be in them.
    pub(crate) fn line(&self) -> String {
        let fields = [
            self.secret.as_bytes(),
            ID.as_bytes(),
            self.timestamp.as_bytes(),
            self.signature.as_bytes(),
            &self.body,
            self.now.to_string().as_bytes(),
        ]
        .map(hex);
        fields.join(",")
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn signed(secret: &str, body: &[u8]) -> String {
    standard_signature(&Secret::parse(secret).unwrap(), ID, AT, body)
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let rotated = format!("{} {}", signed(A, BODY), signed(B, BODY));
    let binary = [0xff, 0xfe, 0x00, 0x80];
    let mut cases = vec![
        Case::ours("the published vector"),
        Case {
            now: AT + 300,
            ..Case::ours("five minutes old")
        },
        Case {
            now: AT - 300,
            ..Case::ours("five minutes early")
        },
        Case {
            now: AT + 301,
            ..Case::forged("older")
        },
        Case {
            now: AT - 301,
            ..Case::forged("earlier")
        },
        Case {
            signature: format!("v1,AAAA v2,x v1a,x {V1}"),
            ..Case::ours("among others")
        },
        Case {
            signature: rotated.clone(),
            ..Case::ours("by the old secret")
        },
        Case {
            signature: rotated,
            secret: B.to_owned(),
            ..Case::ours("by the new secret")
        },
        Case {
            signature: signed(A, &binary),
            body: binary.to_vec(),
            ..Case::ours("a body that is no text")
        },
        Case {
            signature: signed(A, b""),
            body: Vec::new(),
            ..Case::ours("no body")
        },
        Case {
            secret: "pä$$wörd-🔑".to_owned(),
            signature: signed("pä$$wörd-🔑", BODY),
            ..Case::ours("a secret that is not base64")
        },
        Case {
            secret: A.replace('=', ""),
            ..Case::ours("a secret without padding")
        },
        Case {
            secret: B.to_owned(),
            ..Case::forged("another secret")
        },
        Case {
            body: [BODY, b"\n"].concat(),
            ..Case::forged("a longer body")
        },
        Case {
            signature: V1.to_uppercase(),
            ..Case::forged("in capitals")
        },
        Case {
            signature: V1[..8].to_owned(),
            ..Case::forged("the beginning alone")
        },
        Case {
            signature: V1[3..].to_owned(),
            ..Case::forged("without a version")
        },
        Case {
            signature: V1.replace("v1", "v2"),
            ..Case::forged("another version")
        },
    ];
    for signature in ["", "v1,", "v1"] {
        cases.push(Case {
            signature: signature.to_owned(),
            ..Case::forged("no signature")
        });
    }
    for timestamp in [
        "1767323045.0",
        "+1767323045",
        " 1767323045",
        "",
        "-1",
        &"9".repeat(25),
    ] {
        cases.push(Case {
            timestamp: timestamp.to_owned(),
            ..Case::forged("no time")
        });
    }
    cases
}
