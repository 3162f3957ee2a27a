//! The `allow-key-locking` flag, which stock Redis refuses: taken out of the script, with the
//! client's SHA-1 kept valid.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::lock;
use super::request::Command;

const FLAG: &str = "allow-key-locking";
/// The script cache is volatile by contract, so forgetting is always allowed.
const MAX_SCRIPTS: usize = 4096;

/// Refuses undeclared keys as Upstash does. One line, so that error positions stay true;
/// `COMMAND` is free of charge, so billing stays true as well.
const KEY_CHECK: &str = concat!(
    "local redis=(function(real,keys) local declared={} ",
    "for _,key in ipairs(keys) do declared[key]=true end ",
    "local function refusal(...) local used=real.pcall('COMMAND','GETKEYS',...) ",
    "if type(used)~='table' or used.err then return nil end ",
    "for _,key in ipairs(used) do if not declared[key] then return {err=",
    "\"ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. \"",
    "..'Key was: '..key} end end end ",
    "return setmetatable({call=function(...) local no=refusal(...) if no then error(no) end ",
    "return real.call(...) end,pcall=function(...) return refusal(...) or real.pcall(...) end},",
    "{__index=real}) end)(redis,KEYS); ",
);

/// Rewrites scripts and remembers which backend script stands for which of the client's.
#[derive(Debug)]
pub(crate) struct Scripts {
    check_keys: bool,
    backend_sha: Mutex<HashMap<String, String>>,
}

impl Scripts {
    /// `check_keys` makes scripts with the flag fail on a key that is not in `KEYS`.
    pub(crate) fn new(check_keys: bool) -> Self {
        Self {
            check_keys,
            backend_sha: Mutex::default(),
        }
    }

    /// The command as the backend has to see it.
    pub(crate) fn translate(&self, mut command: Command) -> Command {
        match command.name.as_str() {
            "EVAL" | "EVAL_RO" => self.rewrite(command.args.get_mut(0)),
            "EVALSHA" | "EVALSHA_RO" => self.map_sha(command.args.get_mut(0)),
            "SCRIPT" => match command.subcommand().as_str() {
                "LOAD" => self.rewrite(command.args.get_mut(1)),
                "EXISTS" => command
                    .args
                    .iter_mut()
                    .skip(1)
                    .for_each(|sha| self.map_sha(Some(sha))),
                _ => {}
            },
            "FUNCTION" if command.subcommand() == "LOAD" => {
                if let Some(source) = command.args.last_mut() {
                    *source = without_function_flag(source);
                }
            }
            _ => {}
        }
        command
    }

    fn rewrite(&self, source: Option<&mut Bytes>) {
        let Some(source) = source else { return };
        let Some((shebang, body)) = without_script_flag(source) else {
            return;
        };
        let check = if self.check_keys { KEY_CHECK } else { "" };
        let stripped = Bytes::from(format!("{shebang}\n{check}{body}"));
        let mut known = lock(&self.backend_sha);
        if known.len() >= MAX_SCRIPTS {
            known.clear();
        }
        known.insert(sha1_hex(source), sha1_hex(&stripped));
        *source = stripped;
    }

    fn map_sha(&self, sha: Option<&mut Bytes>) {
        let Some(sha) = sha else { return };
        let name = String::from_utf8_lossy(sha).to_ascii_lowercase();
        if let Some(backend) = lock(&self.backend_sha).get(&name) {
            *sha = Bytes::from(backend.clone());
        }
    }
}

/// The name `SCRIPT LOAD` gives to what the client sent.
pub(crate) fn sha1_hex(source: &[u8]) -> String {
    Sha1::digest(source)
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The first line with the flag gone, and the other lines; `None` without the flag.
fn without_script_flag(source: &[u8]) -> Option<(String, &str)> {
    let source = std::str::from_utf8(source).ok()?;
    let (shebang, body) = source.split_once('\n')?;
    let words = shebang.strip_prefix("#!")?.split_whitespace();
    let mut locked = false;
    let kept: Vec<String> = words
        .filter_map(|word| {
            let Some(flags) = word.strip_prefix("flags=") else {
                return Some(word.to_owned());
            };
            let other: Vec<&str> = flags.split(',').filter(|flag| *flag != FLAG).collect();
            locked |= other.len() < flags.split(',').count();
            (!other.is_empty()).then(|| format!("flags={}", other.join(",")))
        })
        .collect();
    locked.then(|| (format!("#!{}", kept.join(" ")), body))
}

/// A library names the flag per function, as a quoted string in a table. With the comma after it
/// gone too, what remains is a valid table: Lua allows a trailing comma.
fn without_function_flag(source: &Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(source) else {
        return source.clone();
    };
    let mut text = text.to_owned();
    for quoted in [format!("'{FLAG}'"), format!("\"{FLAG}\"")] {
        while let Some(start) = text.find(&quoted) {
            let rest = &text[start + quoted.len()..];
            let rest = rest.trim_start().strip_prefix(',').unwrap_or(rest);
            let end = text.len() - rest.len();
            text.replace_range(start..end, "");
        }
    }
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_locking_flag_leaves_the_shebang() {
        let stripped = |source: &'static str| without_script_flag(source.as_bytes());
        assert_eq!(stripped("return 1"), None);
        assert_eq!(stripped("#!lua flags=no-writes\nreturn 1"), None);
        assert_eq!(
            stripped("#!lua flags=allow-key-locking\nreturn 1"),
            Some(("#!lua".to_owned(), "return 1"))
        );
        assert_eq!(
            stripped("#!lua flags=allow-key-locking,no-writes\nreturn\n1"),
            Some(("#!lua flags=no-writes".to_owned(), "return\n1"))
        );
        assert!(!KEY_CHECK.contains('\n'), "lines must keep their numbers");
    }

    #[test]
    fn functions_lose_the_flag_and_keep_a_valid_table() {
        let source =
            Bytes::from("flags={'allow-key-locking', 'no-writes'} x={\"allow-key-locking\"}");
        assert_eq!(without_function_flag(&source), "flags={ 'no-writes'} x={}");
    }
}
