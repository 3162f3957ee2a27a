//! What the client sends, and how it reads the provider's answers.

use crate::provider::{Canned, KEY, Provider, client, ok};
use serde_json::json;
use worker::novita::{
    BillingMode, CallContext, CreateRequest, Env, HundredThousandthsUsd, Inventory, Novita, Port,
    ProductQuery, Protocol, ProviderId, ProviderStatus, SpotStatus, Tool,
};

fn none() -> CallContext {
    CallContext::default()
}

fn id(text: &str) -> ProviderId {
    ProviderId::new(text).unwrap()
}

#[tokio::test]
async fn create_sends_the_documented_body_and_returns_the_id() {
    let provider = Provider::start([ok(&json!({"id": "9f3c5a7be1d20486"}))]).await;
    let request = CreateRequest {
        name: "worker-7c1e".into(),
        product_id: "4090.16c62g".into(),
        cluster_id: "us-ca-6".into(),
        gpu_num: 1,
        rootfs_size: 60,
        image_url: "docker.io/acme/infer:1.4".into(),
        image_auth_id: None,
        ports: vec![
            Port {
                port: 8000,
                protocol: Protocol::Http,
            },
            Port {
                port: 9000,
                protocol: Protocol::Tcp,
            },
        ],
        envs: vec![Env {
            key: "OWNER".into(),
            value: "batch-42".into(),
        }],
        tools: vec![Tool {
            name: "Jupyter".into(),
            port: 8888,
            protocol: Protocol::Http,
        }],
        command: None,
        entrypoint: None,
        billing_mode: BillingMode::Spot,
        min_cuda_version: None,
    };
    let context = CallContext {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        correlation_id: Some("order-7\r\nX-Injected: 1".into()),
    };
    let created = provider.client().create(&request, &context).await.unwrap();
    assert_eq!(created.as_str(), "9f3c5a7be1d20486");

    assert_eq!(
        provider.lines(),
        ["POST /gpu-instance/openapi/v1/gpu/instance/create"]
    );
    assert_eq!(
        provider.last_json(),
        json!({
            "name": "worker-7c1e", "productId": "4090.16c62g", "kind": "gpu", "gpuNum": 1,
            "rootfsSize": 60, "imageUrl": "docker.io/acme/infer:1.4",
            "ports": "8000/http,9000/tcp", "billingMode": "spot", "clusterId": "us-ca-6",
            "envs": [{"key": "OWNER", "value": "batch-42"}],
            "tools": [{"name": "Jupyter", "port": "8888", "type": "http"}],
        })
    );
    let headers = provider.last().headers().clone();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        headers["traceparent"],
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    );
    assert!(
        !headers.contains_key("x-correlation-id"),
        "an impossible header is left out"
    );
    assert!(
        headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("novita-worker/")
    );
}

#[tokio::test]
async fn actions_post_the_instance_id_and_need_no_body_in_return() {
    let provider = Provider::start([
        ok(&json!({"instanceId": "9f3c5a7be1d20486", "state": "starting"})),
        ok(&json!({})),
        Canned::Text(204, String::new()),
        Canned::Text(200, String::new()),
    ])
    .await;
    let (client, id) = (provider.client(), id("9f3c5a7be1d20486"));
    client.start(&id, &none()).await.unwrap();
    client.stop(&id, &none()).await.unwrap();
    client.restart(&id, &none()).await.unwrap();
    client.delete(&id, &none()).await.unwrap();
    let path = |action: &str| format!("POST /gpu-instance/openapi/v1/gpu/instance/{action}");
    assert_eq!(
        provider.lines(),
        ["start", "stop", "restart", "delete"].map(path)
    );
    assert_eq!(
        provider.last_json(),
        json!({"instanceId": "9f3c5a7be1d20486"})
    );
}

#[tokio::test]
async fn an_instance_is_read_whole_and_its_secrets_do_not_show() {
    let body = json!({
        "id": "9f3c5a7be1d20486", "name": "worker-7c1e", "clusterId": "us-ca-6",
        "clusterName": "US-CA-06 (California)", "status": "running",
        "statusError": {"state": "", "message": ""},
        "imageUrl": "docker.io/acme/infer:1.4", "imageAuthId": "", "command": "", "entrypoint": "",
        "cpuNum": "16", "memory": "62", "gpuNum": "1",
        "productId": "4090.16c62g", "productName": "RTX 4090 24GB", "rootfsSize": 60,
        "portMappings": [
            {"port": 8000, "type": "http",
             "endpoint": "https://9f3c5a7be1d20486-8000.us-ca-6.gpu-instance.novita.ai"},
            {"port": "9000", "type": "tcp",
             "endpoint": "proxy.us-ca-6.gpu-instance.novita.ai:41877"}],
        "volumeMounts": [{"type": "network", "size": "100", "id": "ns-1", "mountPath": "/network"}],
        "envs": [{"key": "OWNER", "value": "batch-42"}],
        "kind": "gpu", "billingMode": "spot", "endTime": "-1", "spotStatus": "",
        "spotReclaimTime": "0", "network": {"id": "", "ip": ""},
        "jobs": [{"id": "j-1", "type": "saveImage"}],
        "connectComponentSSH": {
            "sshCommand": "ssh -p 30123 root@proxy.us-ca-6.gpu-instance.novita.ai",
            "password": "hunter2", "isRunning": true},
        "sshPassword": "hunter2", "freeStorageSize": 60, "keepDataDay": 7,
        "createdAt": "1790000000", "lastStartedAt": "1790000060", "lastStoppedAt": "0"
    });
    let provider = Provider::start([ok(&body), ok(&json!({"instance": body}))]).await;
    let client = provider.client();
    let instance = client.get(&id("9f3c5a7be1d20486"), &none()).await.unwrap();
    assert_eq!(
        provider.lines(),
        ["GET /gpu-instance/openapi/v1/gpu/instance?instanceId=9f3c5a7be1d20486"]
    );
    assert_eq!(instance.status, ProviderStatus::Running);
    assert_eq!(
        (instance.cpu_num, instance.memory, instance.gpu_num),
        (16, 62, 1)
    );
    assert_eq!((instance.rootfs_size, instance.keep_data_day), (60, 7));
    assert_eq!(instance.billing_mode, BillingMode::Spot);
    assert_eq!(instance.spot_status.as_str(), "");
    assert_eq!(
        (instance.end_time, instance.spot_reclaim_time),
        (None, None)
    );
    assert_eq!(instance.created_at, Some(1_790_000_000));
    assert_eq!(instance.last_started_at, Some(1_790_000_060));
    assert_eq!(instance.last_stopped_at, None);
    assert_eq!(instance.port_mappings[1].port, 9000);
    assert_eq!(instance.port_mappings[1].protocol, Protocol::Tcp);
    assert_eq!(instance.jobs[0].kind, "saveImage");
    assert_eq!(instance.env("OWNER"), Some("batch-42"));
    let ssh = "ssh -p 30123 root@proxy.us-ca-6.gpu-instance.novita.ai";
    assert_eq!(instance.ssh_command(), Some(ssh));
    let shown = format!("{instance:?}");
    assert!(shown.contains("OWNER"));
    assert!(
        !shown.contains("hunter2") && !shown.contains("batch-42"),
        "{shown}"
    );

    let wrapped = client.get(&id("9f3c5a7be1d20486"), &none()).await.unwrap();
    assert_eq!(wrapped, instance);
}

#[tokio::test]
async fn missing_null_empty_and_zero_read_alike_and_new_words_are_kept() {
    let bare = json!({"id": "a"});
    let null = json!({
        "id": "a", "name": null, "status": null, "statusError": null, "cpuNum": null,
        "portMappings": null, "envs": null, "jobs": null, "connectComponentSSH": null,
        "createdAt": null, "spotReclaimTime": null, "billingMode": null, "isApiInstance": null,
    });
    let zero = json!({
        "id": "a", "name": "", "status": "", "statusError": {"state": null}, "cpuNum": "",
        "portMappings": [], "envs": [], "jobs": [], "connectComponentSSH": {"sshCommand": ""},
        "createdAt": 0, "spotReclaimTime": "0", "billingMode": "", "rootfsSize": "0",
        "instancePrice": "-", "spotStatus": "",
    });
    let odd = json!({
        "id": "a", "status": "hibernating", "cpuNum": 16.0, "spotStatus": "paused",
        "createdAt": 1_790_000_000,
    });
    let provider = Provider::start([ok(&bare), ok(&null), ok(&zero), ok(&odd)]).await;
    let client = provider.client();
    let bare = client.get(&id("a"), &none()).await.unwrap();
    assert_eq!(bare.status, ProviderStatus::Unknown(String::new()));
    assert_eq!(client.get(&id("a"), &none()).await.unwrap(), bare);
    assert_eq!(client.get(&id("a"), &none()).await.unwrap(), bare);
    let odd = client.get(&id("a"), &none()).await.unwrap();
    assert_eq!(odd.status, ProviderStatus::Unknown("hibernating".into()));
    assert_eq!(odd.spot_status, SpotStatus::Unknown("paused".into()));
    assert_eq!((odd.cpu_num, odd.created_at), (16, Some(1_790_000_000)));
}

#[tokio::test]
async fn products_and_clusters_carry_prices_as_integers() {
    let products = json!({"data": [{
        "id": "4090.16c62g", "name": "RTX 4090 24GB", "cpuPerGpu": 16, "memoryPerGpu": 62,
        "diskPerGpu": 1800, "availableDeploy": true, "inventoryState": "normal", "minRootFS": 10,
        "maxRootFS": 1900, "minLocalStorage": 0, "maxLocalStorage": 0,
        "regions": ["US-CA-06 (California)"], "price": "35000", "spotPrice": "18000",
        "monthlyPrice": [{"price": "20000000", "month": 1}],
        "billingMethods": ["onDemand", "monthly", "spot"]
    }, {"id": "old", "price": 21000, "spotPrice": "0", "regions": null}]});
    let clusters = json!({"data": [{
        "id": "us-ca-6", "name": "US-CA-06 (California)", "availableGpuType": ["RTX 4090 24GB"],
        "supportNetworkStorage": true, "supportInstanceNetwork": false
    }]});
    let provider =
        Provider::start([ok(&products), ok(&clusters), ok(&json!({"data": null}))]).await;
    let client = provider.client();
    let query = ProductQuery {
        product_name: Some("RTX 4090".into()),
        billing_method: Some(BillingMode::Spot),
        ..ProductQuery::default()
    };
    let products = client.products(&query, &none()).await.unwrap();
    assert_eq!(
        provider.lines(),
        ["GET /gpu-instance/openapi/v1/products?productName=RTX+4090&billingMethod=spot"]
    );
    assert_eq!(products[0].price, Some(HundredThousandthsUsd(35_000)));
    assert_eq!(products[0].spot_price, Some(HundredThousandthsUsd(18_000)));
    assert_eq!(products[0].inventory_state, Inventory::Normal);
    assert_eq!(
        (products[0].min_root_fs, products[0].max_root_fs),
        (10, 1900)
    );
    assert!(products[0].billing_methods.contains(&BillingMode::Monthly));
    assert_eq!(products[1].price, Some(HundredThousandthsUsd(21_000)));
    assert_eq!(products[1].spot_price, None);

    let clusters = client.clusters(&none()).await.unwrap();
    assert_eq!(
        (&*clusters[0].id, &*clusters[0].name),
        ("us-ca-6", "US-CA-06 (California)")
    );
    assert!(client.clusters(&none()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_template_has_its_port_groups_flattened_and_logins_have_no_secrets() {
    let template = json!({"template": {
        "Id": "100234", "user": "u", "name": "infer", "image": "docker.io/acme/infer:1.4",
        "imageAuth": "6b1f", "startCommand": "serve", "rootfsSize": 60,
        "ports": [{"type": "http", "ports": [8000, "8001"]}, {"type": "tcp", "ports": [22]},
                  {"type": "http", "ports": null}],
        "envs": [{"key": "TOKEN", "value": "hunter2"}], "minCudaVersion": "12.4",
        "tools": [{"name": "Jupyter", "describe": "", "port": 8888, "type": "http"}],
        "createdAt": "1790000000", "collectNum": "0"
    }});
    let auths = json!({"data": [
        {"id": "6b1f", "name": "acme", "username": "bot", "password": "hunter2"}
    ]});
    let provider = Provider::start([ok(&template), ok(&auths)]).await;
    let client = provider.client();
    let template = client.template("100234", &none()).await.unwrap();
    assert_eq!(
        provider.lines(),
        ["GET /gpu-instance/openapi/v1/template?templateId=100234"]
    );
    let ports: Vec<_> = template
        .ports
        .iter()
        .map(|p| format!("{}/{}", p.port, p.protocol))
        .collect();
    assert_eq!(ports, ["8000/http", "8001/http", "22/tcp"]);
    assert_eq!(
        (&*template.id, &*template.image_auth, template.rootfs_size),
        ("100234", "6b1f", 60)
    );
    assert_eq!(template.tools[0].port, 8888);

    let auths = client.registry_auths(&none()).await.unwrap();
    assert_eq!((&*auths[0].id, &*auths[0].name), ("6b1f", "acme"));
    assert!(!format!("{template:?}{auths:?}").contains("hunter2"));
}

#[test]
fn the_api_key_does_not_show() {
    let client = client("http://127.0.0.1:1");
    assert!(!format!("{client:?}").contains(KEY));
}

#[test]
fn every_documented_status_has_a_name_of_its_own() {
    let words = "pending toCreate creating pulling running toStart starting toStop stopping exited \
        toRestart restarting toReset resetting migrating freezing toRemove removing removed";
    assert_eq!(words.split_whitespace().count(), 19);
    for word in words.split_whitespace() {
        let status = ProviderStatus::from(word.to_owned());
        assert!(!matches!(status, ProviderStatus::Unknown(_)), "{word}");
        assert_eq!(status.as_str(), word);
    }
}
