//! The ports of running instances, answered on loopback so that health checks are real.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::clock::{SimClock, SimTime};
use super::instance::Instance;
use super::ports::{Port, Protocol};
use super::world::World;
use crate::http::{Body, Server, full};

/// Health checks and demonstrations send little.
const MAX_BODY: usize = 1 << 20;

/// After a failed accept, which is a lack of file descriptors and does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The listeners of every running instance.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    by_instance: HashMap<String, Listeners>,
}

/// The listeners of one run; dropping them closes the ports.
#[derive(Debug)]
struct Listeners {
    run: u32,
    healthy: Arc<AtomicBool>,
    open: HashMap<u16, Listener>,
}

#[derive(Debug)]
enum Listener {
    Http(Server),
    Tcp(TcpPort),
}

impl Listener {
    fn addr(&self) -> SocketAddr {
        match self {
            Self::Http(server) => server.addr(),
            Self::Tcp(port) => port.addr,
        }
    }
}

impl Endpoints {
    /// Opens, closes and announces until exactly the running instances answer.
    pub(crate) async fn follow(&mut self, world: &mut World, clock: &Arc<SimClock>) {
        let running: HashMap<&str, u32> = world
            .instances()
            .filter(|instance| instance.is_running())
            .map(|instance| (instance.id.as_str(), instance.runs))
            .collect();
        self.by_instance
            .retain(|id, listeners| running.get(id.as_str()) == Some(&listeners.run));
        let apps = world.settings.apps.clone();
        for instance in world
            .instances_mut()
            .filter(|instance| instance.is_running())
        {
            let began = instance.last_started_at.unwrap_or(instance.created_at);
            let ready_at = began.plus(apps.start_delay);
            let listeners = self
                .by_instance
                .entry(instance.id.clone())
                .or_insert_with(|| {
                    let healthy = Arc::new(AtomicBool::new(true));
                    Listeners {
                        run: instance.runs,
                        healthy,
                        open: HashMap::new(),
                    }
                });
            listeners
                .healthy
                .store(instance.healthy.unwrap_or(apps.healthy), Ordering::Relaxed);
            listeners.announce(instance, ready_at, clock).await;
        }
    }
}

impl Listeners {
    /// A port that cannot be opened stays without endpoint and is tried again next time.
    async fn announce(
        &mut self,
        instance: &mut Instance,
        ready_at: SimTime,
        clock: &Arc<SimClock>,
    ) {
        for port in &instance.order.ports {
            if instance.endpoints.contains_key(&port.number) {
                continue;
            }
            let app = App {
                healthy: Arc::clone(&self.healthy),
                clock: Arc::clone(clock),
                ready_at,
            };
            if let Ok(listener) = open(*port, app).await {
                instance.endpoints.insert(port.number, listener.addr());
                self.open.insert(port.number, listener);
            }
        }
    }
}

/// The simulated application: down, then up, as seen through Novita's proxy.
#[derive(Debug)]
struct App {
    healthy: Arc<AtomicBool>,
    clock: Arc<SimClock>,
    ready_at: SimTime,
}

impl App {
    fn answer(&self) -> Response<Body> {
        let up = self.healthy.load(Ordering::Relaxed) && self.clock.now() >= self.ready_at;
        let (status, text) = if up {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::BAD_GATEWAY, "Bad Gateway")
        };
        let mut response = Response::new(full(text));
        *response.status_mut() = status;
        response
    }
}

async fn open(port: Port, app: App) -> std::io::Result<Listener> {
    match port.protocol {
        Protocol::Http => {
            let app = Arc::new(app);
            let server = Server::start(0, MAX_BODY, move |_| {
                let app = Arc::clone(&app);
                async move { Ok(app.answer()) }
            });
            Ok(Listener::Http(server.await?))
        }
        Protocol::Tcp => Ok(Listener::Tcp(TcpPort::open().await?)),
    }
}

/// Accepts and hangs up: enough to see that somebody listens.
#[derive(Debug)]
struct TcpPort {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl TcpPort {
    async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let task = tokio::spawn(async move {
            loop {
                if listener.accept().await.is_err() {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        });
        Ok(Self { addr, task })
    }
}

impl Drop for TcpPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}
