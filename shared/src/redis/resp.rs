//! Redis over RESP2: any `redis-server`, plain or TLS.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, Value};
use tokio::time::timeout;

use super::error::{RedisError, ServerError};
use super::reply::Reply;
use super::{Batch, BatchReply};

/// One multiplexed connection that is opened when needed and replaced when it breaks.
#[derive(Clone)]
pub(super) struct Resp {
    client: Client,
    config: Arc<AsyncConnectionConfig>,
    /// Longest wait for a connection.
    patience: Duration,
    ready: Arc<Mutex<Option<MultiplexedConnection>>>,
    /// Held while connecting, so that a crowd of callers opens one connection.
    connecting: Arc<tokio::sync::Mutex<()>>,
    address: String,
}

impl Resp {
    pub(super) fn new(url: &str, connect: Duration, command: Duration) -> Result<Self, RedisError> {
        let client = Client::open(url)
            .map_err(|error| RedisError::Refused(format!("not a Redis URL: {error}")))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(command));
        let address = client.get_connection_info().addr().to_string();
        Ok(Self {
            client,
            config: Arc::new(config),
            patience: connect,
            ready: Arc::default(),
            connecting: Arc::default(),
            address,
        })
    }

    /// Sends a batch down one connection, in order and in one piece; between its commands only those of
    /// other connections may be carried out.
    pub(super) async fn execute(&self, batch: Batch<'_>) -> Result<BatchReply, RedisError> {
        let mut connection = self.connect().await?;
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for command in batch {
            let mut parts = command.parts().iter();
            let mut cmd = redis::cmd(parts.next().map_or("", String::as_str));
            for part in parts {
                cmd.arg(part);
            }
            pipeline.add_command(cmd);
        }
        match connection
            .send_packed_commands(&pipeline, 0, batch.len())
            .await
        {
            Ok(values) => values.into_iter().map(reply).collect(),
            Err(error) => {
                // A timed-out or broken connection may still owe replies: never reuse it.
                self.keep(None);
                Err(RedisError::Unclear(error.to_string()))
            }
        }
    }

    /// The open connection, or a new one.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        if let Some(connection) = self.ready() {
            return Ok(connection);
        }
        // A crowd in front of a dead server must not wait its time out one after the other.
        let Ok(_alone) = timeout(self.patience, self.connecting.lock()).await else {
            return Err(RedisError::Unreachable {
                address: self.address.clone(),
                cause: "no connection in time".into(),
            });
        };
        if let Some(connection) = self.ready() {
            return Ok(connection);
        }
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config)
            .await
            .map_err(|error| self.connect_error(&error))?;
        self.keep(Some(connection.clone()));
        Ok(connection)
    }

    /// Whether a connection is open, as far as we know; never waits.
    pub(super) fn is_connected(&self) -> bool {
        self.ready().is_some()
    }

    fn ready(&self) -> Option<MultiplexedConnection> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.clone()
    }

    fn keep(&self, connection: Option<MultiplexedConnection>) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn connect_error(&self, error: &redis::RedisError) -> RedisError {
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => {
                RedisError::Unauthorized(format!("user name or password for {}", self.address))
            }
            _ => RedisError::Unreachable {
                address: self.address.clone(),
                cause: error.to_string(),
            },
        }
    }

    /// A connection of its own that listens to `channel`.
    pub(super) async fn listen(&self, channel: &str) -> Result<redis::aio::PubSub, RedisError> {
        let mut pubsub = self
            .client
            .get_async_pubsub()
            .await
            .map_err(|error| self.connect_error(&error))?;
        pubsub
            .subscribe(channel)
            .await
            .map_err(|error| RedisError::Unclear(error.to_string()))?;
        Ok(pubsub)
    }
}

fn reply(value: Value) -> Result<Result<Reply, ServerError>, RedisError> {
    Ok(Ok(match value {
        Value::ServerError(error) if error.code() == "NOAUTH" => {
            return Err(RedisError::Unauthorized(
                "the server wants a password and got none".into(),
            ));
        }
        Value::ServerError(error) => {
            let line = format!("{} {}", error.code(), error.details().unwrap_or_default());
            return Ok(Err(ServerError::parse(&line)));
        }
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Int(number),
        Value::BulkString(bytes) => Reply::Text(bytes),
        Value::SimpleString(text) => Reply::Text(text.into_bytes()),
        Value::Okay => Reply::Text(b"OK".to_vec()),
        Value::Array(items) => {
            let items: Result<Result<Vec<_>, _>, _> = items.into_iter().map(reply).collect();
            match items? {
                Ok(items) => Reply::Array(items),
                Err(error) => return Ok(Err(error)),
            }
        }
        _ => return Err(RedisError::Protocol("a reply of RESP3".into())),
    }))
}
