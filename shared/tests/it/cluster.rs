//! Redis Cluster: one slot, one owner, and an owner that changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use devstack::redis::{RedisCluster, RedisOptions as ServerOptions, RedisServer};
use redis::Value;
use shared::model::{Desired, InstanceId, OperationKind, Status};
use shared::queue::{Call, Checkpoint, Exchange, Queue, Verdict};
use shared::redis::{Command, Keys, Notice, Redis, RedisError, Repeat, Reply, Target};
use shared::store::{Accepted, Record, Store};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::proxy::Proxy;
use crate::rig::{LONG_LEASE, PATIENCE, Trouble, eventually, options};
use crate::things::{conclude, reconcile, request, reserve, reserve_one, settle, spec, take};

/// One deployment on a cluster.
struct Deployment<'a> {
    cluster: &'a RedisCluster,
    keys: Keys,
    owner: usize,
}

impl<'a> Deployment<'a> {
    async fn on(cluster: &'a RedisCluster) -> Self {
        let keys = Keys::new(&format!("test_{:016x}", rand::random::<u64>()));
        let owner = cluster.owner_of(&keys.schema()).await.unwrap();
        Self {
            cluster,
            keys,
            owner,
        }
    }

    /// On the cluster of the tests that leave it as it is; it ends with the test process.
    async fn common() -> Deployment<'static> {
        static COMMON: OnceCell<RedisCluster> = OnceCell::const_new();
        let start = || async { RedisCluster::start().await.unwrap() };
        Deployment::on(COMMON.get_or_init(start).await).await
    }

    fn owner(&self) -> &'a RedisServer {
        &self.cluster.nodes()[self.owner]
    }

    /// A node that does not own the keys.
    fn stranger(&self) -> &'a RedisServer {
        &self.cluster.nodes()[self.elsewhere()]
    }

    fn elsewhere(&self) -> usize {
        (self.owner + 1) % self.cluster.nodes().len()
    }

    fn store(&self, redis: &Redis) -> Store {
        Store::new(redis.clone(), self.keys.clone())
    }

    fn session(&self, redis: &Redis) -> Queue {
        Queue::new(redis.clone(), self.keys.clone(), LONG_LEASE)
    }

    async fn counter(&self) -> Value {
        self.owner()
            .command(&["GET", &self.keys.schema()])
            .await
            .unwrap()
    }

    async fn incr(&self, redis: &Redis, repeat: Repeat) -> Result<Reply, RedisError> {
        let command = Command::new("INCR").arg(self.keys.schema());
        redis.run(command, repeat).await
    }
}

/// A client that begins with these nodes.
fn client<S: ToString>(seeds: impl IntoIterator<Item = S>) -> Redis {
    let seeds = seeds
        .into_iter()
        .map(|seed| format!("redis://{}", seed.to_string()));
    let target = Target::Cluster {
        seeds: seeds.collect(),
    };
    Redis::new(&options(target)).unwrap()
}

fn client_of(node: &RedisServer) -> Redis {
    client([node.addr()])
}

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    // Bound and given back.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Repeats a request of the queue while the error says "later".
async fn persist(queue: &Queue, mut call: Call) -> Exchange {
    loop {
        match queue.exchange(&mut call).await {
            Ok(exchange) => return exchange,
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
}

#[tokio::test]
async fn records_and_jobs_work_as_on_one_server() {
    let on = Deployment::common().await;
    let redis = client_of(on.stranger());
    let (store, session) = (on.store(&redis), on.session(&redis));

    let created = spec("alpha");
    assert_eq!(store.create(&created).await.unwrap(), Accepted::Yes);
    let record = store.record(&created.id).await.unwrap().unwrap();
    assert_eq!(record.spec, created);
    let deletion = created.wanting(Desired::Deleted, request(OperationKind::Delete));
    assert_eq!(
        store.change(&record, &deletion).await.unwrap(),
        Accepted::Yes
    );
    let page = store.page(0, 10).await.unwrap();
    assert_eq!((page.total, &page.records[0].spec), (1, &deletion));

    let job = reserve_one(&session).await;
    let held = [(job.id.clone(), job.token.clone())];
    assert_eq!(session.extend(&held).await.unwrap(), [true]);
    let status = Status::default();
    let written = session.checkpoint(&job.id, &job.token, &created.id, None, &status);
    assert_eq!(written.await.unwrap(), Checkpoint::Written);
    conclude(&session, job, Verdict::Done).await;
    let record = store.record(&created.id).await.unwrap().unwrap();
    assert_eq!(record.status, Some(status));

    let job = take(&session, reconcile("i1")).await;
    conclude(&session, job, Verdict::Done).await;
    assert!(reserve(&session, 10).await.jobs.is_empty());
}

#[tokio::test]
async fn a_wake_up_reaches_a_subscriber_on_another_node() {
    let on = Deployment::common().await;
    let session = on.session(&client_of(on.stranger()));
    let mut wake_ups = session.wake_ups();
    let mut next = async || timeout(PATIENCE, wake_ups.next()).await.unwrap().unwrap();
    assert_eq!(next().await, Notice::Connected);
    let channel = on.keys.wake_channel(session.session());
    let there = on.stranger().command(&["PUBSUB", "NUMSUB", &channel]).await;
    let one = Value::Array(vec![Value::BulkString(channel.into_bytes()), Value::Int(1)]);
    assert_eq!(there.unwrap(), one);

    assert!(reserve(&session, 1).await.jobs.is_empty());
    let producer = on.session(&client_of(on.owner()));
    producer.enqueue(&[reconcile("i1")]).await.unwrap();
    assert_eq!(next().await, Notice::Message("wake".into()));
}

#[tokio::test]
async fn a_batch_runs_on_the_node_that_owns_its_keys() {
    let on = Deployment::common().await;
    let calls_of_time = async || {
        let info = on.owner().command(&["INFO", "commandstats"]).await.unwrap();
        let info: String = redis::from_redis_value(info).unwrap();
        let line = info.lines().find(|line| line.starts_with("cmdstat_time:"));
        line.map(|line| line.split_once(",usec").unwrap().0.to_owned())
    };
    let before = calls_of_time().await;
    let redis = client_of(on.stranger());
    let commands = [
        Command::new("TIME"),
        Command::new("GET").arg(on.keys.schema()),
        Command::new("TIME"),
    ];
    let replies = redis.read(&commands).await.unwrap();
    assert_eq!(replies.len(), 3);
    assert_ne!(calls_of_time().await, before);
}

#[tokio::test]
async fn what_may_not_be_repeated_is_sent_once() {
    let on = Deployment::common().await;
    for (trouble, counted) in [
        (Trouble::LostRequest, Value::Nil),
        (Trouble::LostReply, Value::BulkString(b"1".to_vec())),
    ] {
        let proxy = Proxy::start(on.owner().addr()).await;
        let redis = client([proxy.addr]);
        redis
            .run(Command::new("PING"), Repeat::Never)
            .await
            .unwrap();
        proxy.arm(trouble, "INCR");
        let error = on.incr(&redis, Repeat::Never).await.unwrap_err();
        assert_eq!(error.kind(), "unclear", "{error}");
        assert_eq!(on.counter().await, counted);
    }
    let proxy = Proxy::start(on.owner().addr()).await;
    proxy.arm(Trouble::LostReply, "INCR");
    let redis = client([proxy.addr]);
    let third = on.incr(&redis, Repeat::Harmless).await.unwrap();
    assert_eq!(third, Reply::Int(3));
}

#[tokio::test]
async fn one_node_that_answers_is_enough_and_none_is_named() {
    let on = Deployment::common().await;
    let redis = client([nobody().await, on.stranger().addr()]);
    assert_eq!(on.incr(&redis, Repeat::Never).await.unwrap(), Reply::Int(1));

    let (first, second) = (nobody().await, nobody().await);
    let redis = client([format!("u:secret@{first}"), format!("u:secret@{second}")]);
    let error = on.incr(&redis, Repeat::Never).await.unwrap_err();
    assert_eq!(error.kind(), "unreachable");
    let shown = error.to_string();
    assert!(shown.contains(&first.to_string()), "{shown}");
    assert!(shown.contains(&second.to_string()), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_server_that_is_no_cluster_or_wants_a_password_is_told_apart() {
    let server = RedisServer::start(ServerOptions::default()).await.unwrap();
    let ping = async |redis: Redis| redis.run(Command::new("PING"), Repeat::Never).await;
    let error = ping(client_of(&server)).await.unwrap_err();
    assert_eq!(error.kind(), "refused");
    assert!(
        error.to_string().contains("cluster support disabled"),
        "{error}"
    );

    let command = ["CONFIG", "SET", "requirepass", "right"];
    server.command(&command).await.unwrap();
    for seed in [
        server.addr().to_string(),
        format!(":wrong@{}", server.addr()),
    ] {
        let error = ping(client([seed])).await.unwrap_err();
        assert_eq!(error.kind(), "unauthorized", "{error}");
        assert!(!error.to_string().contains("wrong@"), "{error}");
    }
}

/// Works until it is told to stop: enqueues, reserves, settles. Every job ran once.
async fn work(queue: Queue, rounds: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let mut runs: HashMap<String, usize> = HashMap::new();
    let mut take_all = async || {
        let jobs = persist(&queue, queue.call(Vec::new(), 10)).await.jobs;
        for job in &jobs {
            assert_eq!(job.attempt, 1, "{} ran before", job.id);
            *runs.entry(job.id.to_string()).or_default() += 1;
        }
        let count = jobs.len();
        let done = jobs
            .into_iter()
            .map(|job| job.settle(Verdict::Done, Vec::new()));
        let applied = persist(&queue, queue.call(done.collect(), 0)).await.applied;
        assert_eq!(applied, vec![true; count]);
        count
    };
    let mut enqueued = 0;
    while !stop.load(Ordering::Relaxed) {
        let jobs: Vec<_> = (0..3)
            .map(|n| reconcile(&format!("i{}", enqueued + n)))
            .collect();
        while let Err(error) = queue.enqueue(&jobs).await {
            assert!(error.is_passing(), "{error}");
        }
        enqueued += jobs.len();
        take_all().await;
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    while take_all().await > 0 {}
    assert_eq!(runs.len(), enqueued);
    assert!(runs.values().all(|times| *times == 1), "{runs:?}");
}

async fn record_with_status(on: &Deployment<'_>, redis: &Redis) -> (InstanceId, Record) {
    let (store, session, spec) = (on.store(redis), on.session(redis), spec("alpha"));
    store.create(&spec).await.unwrap();
    let job = reserve_one(&session).await;
    let status = Status::default();
    let written = session.checkpoint(&job.id, &job.token, &spec.id, None, &status);
    assert_eq!(written.await.unwrap(), Checkpoint::Written);
    settle(&session, vec![job.settle(Verdict::Done, Vec::new())]).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    assert_eq!(record.status, Some(status));
    (spec.id, record)
}

#[tokio::test]
async fn a_slot_that_moves_in_mid_use_loses_nothing() {
    let cluster = RedisCluster::start().await.unwrap();
    let on = Deployment::on(&cluster).await;
    let redis = client(cluster.nodes().iter().map(RedisServer::addr));
    let (id, record) = record_with_status(&on, &redis).await;

    let (rounds, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
    let worker = work(on.session(&redis), rounds.clone(), stop.clone());
    let worker = tokio::spawn(worker);
    let goes_on = async || {
        let enough = rounds.load(Ordering::Relaxed) + 3;
        eventually("rounds of work", async || {
            (rounds.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    };
    let mut places = (on.owner, on.elsewhere());
    for _ in 0..2 {
        goes_on().await;
        let moving = cluster
            .begin_move(&on.keys.schema(), places.0, places.1)
            .await
            .unwrap();
        // In every state between, both nodes together hold the whole truth.
        loop {
            let read = on.store(&redis).record(&id).await.unwrap();
            assert_eq!(read.as_ref(), Some(&record));
            if moving.keys(1).await.unwrap() == 0 {
                break;
            }
        }
        moving.finish().await.unwrap();
        let owner = cluster.owner_of(&on.keys.schema()).await.unwrap();
        assert_eq!(owner, places.1);
        goes_on().await;
        places = (places.1, places.0);
    }
    stop.store(true, Ordering::Relaxed);
    worker.await.unwrap();
}

#[tokio::test]
async fn a_script_never_begins_on_a_slot_that_is_moving() {
    let cluster = RedisCluster::start().await.unwrap();
    let on = Deployment::on(&cluster).await;
    let redis = client_of(on.owner());
    let session = on.session(&redis);
    let job = take(&session, reconcile("i1")).await;
    // All keys of the queue are there: the node itself would let the script begin.
    for (key, command) in [(on.keys.ready(), "ZADD"), (on.keys.idle(), "ZADD")] {
        let member = [command, &key, "1", "somebody"];
        on.owner().command(&member).await.unwrap();
    }
    let place = on.elsewhere();
    let moving = cluster
        .begin_move(&on.keys.schema(), on.owner, place)
        .await
        .unwrap();
    let held = [(job.id.clone(), job.token.clone())];
    let error = session.extend(&held).await.unwrap_err();
    let RedisError::Server(later) = &error else {
        panic!("{error}");
    };
    assert_eq!(later.code, "TRYAGAIN");
    assert!(error.was_not_applied());
    moving.finish().await.unwrap();
    assert_eq!(session.extend(&held).await.unwrap(), [true]);
}

#[tokio::test]
async fn a_node_that_was_killed_comes_back_and_the_others_are_known_meanwhile() {
    let mut cluster = RedisCluster::start().await.unwrap();
    let on = Deployment::on(&cluster).await;
    // It is told of one node only.
    let redis = client_of(on.owner());
    let (id, record) = record_with_status(&on, &redis).await;
    let (store, session, owner) = (on.store(&redis), on.session(&redis), on.owner);

    cluster.node(owner).kill().await.unwrap();
    eventually("an answer of another node", async || {
        redis.run(Command::new("PING"), Repeat::Never).await.ok()
    })
    .await;
    let error = session.extend(&[(reconcile("i1").id(), "t".into())]).await;
    assert!(error.unwrap_err().is_passing());

    cluster.node(owner).restart().await.unwrap();
    let read = eventually("the record", async || store.record(&id).await.ok()).await;
    assert_eq!(read, Some(record));
    let job = take(&session, reconcile("i1")).await;
    conclude(&session, job, Verdict::Done).await;
}
