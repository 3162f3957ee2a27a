//! Everything behind the one lock: state, clock, listeners, faults, log.

use std::sync::Arc;

use super::SimulatorOptions;
use super::catalog::Catalog;
use super::clock::{SimClock, SimTime};
use super::endpoints::Endpoints;
use super::faults::Faults;
use super::request_log::RequestLog;
use super::world::World;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    endpoints: Endpoints,
    options: SimulatorOptions,
    catalog: Catalog,
}

impl Core {
    pub(crate) fn new(options: SimulatorOptions, catalog: Catalog) -> Self {
        Self {
            world: World::new(catalog.clone(), options.settings.clone(), options.seed),
            clock: Arc::new(SimClock::new(start_time(&options), options.speed)),
            faults: Faults::new(options.seed),
            log: RequestLog::default(),
            endpoints: Endpoints::default(),
            options,
            catalog,
        }
    }

    /// Brings state and listeners up to now; every answer is given after that.
    pub(crate) async fn catch_up(&mut self) -> SimTime {
        let now = self.clock.now();
        self.world.advance(now);
        self.endpoints.follow(&mut self.world, &self.clock).await;
        now
    }

    /// As on the first day, except for the port and the keys.
    pub(crate) fn reset(&mut self) {
        let options = &self.options;
        self.clock.restart(start_time(options), options.speed);
        self.world = World::new(self.catalog.clone(), options.settings.clone(), options.seed);
        self.faults = Faults::new(options.seed);
        self.log.clear();
    }

    pub(crate) fn accepts_key(&self, key: &str) -> bool {
        self.options.api_keys.iter().any(|accepted| accepted == key)
    }
}

fn start_time(options: &SimulatorOptions) -> SimTime {
    match options.start_at {
        Some(seconds) => SimTime::from_unix_millis(i64::from(seconds) * 1000),
        None => SimTime::real(),
    }
}
