//! Running commands on the backend: one by one, as a pipeline, as a transaction.

use std::io::{Error, ErrorKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::OnceCell;

use super::auth::Access;
use super::billing::Meter;
use super::limits::{Limits, Throttle};
use super::lua::{Scripts, sha1_hex};
use super::pool::Pool;
use super::request::Command;
use super::resp::Reply;
use super::table::CommandTable;
use super::{lock, policy};

/// The backend, behind the rules of REST. Every error means that it is not available.
pub(crate) struct Executor {
    pub(crate) pool: Pool,
    pub(crate) meter: Meter,
    pub(crate) limits: Mutex<Limits>,
    table: OnceCell<CommandTable>,
    scripts: Scripts,
    throttle: Throttle,
    writes: AtomicU64,
}

/// A transaction that ran, entry by entry, or the error that discarded it as a whole.
pub(crate) type Transaction = Result<Vec<Reply>, Reply>;

impl Executor {
    pub(crate) fn new(pool: Pool, meter: Meter, limits: Limits, scripts: Scripts) -> Self {
        Self {
            pool,
            meter,
            limits: Mutex::new(limits),
            table: OnceCell::new(),
            scripts,
            throttle: Throttle::default(),
            writes: AtomicU64::new(0),
        }
    }

    /// Changes with every write through this bridge.
    pub(crate) fn sync_token(&self) -> String {
        format!("{:x}", self.writes.load(Ordering::Acquire))
    }

    /// The backend's own description of its commands.
    pub(crate) async fn table(&self) -> Result<&CommandTable, Error> {
        self.table
            .get_or_try_init(|| async {
                let replies = self.pool.exchange(&[Command::new("COMMAND", &[])]).await?;
                replies
                    .first()
                    .map(CommandTable::new)
                    .ok_or_else(|| ErrorKind::InvalidData.into())
            })
            .await
    }

    /// Runs commands in order; one that is refused or fails does not stop the others.
    pub(crate) async fn pipeline(
        &self,
        commands: &[Command],
        access: Access,
    ) -> Result<Vec<Reply>, Error> {
        let prepared = self.prepare(commands, access).await?;
        let sent: Vec<Command> = prepared.iter().filter_map(|one| one.clone().ok()).collect();
        let mut answers = self.exchange(&sent).await?.into_iter();
        let replies =
            prepared
                .into_iter()
                .zip(commands)
                .map(|(prepared, command)| match prepared {
                    Ok(_) => answers.next().map(|reply| self.finish(command, reply)),
                    Err(refusal) => Some(refusal),
                });
        replies
            .collect::<Option<_>>()
            .ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Runs commands atomically, or none of them if one is refused or cannot be queued.
    pub(crate) async fn transaction(
        &self,
        commands: &[Command],
        access: Access,
    ) -> Result<Transaction, Error> {
        let prepared: Result<Vec<Command>, Reply> =
            self.prepare(commands, access).await?.into_iter().collect();
        let mut block = vec![Command::new("MULTI", &[])];
        match prepared {
            Ok(prepared) => block.extend(prepared),
            Err(refusal) => return Ok(Err(refusal)),
        }
        block.push(Command::new("EXEC", &[]));
        let mut replies = self.exchange(&block).await?;
        match replies.pop() {
            Some(Reply::Array(entries)) => {
                let entries = entries.into_iter().zip(commands);
                Ok(Ok(entries
                    .map(|(reply, command)| self.finish(command, reply))
                    .collect()))
            }
            aborted => {
                let reason = replies
                    .into_iter()
                    .find(|reply| matches!(reply, Reply::Error(_)));
                Ok(Err(reason.or(aborted).ok_or(ErrorKind::InvalidData)?))
            }
        }
    }

    async fn prepare(
        &self,
        commands: &[Command],
        access: Access,
    ) -> Result<Vec<Result<Command, Reply>>, Error> {
        let table = self.table().await?;
        let limits = lock(&self.limits).clone();
        let billed = match limits.monthly_commands {
            Some(_) => self.meter.billed(&self.pool).await?.total,
            None => 0,
        };
        self.throttle
            .wait(commands.len(), limits.commands_per_second)
            .await;
        let prepare = |command: &Command| {
            let refusal = policy::refusal(command, access, table)
                .or_else(|| limits.refusal(command, table, billed));
            match refusal {
                Some(text) => Err(Reply::error(text)),
                None => Ok(self.scripts.translate(command.clone())),
            }
        };
        Ok(commands.iter().map(prepare).collect())
    }

    async fn exchange(&self, commands: &[Command]) -> Result<Vec<Reply>, Error> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let table = self.table().await?;
        let writes = commands.iter().any(|command| table.may_write(command));
        // Before sending: a request that fails or is cancelled may have written all the same.
        self.writes.fetch_add(u64::from(writes), Ordering::AcqRel);
        let replies = self.pool.exchange(commands).await?;
        if replies.iter().any(is_loading) {
            return Err(Error::other("the backend is loading its data"));
        }
        Ok(replies)
    }

    fn finish(&self, command: &Command, reply: Reply) -> Reply {
        let reply = lock(&self.limits).cap(reply);
        match (command.name.as_str(), command.args.get(1)) {
            ("SCRIPT", Some(source)) if command.subcommand() == "LOAD" => match reply {
                Reply::Bulk(_) => Reply::Bulk(sha1_hex(source).into()),
                refused => refused,
            },
            _ => reply,
        }
    }
}

fn is_loading(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with(b"LOADING "))
}
