//! Batch tasks: started by REST, done in the background, also across a `kill -9`, and published on their topics at the end.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{QoS, SubAckCode};
use thng_pubsub_tests::keys::text;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::{random, until};
use thng_pubsub_tests::{Response, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// A new batch, by its path.
#[track_caller]
fn batch(rest: &mut Rest) -> String {
    format!("/batches/{}", rest.id_of("/batches", json!({"name": "a batch of the tests"})))
}

fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A task that makes so many thngs.
fn populating(quantity: u64, template: Value) -> Value {
    let input = json!({"type": "FIXED_AMOUNT", "quantity": quantity, "thngTemplate": template, "generateThngs": true});
    json!({"type": "POPULATING", "inputParameters": input})
}

/// The path of the task that an answer says was begun.
#[track_caller]
fn begun(answer: &Response) -> String {
    answer.assert_status(202);
    let location = answer.header("location").expect("202 comes with a Location");
    let at = location.find("/batches/").unwrap_or_else(|| panic!("{location} is a task's"));
    location[at..].to_owned()
}

/// Starts a task; returns its path.
#[track_caller]
fn start(rest: &mut Rest, batch: &str, task: Value) -> String {
    begun(&rest.post(&format!("{batch}/tasks"), task))
}

fn has_ended(task: &Value) -> bool {
    !matches!(task["status"].as_str(), Some("PENDING" | "EXECUTING"))
}

/// The document of a task once it has ended. It may take as long as it likes, as long as it gets on.
#[track_caller]
fn ended(rest: &mut Rest, task: &str) -> Value {
    let mut before = rest.get(task).expect(200);
    while !has_ended(&before) {
        before = until(format!("{task} gets on from {}", before["progress"]), || {
            let now = rest.get(task).expect(200);
            (has_ended(&now) || now["progress"] != before["progress"]).then_some(now)
        });
    }
    before
}

/// How many thngs a task has made, as it says itself.
#[track_caller]
fn made(task: &Value) -> u64 {
    let contributions = task["progress"]["contributions"].as_object();
    contributions.into_iter().flatten().filter_map(|(_, one)| one["thngs"].as_u64()).sum()
}

/// How many thngs there are of a batch.
#[track_caller]
fn count(rest: &mut Rest, batch: &str) -> u64 {
    let filter = format!("/thngs?filter=batch={}&perPage=1&withTotalCount=true", id_of(batch));
    let answer = rest.get(&filter);
    answer.assert_status(200);
    answer.header("x-result-count").and_then(|count| count.parse().ok()).expect("x-result-count")
}

/// All thngs of a batch.
#[track_caller]
fn thngs(rest: &mut Rest, batch: &str) -> Vec<Value> {
    rest.parts(&format!("/thngs?perPage=100&withScopes=true&filter=batch={}", id_of(batch))).concat()
}

#[test]
fn a_task_is_accepted_with_an_address_for_reading() {
    let server = Server::shared();
    let mut rest = server.rest();
    let batch = batch(&mut rest);
    let task = populating(3, json!({"name": "Lamp"}));
    for prefix in ["", "/v2"] {
        let answer = rest.post(&format!("{prefix}{batch}/tasks"), task.clone());
        answer.assert_status(202);
        let location = answer.header("location").expect("202 comes with a Location").to_owned();
        let id = id_of(&location).to_owned();
        assert_eq!(location, format!("http://{}{prefix}{batch}/tasks/{id}", server.http()), "absolute");
        let read = rest.get(&format!("{prefix}{batch}/tasks/{id}")).expect(200);
        assert_eq!((&read["id"], &read["batch"]), (&json!(id), &json!(id_of(&batch))));
        assert_eq!(
            (&read["type"], &read["inputParameters"]),
            (&json!("POPULATING"), &task["inputParameters"])
        );
        assert!(
            ["PENDING", "EXECUTING", "EXECUTED"].iter().any(|status| read["status"] == *status),
            "{read}"
        );
        assert!(read["createdAt"].is_u64() && read["updatedAt"].is_u64(), "{read}");
        let end = ended(&mut rest, &format!("{batch}/tasks/{id}"));
        assert_eq!(end["inputParameters"], task["inputParameters"], "also at the end");
    }
}

#[test]
fn a_task_that_has_ended_says_what_it_made() {
    let mut rest = Server::shared().rest();
    let batch = batch(&mut rest);
    assert_eq!(rest.get(&batch).expect(200)["status"], "EMPTY");
    let task = start(&mut rest, &batch, populating(7, json!({"name": "n"})));
    let end = ended(&mut rest, &task);
    assert_eq!(end["status"], "EXECUTED", "{end}");
    assert!(end["completedAt"].as_u64() >= end["createdAt"].as_u64(), "{end}");
    let result = &end["result"];
    assert_eq!((&result["type"], &result["totalCount"]), (&json!("POPULATING"), &json!(7)));
    assert_eq!((&result["totalThngsCreated"], &result["failedOperationsAmount"]), (&json!(7), &json!(0)));
    assert_eq!(result["totalUrlBindingsCreated"], 0);
    let progress = &end["progress"];
    assert_eq!(progress["totalAmount"], 7, "{progress}");
    assert_eq!(made(&end), 7, "{progress}");
    assert!(rest.get(&format!("{task}/logs")).expect(200).is_array());
    let listed = rest.get(&format!("{batch}/tasks")).expect(200);
    assert_eq!(listed, json!([end]));
    assert_eq!(rest.get(&batch).expect(200)["status"], "COMPLETE");
    for (filter, found) in [("status=EXECUTED", 1), ("status=FAILED", 0), ("type=POPULATING", 1)] {
        let listed = rest.get(&format!("{batch}/tasks?filter={filter}")).expect(200);
        assert_eq!(listed.as_array().map(Vec::len), Some(found), "{filter}");
    }
}

#[test]
fn thngs_of_a_task_follow_its_template_batch_and_project() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let product = rest.id_of(&format!("/products?project={project}"), json!({"name": "p"}));
    let template = json!({
        "name": "Lamp", "description": "in the hall", "tags": ["hall"], "customFields": {"w": 7},
        "identifiers": {"lot": "L1"}, "product": product,
    });
    for quantity in [1, 100, 101, 250] {
        let batch = batch(&mut rest);
        let path = format!("{batch}/tasks?project={project}");
        let task = begun(&rest.post(&path, populating(quantity, template.clone())));
        let task_id = id_of(&task).to_owned();
        ended(&mut rest, &task);
        let all = thngs(&mut rest, &batch);
        assert_eq!(all.len() as u64, quantity);
        let ids: BTreeSet<String> = all.iter().map(|thng| text(thng, "id")).collect();
        assert_eq!(ids.len() as u64, quantity, "each once");
        for thng in &all {
            assert!(thng["name"].as_str().is_some_and(|name| name.contains("Lamp")), "{thng}");
            for field in ["description", "tags", "customFields", "identifiers", "product"] {
                assert_eq!(thng[field], template[field], "{field}");
            }
            assert_eq!((&thng["batch"], &thng["createdByTask"]), (&json!(id_of(&batch)), &json!(task_id)));
            assert_eq!(thng["scopes"], json!({"projects": [project], "users": ["all"]}));
        }
        let by_task = rest.get(&format!("/thngs?filter=createdByTask={task_id}&withTotalCount=true"));
        assert_eq!(by_task.header("x-result-count"), Some(&*quantity.to_string()));
        let counts = rest.get(&batch).expect(200)["resourceCountsByProduct"].clone();
        assert_eq!(counts, json!({ &product: quantity }));
        let trusted =
            server.rest_as(&application.secret_key).get(&format!("/thngs/{}", ids.first().unwrap()));
        trusted.assert_status(200);
    }
}

#[test]
fn a_batch_counts_the_thngs_of_all_its_tasks() {
    let server = Server::shared();
    let mut rest = server.rest();
    let batch = batch(&mut rest);
    let products = [0, 1].map(|_| rest.id_of("/products", json!({"name": "p"})));
    let mut tasks = Vec::new();
    for (product, quantity) in [(&products[0], 120), (&products[1], 5), (&products[0], 3)] {
        tasks.push(start(&mut rest, &batch, populating(quantity, json!({"name": "n", "product": product}))));
    }
    for task in &tasks {
        assert_eq!(ended(&mut rest, task)["status"], "EXECUTED");
    }
    let [first, second] = &products;
    let counts = rest.get(&batch).expect(200)["resourceCountsByProduct"].clone();
    assert_eq!(counts, json!({ first: 123, second: 5 }));
    let all = thngs(&mut rest, &batch);
    assert_eq!(all.len(), 128);
    assert!(all.iter().all(|thng| thng["scopes"]["projects"] == json!([])), "{}", all[0]);
    let newest_first = rest.get(&format!("{batch}/tasks")).expect(200);
    let listed: Vec<String> =
        newest_first.as_array().expect("an array").iter().map(|one| text(one, "id")).collect();
    let begun: Vec<&str> = tasks.iter().rev().map(|task| id_of(task)).collect();
    assert_eq!(listed, begun);
}

#[test]
fn a_list_of_identifiers_creates_one_thng_per_entry() {
    let mut rest = Server::shared().rest();
    for kind in ["IDENTIFIERS_LIST_BASED", "LIST_BASED"] {
        let batch = batch(&mut rest);
        let data: Vec<Value> = (0..130)
            .map(|n| match n % 2 {
                0 => json!({"gs1:21": format!("{kind}-{n}")}),
                _ => json!({"identifiers": {"gs1:21": format!("{kind}-{n}"), "odd": "yes"}}),
            })
            .collect();
        let template = json!({"name": "n", "identifiers": {"lot": "L1"}});
        let input = json!({"type": kind, "inputData": data, "thngTemplate": template});
        let task = start(&mut rest, &batch, json!({"type": "POPULATING", "inputParameters": input}));
        let end = ended(&mut rest, &task);
        assert_eq!(
            (&end["status"], &end["result"]["totalCount"]),
            (&json!("EXECUTED"), &json!(130)),
            "{kind}"
        );
        let all = thngs(&mut rest, &batch);
        let serials: BTreeSet<String> = all.iter().map(|thng| text(&thng["identifiers"], "gs1:21")).collect();
        assert_eq!((all.len(), serials.len()), (130, 130), "{kind}: each entry once");
        for thng in &all {
            assert_eq!(thng["identifiers"]["lot"], "L1", "{thng}");
        }
        let one = rest.get(&format!("/thngs?filter=identifiers.gs1:21={kind}-77")).expect(200);
        assert_eq!(one.as_array().map(Vec::len), Some(1), "{kind}");
        assert_eq!(one[0]["identifiers"], json!({"gs1:21": format!("{kind}-77"), "odd": "yes", "lot": "L1"}));
    }
}

#[test]
fn an_impossible_task_is_refused_with_the_reason() {
    let mut rest = Server::shared().rest();
    let batch = batch(&mut rest);
    let path = format!("{batch}/tasks");
    let with = |input: Value| json!({"type": "POPULATING", "inputParameters": input});
    let amount = |quantity: Value| {
        with(json!({"type": "FIXED_AMOUNT", "quantity": quantity, "thngTemplate": {"name": "n"}}))
    };
    let list = |data: Value| {
        with(json!({"type": "IDENTIFIERS_LIST_BASED", "inputData": data, "thngTemplate": {"name": "n"}}))
    };
    let template =
        |template: Value| with(json!({"type": "FIXED_AMOUNT", "quantity": 1, "thngTemplate": template}));
    let thng = rest.thng();
    for (task, named) in [
        (json!({}), "inputParameters"),
        (json!({"type": "POPULATING"}), "inputParameters"),
        (json!({"inputParameters": amount(json!(1))["inputParameters"]}), "type"),
        (json!({"type": "POPULATING", "inputParameters": []}), "inputParameters"),
        (json!({"type": "SHORT_ID_GENERATION", "inputParameters": {}}), "type"),
        (json!({"type": "populating", "inputParameters": {}}), "type"),
        (with(json!({})), "inputParameters."),
        (with(json!({"thngTemplate": {"name": "n"}})), "inputParameters.type"),
        (with(json!({"type": "FILE_BASED", "thngTemplate": {"name": "n"}})), "inputParameters.type"),
        (amount(json!(0)), "quantity"),
        (amount(json!(-1)), "quantity"),
        (amount(json!(1.5)), "quantity"),
        (amount(json!("5")), "quantity"),
        (amount(json!(1_000_001)), "quantity"),
        (amount(json!(null)), "quantity"),
        (list(json!([])), "inputData"),
        (list(json!({})), "inputData"),
        (list(json!(null)), "inputData"),
        (list(json!(["a"])), "inputData"),
        (list(json!([{"gs1:21": [7]}])), "inputData"),
        (list(json!([{"gs1:21": "7"}, 8])), "inputData"),
        (template(json!({})), "thngTemplate"),
        (template(json!({"name": ""})), "thngTemplate"),
        (template(json!({"name": "n", "tags": "t"})), "thngTemplate"),
        (template(json!([])), "thngTemplate"),
        (template(json!({"name": "n", "product": UNKNOWN})), "product"),
        (template(json!({"name": "n", "product": thng})), "product"),
        (template(json!({"name": "n", "collections": [UNKNOWN]})), "collections"),
        (
            with(json!({
                "type": "FIXED_AMOUNT", "quantity": 1, "thngTemplate": {"name": "n"}, "generateThngs": false
            })),
            "generateThngs",
        ),
    ] {
        let answer = rest.post(&path, task.clone());
        assert_eq!(answer.status, 400, "{task}: {}", answer.text());
        let refusal = answer.json();
        let sentences: Vec<&str> =
            refusal["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(sentences.iter().any(|sentence| sentence.contains(named)), "{task}: {sentences:?}");
    }
    let fine = || populating(1, json!({"name": "n"}));
    rest.post(&format!("{path}?project={UNKNOWN}"), fine()).assert_status(400);
    rest.post(&format!("/batches/{UNKNOWN}/tasks"), fine()).assert_status(404);
    rest.post(&format!("/batches/{thng}/tasks"), fine()).assert_status(404);
    assert_eq!(rest.get(&path).expect(200), json!([]), "none of them was begun");
    assert_eq!(count(&mut rest, &batch), 0);
    assert_eq!(rest.get(&batch).expect(200)["status"], "EMPTY");
}

#[test]
fn a_task_is_found_below_its_own_batch_only() {
    let mut rest = Server::shared().rest();
    let (own, other) = (batch(&mut rest), batch(&mut rest));
    let task = start(&mut rest, &own, populating(1, json!({"name": "n"})));
    ended(&mut rest, &task);
    for wrong in [&*other, &*format!("/batches/{UNKNOWN}")] {
        let path = format!("{wrong}/tasks/{}", id_of(&task));
        rest.get(&path).assert_status(404);
        rest.get(&format!("{path}/logs")).assert_status(404);
    }
    assert_eq!(rest.get(&format!("{other}/tasks")).expect(200), json!([]));
    rest.get(&format!("/batches/{UNKNOWN}/tasks")).assert_status(404);
    rest.get(&format!("{own}/tasks/{UNKNOWN}")).assert_status(404);
}

#[test]
fn the_end_of_a_task_is_notified_on_batch_and_task() {
    let server = Server::start();
    let mut rest = server.rest();
    let batch = batch(&mut rest);
    let tasks = format!("{batch}/tasks");
    let mut client = Client::connect(&server);
    client.subscribed(&tasks, QoS::AtLeastOnce);
    let task = start(&mut rest, &batch, populating(5_000, json!({"name": "n"})));
    client.subscribed(&task, QoS::AtLeastOnce);
    assert!(!has_ended(&rest.get(&task).expect(200)), "the subscription came before the end");

    let mut end = ended(&mut rest, &task);
    let mut notified = [client_message(&mut client), client_message(&mut client)];
    notified.sort_by_key(|(topic, _)| topic.len());
    assert_eq!(end["status"], "EXECUTED");
    // What it was to make may be large: it is read by REST.
    end.as_object_mut().expect("an object").remove("inputParameters");
    let [by_batch, by_task] = notified;
    assert_eq!((&*by_batch.0, &*by_task.0), (&*tasks, &*task));
    for (topic, mut document) in [by_batch, by_task] {
        document.as_object_mut().expect("an object").remove("inputParameters");
        assert_eq!(document, end, "on {topic}: the document as REST shows it");
    }

    // The notifications of the next task come after all of the first.
    let next = start(&mut rest, &batch, populating(1, json!({"name": "n"})));
    let (topic, document) = client_message(&mut client);
    assert_eq!((topic, text(&document, "id")), (tasks, id_of(&next).to_owned()));
    client.assert_nothing_else();
}

#[track_caller]
fn client_message(client: &mut Client) -> (String, Value) {
    let message = client.message();
    (message.topic.clone(), message.json())
}

#[test]
fn tasks_are_notified_only_to_readers_of_their_batch() {
    let server = Server::shared();
    let mut rest = server.rest();
    let batch = batch(&mut rest);
    let task = start(&mut rest, &batch, populating(1, json!({"name": "n"})));
    let project = rest.project();
    let application = rest.application(&project);
    let token = rest.access_token(&["batches:read", "batches.tasks:read,list"], &[]);
    for (key, may) in [(&application.secret_key, false), (&application.public_key, false), (&token.key, true)]
    {
        let mut client = Client::connect_as(server, &Hello::with_key(key));
        for topic in [format!("{batch}/tasks"), task.clone()] {
            let granted = client.subscribe(&topic, QoS::AtMostOnce) == SubAckCode::Granted(QoS::AtMostOnce);
            assert_eq!(granted, may, "{topic}");
        }
    }
    let mut client = Client::connect(server);
    let unknown = client.subscribe(&format!("/batches/{UNKNOWN}/tasks"), QoS::AtMostOnce);
    assert_eq!(unknown, SubAckCode::Refused);
}

#[test]
fn other_requests_are_answered_while_a_task_is_at_work() {
    let server = Server::start();
    let mut rest = server.rest();
    let batch = batch(&mut rest);
    let other = rest.thng();
    let task = start(&mut rest, &batch, populating(5_000, json!({"name": "n"})));
    let mut answered = 0;
    while !has_ended(&rest.get(&task).expect(200)) {
        rest.get(&format!("/thngs/{other}")).assert_status(200);
        rest.put(&format!("/thngs/{other}/properties/k"), json!([{"value": answered}])).assert_status(200);
        rest.get("/thngs?perPage=5").assert_status(200);
        rest.post("/thngs", json!({"name": "meanwhile"})).assert_status(201);
        rest.post("/actions/scans", json!({"thng": other})).assert_status(201);
        answered += 1;
    }
    assert!(answered >= 5, "{answered} rounds of requests during the whole task");
    assert_eq!(rest.get(&task).expect(200)["status"], "EXECUTED");
}

#[test]
fn a_small_task_does_not_wait_for_a_large_one() {
    let server = Server::start();
    let mut rest = server.rest();
    let (large_batch, small_batch) = (batch(&mut rest), batch(&mut rest));
    let large = start(&mut rest, &large_batch, populating(50_000, json!({"name": "n"})));
    let small = start(&mut rest, &small_batch, populating(10, json!({"name": "n"})));
    assert_eq!(ended(&mut rest, &small)["status"], "EXECUTED");
    assert_eq!(rest.get(&large).expect(200)["status"], "EXECUTING");
    assert_eq!(count(&mut rest, &small_batch), 10);
}

#[test]
fn a_task_of_a_deleted_batch_ends_and_the_next_one_runs() {
    let server = Server::start();
    let mut rest = server.rest();
    let (gone, remaining) = (batch(&mut rest), batch(&mut rest));
    let task = start(&mut rest, &gone, populating(20_000, json!({"name": "n"})));
    until("some thngs are there", || (made(&rest.get(&task).expect(200)) > 0).then_some(()));
    rest.delete(&gone).assert_status(200);
    for path in [&*gone, &*task, &*format!("{gone}/tasks"), &*format!("{task}/logs")] {
        rest.get(path).assert_status(404);
    }
    let small = || populating(150, json!({"name": "n"}));
    let next = start(&mut rest, &remaining, small());
    assert_eq!(ended(&mut rest, &next)["status"], "EXECUTED");
    let left = thngs(&mut rest, &gone).len();
    assert!(left < 20_000, "{left}");
    let server = server.restart();
    let mut rest = server.rest();
    let next = start(&mut rest, &remaining, small());
    assert_eq!(ended(&mut rest, &next)["status"], "EXECUTED");
    assert_eq!(thngs(&mut rest, &gone).len(), left, "nothing more is made for a batch that is gone");
    assert_eq!(count(&mut rest, &remaining), 300);
}

#[test]
fn a_repeatedly_killed_task_creates_each_of_20_000_thngs_once() {
    const QUANTITY: u64 = 20_000;
    let mut random = random();
    let mut server = Server::start();
    let mut rest = server.rest();
    let batch = batch(&mut rest);
    let product = rest.id_of("/products", json!({"name": "p"}));
    let task = start(&mut rest, &batch, populating(QUANTITY, json!({"name": "n", "product": product})));
    let mut before = 0;
    for round in 0..5 {
        let target = before + random.u64(1..2_000);
        let there = until(format!("{target} thngs are there"), || {
            Some(made(&rest.get(&task).expect(200))).filter(|there| *there >= target)
        });
        eprintln!("round {round}: kill -9 when there were {there}");
        server.kill9();
        server = server.restart();
        rest = server.rest();
        before = made(&rest.get(&task).expect(200));
        assert!(before >= there, "{there} had been seen, {before} are left");
    }
    assert!(before < QUANTITY, "it was killed in the middle");
    let end = ended(&mut rest, &task);
    assert_eq!(end["status"], "EXECUTED", "{end}");
    assert_eq!((made(&end), &end["result"]["totalThngsCreated"]), (QUANTITY, &json!(QUANTITY)));
    let all = thngs(&mut rest, &batch);
    let ids: BTreeSet<String> = all.iter().map(|thng| text(thng, "id")).collect();
    assert_eq!((all.len() as u64, ids.len() as u64), (QUANTITY, QUANTITY), "walked page by page");
    let batch = rest.get(&batch).expect(200);
    assert_eq!(batch["resourceCountsByProduct"], json!({ &product: QUANTITY }));
    assert_eq!(batch["status"], "COMPLETE");
}

#[test]
fn totals_count_all_items_with_and_without_a_filter() {
    const QUANTITY: u64 = 10_150;
    let server = Server::start();
    let mut rest = server.rest();
    let batch = batch(&mut rest);
    let task = start(&mut rest, &batch, populating(QUANTITY, json!({"name": "n"})));
    ended(&mut rest, &task);
    let all = rest.get("/thngs?perPage=1&withTotalCount=true");
    assert_eq!(all.header("x-result-count"), Some(&*QUANTITY.to_string()));
    assert_eq!(count(&mut rest, &batch), QUANTITY);
    assert_eq!(thngs(&mut rest, &batch).len() as u64, QUANTITY, "the pages hold all of them");
}

#[test]
fn a_task_fails_when_its_key_is_revoked() {
    const QUANTITY: u64 = 100_000;
    const REASON: &str = "The API key that created this task was revoked.";
    let server = Server::start();
    let mut rest = server.rest();
    let token = rest.access_token(&["batches:*", "thngs:*"], &[]);
    let mut limited = server.rest_as(&token.key);
    let batch = batch(&mut limited);
    let mut client = Client::connect(&server);
    client.subscribed(&format!("{batch}/tasks"), QoS::AtLeastOnce);
    let task = start(&mut limited, &batch, populating(QUANTITY, json!({"name": "n"})));
    until("it has begun", || (rest.get(&task).expect(200)["status"] == "EXECUTING").then_some(()));
    rest.delete(&format!("/accessTokens/{}", token.id)).assert_status(204);
    let failed = ended(&mut rest, &task);
    assert_eq!((&failed["status"], &failed["result"]["error"]), (&json!("FAILED"), &json!(REASON)));
    let made = failed["result"]["totalThngsCreated"].as_u64().expect("a number");
    assert!((1..QUANTITY).contains(&made), "{made} were made before");
    assert_eq!(rest.get(&batch).expect(200)["status"], "COMPLETE");
    assert_eq!(client.message().json()["status"], "FAILED");
    // Another operator's key is none of its business.
    let other = rest.operator(json!({"role": "admin"}));
    let task = start(&mut rest, &batch, populating(1_000, json!({"name": "n"})));
    rest.delete(&format!("/accounts/{}/accesses/{}", account(&server), other.id)).assert_status(204);
    assert_eq!(ended(&mut rest, &task)["status"], "EXECUTED");
}

fn account(server: &Server) -> String {
    server.rest().account()
}
