use serde_json::{Value, json};
use shared::clock::Millis;
use shared::model::{AutoStop, HealthCheck, PortKind, Prefer, PublishedPort};

use crate::create::{self, NewInstance};

type Problems = Vec<(String, String)>;

fn with(members: &Value) -> Value {
    let mut body = json!({"name": "a", "productName": "RTX 4090", "templateId": "t"});
    let given = members.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(given);
    body
}

fn read(members: &Value, keeps_envs: bool) -> Result<NewInstance, Problems> {
    let body = with(members).as_object().unwrap().clone();
    create::read(body, true, keeps_envs, Millis(1)).map_err(|error| {
        let problems = error.problems().iter();
        problems
            .map(|problem| (problem.field.clone(), problem.message.clone()))
            .collect()
    })
}

fn options(members: &Value) -> shared::model::CreateOptions {
    read(members, true).unwrap().spec.options
}

#[test]
fn nothing_asked_for_is_nothing_set() {
    let new = read(&json!({}), true).unwrap();
    assert!(new.spec.options.is_empty() && new.envs.is_empty());
}

#[test]
fn everything_that_may_be_asked_for_is_understood() {
    let new = read(
        &json!({
            "maxPricePerHour": "0.355",
            "regions": ["EU-DE-01", "CN-HK-01"],
            "onDemandFallback": true,
            "prefer": "steady",
            "envs": [{"key": "A", "value": "one"}, {"key": "B", "value": "two\nlines"}, {"key": "C", "value": ""}],
            "ports": [{"port": 8080, "type": "http"}, {"port": "22", "type": "tcp"}],
            "command": "sh -c '\n serve\n'",
            "entrypoint": "/bin/init",
            "imageAuthId": "6f1c2b0e",
            "healthCheckConfig": {"targetPort": 8080, "timeoutMs": "1000"},
            "autoStop": {"enabled": true, "idleMinutes": "30"},
            "maxLifetimeHours": 12,
            "protected": true,
        }),
        true,
    )
    .unwrap();
    let options = new.spec.options;
    assert_eq!(options.max_price_per_hour, Some(35_500));
    assert_eq!(options.regions, ["EU-DE-01", "CN-HK-01"]);
    assert!(options.on_demand_fallback && options.has_envs);
    assert_eq!(options.prefer, Prefer::Steady);
    let tcp = PublishedPort {
        port: 22,
        kind: PortKind::Tcp,
    };
    assert_eq!(options.ports.unwrap()[1], tcp);
    assert_eq!(options.command.unwrap(), "sh -c '\n serve\n'");
    assert_eq!(options.entrypoint.unwrap(), "/bin/init");
    assert_eq!(options.image_auth_id.unwrap(), "6f1c2b0e");
    let expected = HealthCheck {
        target_port: Some(8080),
        timeout_ms: Some(1000),
        retry_attempts: Some(3),
        retry_delay_ms: Some(2000),
        max_wait_time_ms: Some(600_000),
    };
    assert_eq!(options.health_check, Some(expected));
    let own = AutoStop {
        enabled: Some(true),
        idle_minutes: Some(30),
    };
    assert_eq!(
        (options.auto_stop, options.max_lifetime_hours),
        (own, Some(12))
    );
    assert!(options.protected);
    let envs: Vec<_> = new.envs.iter().map(|env| env.value.as_str()).collect();
    assert_eq!(envs, ["one", "two\nlines", ""]);
}

#[test]
fn the_bounds_themselves_are_allowed() {
    for members in [
        json!({"maxPricePerHour": 0.000_01}),
        json!({"maxPricePerHour": 1_000_000}),
        json!({"envs": vec![json!({"key": "K", "value": "v".repeat(4095)})]}),
        json!({"envs": [{"key": "k".repeat(511), "value": ""}]}),
        json!({"envs": []}),
        json!({"ports": []}),
        json!({"ports": [{"port": 2221, "type": "tcp"}, {"port": 2225, "type": "tcp"}]}),
        json!({"command": "c".repeat(2047), "entrypoint": ""}),
        json!({"onDemandFallback": "false", "billingMode": "onDemand"}),
        json!({"region": "CN-HK-01", "prefer": "price"}),
        json!({"autoStop": {}, "protected": "false"}),
        json!({"autoStop": {"idleMinutes": 10_080}, "maxLifetimeHours": 8760}),
    ] {
        assert!(read(&members, true).is_ok(), "{members}");
    }
    let hundred: Vec<Value> = (0..100)
        .map(|n| json!({"key": format!("K{n}"), "value": "v"}))
        .collect();
    assert!(read(&json!({ "envs": hundred }), true).is_ok());
    assert_eq!(options(&json!({"ports": []})).ports, Some(Vec::new()));
    assert_eq!(options(&json!({"entrypoint": ""})).entrypoint, None);
}

#[test]
fn every_broken_rule_has_its_message() {
    let region = "Region must be one of: CN-HK-01, AS-SGP-02, AS-IN-01, US-CA-06, US-WEST-01, \
                  EU-DE-01, EU-WEST-01, OC-AU-01";
    let price = "\"maxPricePerHour\" must be an amount of US dollars, more than 0 and at most \
                 1000000, with at most 5 decimals";
    let reserved = "Port must not be 2222, 2223 or 2224, which the provider keeps for itself";
    let env = |key: &str, value: Value| json!({"envs": [{"key": key, "value": value}]});
    let port = |port: Value| json!({"ports": [{"port": port, "type": "http"}]});
    let health = |name: &str, value: Value| json!({"healthCheckConfig": {name: value}});
    #[rustfmt::skip]
    let cases: Vec<(Value, &str, &str)> = vec![
        (json!({"maxPricePerHour": 0}), "maxPricePerHour", price),
        (json!({"maxPricePerHour": -1}), "maxPricePerHour", price),
        (json!({"maxPricePerHour": 0.000_001}), "maxPricePerHour", price),
        (json!({"maxPricePerHour": "cheap"}), "maxPricePerHour", price),
        (json!({"maxPricePerHour": null}), "maxPricePerHour", price),
        (json!({"regions": []}), "regions", "\"regions\" must contain at least 1 items"),
        (json!({"regions": "CN-HK-01"}), "regions", "\"regions\" must be an array"),
        (json!({"regions": ["CN-HK-01", "MOON-1"]}), "regions[1]", region),
        (json!({"regions": [7]}), "regions[0]", region),
        (json!({"regions": ["CN-HK-01", "CN-HK-01"]}), "regions[1]", "\"regions[1]\" contains a duplicate value"),
        (json!({"regions": vec!["CN-HK-01"; 9]}), "regions", "\"regions\" must contain less than or equal to 8 items"),
        (json!({"regions": ["CN-HK-01"], "region": "CN-HK-01"}), "regions", "\"regions\" must not be given together with \"region\""),
        (json!({"onDemandFallback": "maybe"}), "onDemandFallback", "\"onDemandFallback\" must be a boolean"),
        (json!({"onDemandFallback": 1}), "onDemandFallback", "\"onDemandFallback\" must be a boolean"),
        (json!({"onDemandFallback": true, "billingMode": "onDemand"}), "onDemandFallback", "\"onDemandFallback\" is only allowed with billing mode \"spot\""),
        (json!({"prefer": "fast"}), "prefer", "Preference must be either \"price\" or \"steady\""),
        (json!({"envs": {}}), "envs", "\"envs\" must be an array"),
        (json!({"envs": vec![json!({"key": "A", "value": ""}); 101]}), "envs", "\"envs\" must contain less than or equal to 100 items"),
        (json!({"envs": ["A=1"]}), "envs[0]", "\"envs[0]\" must be of type object"),
        (json!({"envs": [{"value": "v"}]}), "envs[0].key", "\"envs[0].key\" is required"),
        (json!({"envs": [{"key": "A"}]}), "envs[0].value", "\"envs[0].value\" is required"),
        (env("", json!("v")), "envs[0].key", "\"envs[0].key\" is not allowed to be empty"),
        (env(&"k".repeat(512), json!("v")), "envs[0].key", "\"envs[0].key\" length must be less than or equal to 511 characters long"),
        (env("A=B", json!("v")), "envs[0].key", "Environment variables must not contain \"=\" in their names"),
        (env("NGA_SIG", json!("v")), "envs[0].key", "Environment variables must not begin with NGA_, which marks the instance"),
        (env("A", json!(1)), "envs[0].value", "\"envs[0].value\" must be a string"),
        (env("A", json!("a\0b")), "envs[0].value", "\"envs[0].value\" must not contain the character NUL"),
        (env("A", json!("v".repeat(4096))), "envs[0].value", "\"envs[0].value\" length must be less than or equal to 4095 characters long"),
        (json!({"envs": [{"key": "A", "value": "1"}, {"key": "A", "value": "2"}]}), "envs[1].key", "\"envs[1].key\" contains a duplicate value"),
        (json!({"envs": [{"key": "A", "value": "1", "extra": 1}]}), "envs[0].extra", "\"envs[0].extra\" is not allowed"),
        (json!({"ports": 8080}), "ports", "\"ports\" must be an array"),
        (json!({"ports": vec![json!({"port": 1, "type": "tcp"}); 16]}), "ports", "\"ports\" must contain less than or equal to 15 items"),
        (json!({"ports": [{"type": "tcp"}]}), "ports[0].port", "\"ports[0].port\" is required"),
        (json!({"ports": [{"port": 80}]}), "ports[0].type", "\"ports[0].type\" is required"),
        (json!({"ports": [{"port": 80, "type": "udp"}]}), "ports[0].type", "Port type must be either \"http\" or \"tcp\""),
        (port(json!(0)), "ports[0].port", "Port must be at least 1"),
        (port(json!(65536)), "ports[0].port", "Port must be at most 65535"),
        (port(json!(65536 + 2222)), "ports[0].port", "Port must be at most 65535"),
        (port(json!("x")), "ports[0].port", "\"ports[0].port\" must be a number"),
        (port(json!(2222)), "ports[0].port", reserved),
        (port(json!(2224)), "ports[0].port", reserved),
        (json!({"ports": [{"port": 80, "type": "tcp"}, {"port": 80, "type": "http"}]}), "ports[1].port", "\"ports[1].port\" contains a duplicate value"),
        (json!({"command": "c".repeat(2048)}), "command", "\"command\" length must be less than or equal to 2047 characters long"),
        (json!({"entrypoint": ["/bin/sh"]}), "entrypoint", "\"entrypoint\" must be a string"),
        (json!({"imageAuthId": ""}), "imageAuthId", "\"imageAuthId\" is not allowed to be empty"),
        (json!({"imageAuthId": "i".repeat(256)}), "imageAuthId", "\"imageAuthId\" length must be less than or equal to 255 characters long"),
        (json!({"healthCheckConfig": 5}), "healthCheckConfig", "\"healthCheckConfig\" must be of type object"),
        (health("timeoutMs", json!(5)), "healthCheckConfig.timeoutMs", "Health check timeout must be at least 1000ms"),
        (health("timeoutMs", json!(300_001)), "healthCheckConfig.timeoutMs", "Health check timeout must be at most 300000ms"),
        (health("retryAttempts", json!(11)), "healthCheckConfig.retryAttempts", "Retry attempts must be at most 10"),
        (health("retryAttempts", json!(-1)), "healthCheckConfig.retryAttempts", "Retry attempts must be at least 0"),
        (health("retryDelayMs", json!(1)), "healthCheckConfig.retryDelayMs", "Retry delay must be at least 100ms"),
        (health("maxWaitTimeMs", json!(1)), "healthCheckConfig.maxWaitTimeMs", "Max wait time must be at least 30000ms (30 seconds)"),
        (health("maxWaitTimeMs", json!(1_800_001)), "healthCheckConfig.maxWaitTimeMs", "Max wait time must be at most 1800000ms (30 minutes)"),
        (health("targetPort", json!(70_000)), "healthCheckConfig.targetPort", "Target port must be at most 65535"),
        (health("targetPort", json!(0)), "healthCheckConfig.targetPort", "Target port must be at least 1"),
        (json!({"autoStop": true}), "autoStop", "\"autoStop\" must be of type object"),
        (json!({"autoStop": {"enabled": 1}}), "autoStop.enabled", "\"autoStop.enabled\" must be a boolean"),
        (json!({"autoStop": {"idleMinutes": 0}}), "autoStop.idleMinutes", "Idle minutes must be at least 1"),
        (json!({"autoStop": {"idleMinutes": 10_081}}), "autoStop.idleMinutes", "Idle minutes must be at most 10080"),
        (json!({"autoStop": {"idleMinutes": 1.5}}), "autoStop.idleMinutes", "Idle minutes must be an integer"),
        (json!({"autoStop": {"minutes": 5}}), "autoStop.minutes", "\"autoStop.minutes\" is not allowed"),
        (json!({"maxLifetimeHours": 8761}), "maxLifetimeHours", "Maximum lifetime must be at most 8760 hours"),
        (json!({"maxLifetimeHours": 0}), "maxLifetimeHours", "Maximum lifetime must be at least 1 hour"),
        (json!({"protected": "perhaps"}), "protected", "\"protected\" must be a boolean"),
        (health("port", json!(1)), "healthCheckConfig.port", "\"healthCheckConfig.port\" is not allowed"),
    ];
    for (members, field, message) in cases {
        let problems = read(&members, true).unwrap_err();
        let expected = vec![(field.to_owned(), message.to_owned())];
        assert_eq!(problems, expected, "{members}");
    }
}

#[test]
fn problems_of_all_fields_are_told_at_once() {
    let members = json!({
        "maxPricePerHour": "x",
        "regions": ["X"],
        "envs": [{"key": "A"}, {"key": "", "value": "v"}, {"key": "", "value": "v"}],
        "ports": [{"port": 0, "type": "x"}, {"type": "tcp"}, {"type": "tcp"}],
        "healthCheckConfig": {"timeoutMs": 1, "retryDelayMs": 1},
    });
    let problems = read(&members, true).unwrap_err();
    let fields: Vec<_> = problems.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "maxPricePerHour",
            "regions[0]",
            "envs[0].value",
            "envs[1].key",
            "envs[2].key",
            "ports[0].port",
            "ports[0].type",
            "ports[1].port",
            "ports[2].port",
            "healthCheckConfig.timeoutMs",
            "healthCheckConfig.retryDelayMs",
        ]
    );
}

#[test]
fn values_of_variables_and_commands_are_never_shown_back() {
    let members = json!({
        "envs": [{"key": "A", "value": ["hunter2"]}, {"key": "B", "value": 4_242_424_242_u64},
                 {"key": "C", "value": "hunter2\0"}],
        "command": "hunter2\0",
        "entrypoint": {"hunter2": "hunter2"},
    });
    let body = with(&members).as_object().unwrap().clone();
    let error = create::read(body, true, true, Millis(1)).unwrap_err();
    assert_eq!(error.problems().len(), 5);
    let shown = serde_json::to_string(error.problems()).unwrap() + &format!("{error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("4242424242"), "{shown}");
}

#[test]
fn variables_are_refused_where_they_cannot_be_encrypted() {
    let members = json!({"envs": [{"key": "A", "value": "v"}]});
    let problems = read(&members, false).unwrap_err();
    assert_eq!(problems.len(), 1);
    let (field, message) = &problems[0];
    assert_eq!(field, "envs");
    assert!(message.contains("ENVS_SECRET"), "{message}");
    assert!(read(&json!({"envs": []}), false).is_ok());
}
