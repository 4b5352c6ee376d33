//! `/openapi.json` and `/docs`: that the description is whole and true, and that its page needs nothing from elsewhere.
//!
//! Which keys it says may call what is held against the server in `rest/permissions.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use thng_pubsub_tests::{Response, Rest, Server};

/// One operation: its method and path, and what the document says of it.
struct Operation {
    method: String,
    path: String,
    said: Value,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn is_open(&self) -> bool {
        self.said["security"] == json!([])
    }

    fn answers(&self, status: &str) -> bool {
        self.said["responses"].get(status).is_some()
    }
}

fn document() -> Value {
    Rest::new(Server::shared().http(), None).get("/openapi.json").expect(200)
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, said) in methods.as_object().expect("methods") {
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                said: said.clone(),
            });
        }
    }
    assert!(operations.len() > 100, "the whole of REST: {}", operations.len());
    operations
}

/// The answer at a path without a key.
#[track_caller]
fn get_without_key(path: &str, media_type: &str) -> Response {
    let answer = Rest::new(Server::shared().http(), None).send("GET", path, &[], None);
    answer.assert_status(200);
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with(media_type), "{path} is {kind}");
    answer
}

/// The texts between each `before` and the next `behind`.
fn between<'t>(text: &'t str, before: &'t str, behind: char) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(behind).next())
}

/// Everything that a document refers to by `$ref`.
fn references<'d>(value: &'d Value, found: &mut BTreeSet<&'d str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_openapi_3_1_and_needs_no_key() {
    let answer = get_without_key("/openapi.json", "application/json");
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    for pointer in ["/info/title", "/info/version"] {
        let said = document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        assert!(!said.is_empty(), "{pointer}");
    }
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "pages of other origins read it");
    let scheme = &document["components"]["securitySchemes"]["apiKey"];
    assert_eq!(
        (&scheme["type"], &scheme["in"], &scheme["name"]),
        (&json!("apiKey"), &json!("header"), &json!("Authorization"))
    );
    assert_eq!(document["security"], json!([{"apiKey": []}]));
}

#[test]
fn every_operation_has_a_unique_name_a_tag_and_a_summary() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str()).collect();
    let operations = operations(&document);
    let mut names = BTreeSet::new();
    for operation in &operations {
        let id = operation.said["operationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty() && names.insert(id), "{}: operationId {id:?}", operation.name());
        assert!(
            operation.said["summary"].as_str().is_some_and(|said| !said.is_empty()),
            "{}",
            operation.name()
        );
        let own: Vec<_> =
            operation.said["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(!own.is_empty() && own.iter().all(|tag| tags.contains(tag)), "{}: {own:?}", operation.name());
    }
}

#[test]
fn every_parameter_of_a_path_is_described_and_no_other() {
    for operation in operations(&document()) {
        let in_path: BTreeSet<&str> = between(&operation.path, "{", '}').collect();
        let parameters = operation.said["parameters"].as_array().cloned().unwrap_or_default();
        let described = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let described: BTreeSet<&str> =
            described.map(|parameter| parameter["name"].as_str().expect("a name")).collect();
        assert_eq!(described, in_path, "{}", operation.name());
        assert!(
            parameters.iter().all(|one| one["in"] != "path" || one["required"] == true),
            "{}",
            operation.name()
        );
    }
}

#[test]
fn every_operation_lists_its_success_and_its_errors() {
    let mut faults = Vec::new();
    for operation in operations(&document()) {
        let name = operation.name();
        let responses = operation.said["responses"].as_object().expect("responses");
        let successes = responses.keys().filter(|status| status.starts_with('2')).count();
        // A commission is answered with 200 where other actions are with 201.
        let actions = operation.method == "POST" && operation.path.contains("/actions/");
        if successes == 0 || successes > 1 && !actions {
            faults.push(format!("{name}: {successes} successes"));
        }
        let mut due = vec!["400"];
        if !operation.is_open() {
            due.extend(["401", "403", "404", "413", "415", "503"]);
        }
        if !operation.is_open() && operation.said.get("requestBody").is_some() {
            due.push("409");
        }
        faults.extend(
            due.iter()
                .filter(|status| !operation.answers(status))
                .map(|status| format!("{name}: {status} is not said")),
        );
        if operation.is_open() && (operation.answers("401") || operation.answers("403")) {
            faults.push(format!("{name}: needs no key"));
        }
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            let schema = &response["content"]["application/json"]["schema"]["$ref"];
            if schema != "#/components/schemas/Error" {
                faults.push(format!("{name}: {status} is {schema}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_list_says_its_link_and_a_creation_its_location() {
    for operation in operations(&document()) {
        let parameters = operation.said["parameters"].as_array().cloned().unwrap_or_default();
        let is_paged = parameters.iter().any(|parameter| parameter["name"] == "perPage");
        let headers = |status: &str| operation.said["responses"][status]["headers"].clone();
        if is_paged {
            assert!(headers("200").get("link").is_some(), "{}", operation.name());
        }
        if operation.answers("202") {
            assert!(headers("202").get("location").is_some(), "{}", operation.name());
        }
    }
}

#[test]
fn every_reference_leads_to_something_in_the_document() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 40, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn routes_without_parameters_answer_as_described() {
    let server = Server::shared();
    let mut rest = server.rest();
    for operation in operations(&document()) {
        if operation.method != "GET" || operation.path.contains('{') || operation.path.contains("/me/") {
            continue;
        }
        // An operator belongs to no application.
        let status = if operation.path == "/applications/me" { 404 } else { 200 };
        let answer = rest.get(&operation.path);
        assert_eq!(answer.status, status, "{}", operation.name());
        assert!(operation.answers(&answer.status.to_string()), "{}", operation.name());
        let schema = &operation.said["responses"]["200"]["content"]["application/json"]["schema"];
        let is_list = schema["type"] == "array";
        assert!(!is_list || answer.json().is_array(), "{}", operation.name());
    }
}

#[test]
fn every_list_that_says_it_counts_its_items_does() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (account, project, batch) =
        (rest.account(), rest.project(), rest.id_of("/batches", json!({"name": "b"})));
    let collection = rest.id_of("/collections", json!({"name": "c"}));
    let thng = rest.thng();
    let product = rest.id_of("/products", json!({"name": "p"}));
    let mut faults = Vec::new();
    for operation in operations(&document()) {
        let parameters = operation.said["parameters"].as_array().cloned().unwrap_or_default();
        if !parameters.iter().any(|parameter| parameter["name"] == "withTotalCount") {
            continue;
        }
        let path = operation.path.replace("{account}", &account).replace("{project}", &project);
        let path = path.replace("{type}", "all");
        let id = match path.split('/').nth(1) {
            Some("batches") => &batch,
            Some("collections") => &collection,
            Some("products") => &product,
            _ => &thng,
        };
        let path = path.replace("{id}", id);
        for query in ["withTotalCount=true", "page=1"] {
            let answer = rest.get(&format!("{path}?{query}&perPage=1"));
            answer.assert_status(200);
            let count = answer.header("x-result-count").and_then(|count| count.parse::<usize>().ok());
            if count.is_none_or(|count| count < answer.json().as_array().map_or(0, Vec::len)) {
                faults.push(format!("GET {path}?{query}: x-result-count is {count:?}"));
            }
        }
        let plain = rest.get(&path);
        if plain.header("x-result-count").is_some() {
            faults.push(format!("GET {path}: counted although nobody asked"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_path_has_the_methods_that_are_described_and_no_others() {
    let server = Server::shared();
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in operations(&document()) {
        methods.entry(operation.path).or_default().insert(operation.method);
    }
    let mut rest = server.rest();
    for (path, described) in methods {
        let filled: Vec<&str> = path
            .split('/')
            .map(|segment| if segment.starts_with('{') { "Uabcdefghkmnpqrstwxy0123" } else { segment })
            .collect();
        let refused = rest.send("PATCH", &filled.join("/"), &[("Authorization", server.key())], Some(b"{}"));
        refused.assert_status(405);
        let allowed: BTreeSet<String> = refused
            .header("allow")
            .expect("405 comes with Allow")
            .split(',')
            .map(|method| method.trim().to_owned())
            // Where GET is, HEAD is.
            .filter(|method| method != "HEAD")
            .collect();
        assert_eq!(allowed, described, "{path}");
    }
}

#[test]
fn the_page_of_the_document_asks_nothing_of_other_hosts() {
    let page = get_without_key("/docs", "text/html");
    let html = page.text();
    let mut addresses: Vec<&str> =
        ["src=\"", "href=\"", "action=\""].iter().flat_map(|name| between(html, name, '"')).collect();
    assert!(addresses.len() >= 3, "{addresses:?}");
    addresses.retain(|address| !address.starts_with('#'));
    for address in &addresses {
        assert!(address.starts_with('/') && !address.starts_with("//"), "{address} is elsewhere");
        let status = Rest::new(Server::shared().http(), None).send("GET", address, &[], None).status;
        assert_eq!(status, 200, "{address}");
    }
    assert!(!html.contains("://"), "no address of another host");
    for part in ["/docs/page.js", "/docs/style.css"] {
        assert!(addresses.contains(&part), "{part} in {addresses:?}");
    }
    // What the policy of the page forbids would not work.
    assert!(!html.contains("<style") && !html.contains(" style="), "no style in the page");
    let scripts = between(html, "<script", '>').collect::<Vec<_>>();
    assert!(scripts.iter().all(|script| script.contains("src=")), "no script in the page: {scripts:?}");

    let style = get_without_key("/docs/style.css", "text/css");
    for elsewhere in ["url(", "@import", "://"] {
        assert!(!style.text().contains(elsewhere), "{elsewhere} in the style");
    }
    let script = get_without_key("/docs/page.js", "text/javascript");
    // The one that it names is an example of a URL, which is never opened.
    let hosts: BTreeSet<&str> = between(script.text(), "https://", '/').collect();
    assert!(hosts.is_subset(&BTreeSet::from(["example.com"])), "{hosts:?}");
    for elsewhere in ["import(", "importScripts", "eval(", "new Function", "http://"] {
        assert!(!script.text().contains(elsewhere), "{elsewhere} in the script");
    }
}

#[test]
fn the_docs_page_has_a_strict_content_policy() {
    for (path, media_type) in
        [("/docs", "text/html"), ("/docs/page.js", "text/javascript"), ("/docs/style.css", "text/css")]
    {
        let answer = get_without_key(path, media_type);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        assert!(directives.contains(&"default-src 'self'"), "{path}: {policy:?}");
        for loose in ["unsafe-", "*", "http:", "https:", "data:"] {
            assert!(!policy.contains(loose), "{path}: {loose} in {policy:?}");
        }
    }
}

#[test]
fn a_part_that_the_page_does_not_have_is_404_as_everywhere() {
    let mut keyless = Rest::new(Server::shared().http(), None);
    for path in ["/docs/nothing.js", "/docs/../openapi.json", "/openapi.yaml"] {
        keyless.get(path).assert_status(404);
    }
}
