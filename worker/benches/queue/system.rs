//! Whose queue is measured, and which way it reaches Redis.

use std::path::PathBuf;

use tokio::process::Command;

use crate::protocol::Orders;

/// Whose queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    /// This one.
    Ours,
    /// BullMQ on Node.js.
    BullMq,
    /// BullMQ's official Rust port.
    RustPort,
}

impl System {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::BullMq, Self::RustPort];
    /// Those we are compared with.
    pub(crate) const PEERS: [Self; 2] = [Self::BullMq, Self::RustPort];

    /// As the tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::BullMq => "BullMQ",
            Self::RustPort => "bullmq-official",
        }
    }
}

/// Which way to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    /// RESP over loopback.
    Resp,
    /// RESP with 10 ms added each way.
    Rtt20,
    /// The REST bridge; peers do not speak it.
    Bridge,
}

impl Route {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 3] = [Self::Resp, Self::Rtt20, Self::Bridge];

    /// As the tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resp => "RESP",
            Self::Rtt20 => "RESP + 20 ms",
            Self::Bridge => "bridge",
        }
    }

    /// Who can go this way.
    pub(crate) fn systems(self) -> &'static [System] {
        match self {
            Self::Resp | Self::Rtt20 => &System::ALL,
            Self::Bridge => &[System::Ours],
        }
    }
}

/// Where the ways begin, and where the programs are.
pub(crate) struct Launcher {
    /// Port of the server itself.
    pub(crate) direct: u16,
    /// Port of the delaying proxy.
    pub(crate) delayed: u16,
    /// URL and token of the bridge.
    pub(crate) bridge: (String, String),
    /// `bench.mjs` beside its `node_modules`.
    pub(crate) node_script: PathBuf,
    /// The built Rust peer.
    pub(crate) rust_peer: PathBuf,
}

impl Launcher {
    /// The command that starts a child of `system` on `route`.
    pub(crate) fn command(
        &self,
        system: System,
        route: Route,
        orders: &Orders,
    ) -> anyhow::Result<Command> {
        let redis_port = match route {
            Route::Resp | Route::Bridge => self.direct,
            Route::Rtt20 => self.delayed,
        };
        let orders = Orders {
            redis_port,
            ..orders.clone()
        };
        let mut command = match system {
            System::Ours => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("child");
                if route == Route::Bridge {
                    let (url, token) = &self.bridge;
                    command.args(["--rest-url", url, "--rest-token", token]);
                }
                command
            }
            System::BullMq => {
                let mut command = Command::new("node");
                command.arg(&self.node_script);
                command.env("NODE_ENV", "production");
                command
            }
            System::RustPort => Command::new(&self.rust_peer),
        };
        command.args(orders.flags());
        Ok(command)
    }
}
