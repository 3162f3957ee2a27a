//! Redis over RESP2: any `redis-server`, plain or TLS.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, Value};
use tokio::sync::Mutex;

use super::error::{RedisError, ServerError};
use super::reply::Reply;
use super::{Batch, BatchReply};

/// One multiplexed connection that is opened when needed and replaced when it breaks.
#[derive(Clone)]
pub(super) struct Resp {
    client: Client,
    config: Arc<AsyncConnectionConfig>,
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
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
            connection: Arc::default(),
            address,
        })
    }

    /// Sends a batch down one connection, in order; other tasks' commands may come in between.
    pub(super) async fn execute(&self, batch: Batch<'_>) -> Result<BatchReply, RedisError> {
        let mut connection = self.connected().await?;
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
                *self.connection.lock().await = None;
                Err(RedisError::Unclear(error.to_string()))
            }
        }
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            return Ok(connection.clone());
        }
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config)
            .await
            .map_err(|error| self.connect_error(&error))?;
        *slot = Some(connection.clone());
        Ok(connection)
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
