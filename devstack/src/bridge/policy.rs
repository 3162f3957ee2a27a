//! Which commands REST refuses although the backend would run them.

use super::auth::Access;
use super::request::Command;
use super::table::CommandTable;

/// The error for a command that must not reach the backend, or `None`.
pub(crate) fn refusal(command: &Command, access: Access, table: &CommandTable) -> Option<String> {
    if is_bound_to_a_connection(command) || blocks(command) {
        return Some(not_in_rest(&command.name));
    }
    if is_absent(command) || !table.knows(command) {
        return Some(not_available(&command.name));
    }
    forbidden(command, access, table)
}

/// The error for a command the token's owner may not run, or `None`.
pub(crate) fn forbidden(command: &Command, access: Access, table: &CommandTable) -> Option<String> {
    let allowed = match access {
        Access::Full => true,
        Access::ReadOnly => table.is_read_only(command) && !is_denied_to_readers(&command.name),
    };
    let name = command.name.to_ascii_lowercase();
    (!allowed).then(|| {
        format!("NOPERM this user has no permissions to run the '{name}' command or its subcommand")
    })
}

fn not_in_rest(name: &str) -> String {
    format!("ERR Command \"{name}\" is not allowed in REST or it has a special context path")
}

fn not_available(name: &str) -> String {
    format!("ERR Command is not available: '{name}'.")
}

fn is_denied_to_readers(name: &str) -> bool {
    matches!(name, "SCAN" | "KEYS") || name.starts_with("EVAL") || name.starts_with("FCALL")
}

fn is_bound_to_a_connection(command: &Command) -> bool {
    matches!(
        command.name.as_str(),
        "MULTI"
            | "EXEC"
            | "DISCARD"
            | "WATCH"
            | "UNWATCH"
            | "AUTH"
            | "HELLO"
            | "QUIT"
            | "RESET"
            | "SELECT"
            | "CLIENT"
            | "SUBSCRIBE"
            | "PSUBSCRIBE"
            | "SSUBSCRIBE"
            | "UNSUBSCRIBE"
            | "PUNSUBSCRIBE"
            | "SUNSUBSCRIBE"
            | "MONITOR"
    )
}

fn blocks(command: &Command) -> bool {
    match command.name.as_str() {
        "BLPOP" | "BRPOP" | "BRPOPLPUSH" | "BLMOVE" | "BLMPOP" | "BZPOPMIN" | "BZPOPMAX"
        | "BZMPOP" => true,
        "XREAD" | "XREADGROUP" => has_block_option(command),
        _ => false,
    }
}

/// Skips the values of other options: a group or a stream may be called `BLOCK`.
fn has_block_option(command: &Command) -> bool {
    let mut at = 0;
    loop {
        at += match command.word(at).as_deref() {
            Some("BLOCK") => return true,
            Some("GROUP") => 3,
            Some("COUNT") => 2,
            Some("NOACK") => 1,
            _ => return false,
        };
    }
}

/// Commands stock Redis has and Upstash has not; refusing them shows a dependence early.
fn is_absent(command: &Command) -> bool {
    let sub = command.subcommand();
    match command.name.as_str() {
        "OBJECT" | "SORT" | "SORT_RO" | "MOVE" | "MIGRATE" | "SWAPDB" | "LCS" | "SUBSTR"
        | "XSETID" | "SPUBLISH" | "SLOWLOG" | "LATENCY" | "DEBUG" | "SAVE" | "BGSAVE"
        | "BGREWRITEAOF" | "LASTSAVE" | "ROLE" | "CLUSTER" | "ASKING" | "READONLY"
        | "READWRITE" | "SHUTDOWN" | "REPLICAOF" | "SLAVEOF" | "FAILOVER" | "SYNC" | "PSYNC"
        | "REPLCONF" | "MODULE" | "LOLWUT" | "PFDEBUG" | "PFSELFTEST" | "RESTORE-ASKING" => true,
        "CONFIG" => !is_keyspace_events(command),
        "MEMORY" => sub != "USAGE",
        "FUNCTION" => matches!(sub.as_str(), "DUMP" | "RESTORE"),
        "SCRIPT" => sub == "DEBUG",
        _ => false,
    }
}

fn is_keyspace_events(command: &Command) -> bool {
    matches!(command.subcommand().as_str(), "GET" | "SET")
        && command.word(1).as_deref() == Some("NOTIFY-KEYSPACE-EVENTS")
        && command.args.len() <= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_an_option_only_where_an_option_may_stand() {
        let blocking = [
            Command::new("XREAD", &["block", "0", "STREAMS", "s", "$"]),
            Command::new(
                "XREADGROUP",
                &[
                    "GROUP", "g", "c", "COUNT", "1", "BLOCK", "5", "STREAMS", "s", ">",
                ],
            ),
        ];
        let harmless = [
            Command::new("XREAD", &["STREAMS", "BLOCK", "0"]),
            Command::new(
                "XREADGROUP",
                &["GROUP", "BLOCK", "BLOCK", "NOACK", "STREAMS", "BLOCK", ">"],
            ),
        ];
        assert!(blocking.iter().all(blocks));
        assert!(!harmless.iter().any(blocks));
    }
}
