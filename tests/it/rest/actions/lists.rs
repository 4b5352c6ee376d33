//! The lists that an action is in, their order and their filters.

use serde_json::json;
use thng_pubsub_tests::{Rest, Server};

use super::world::{UNKNOWN, World, encode, id_of, ids};

#[test]
fn below_a_resource_an_unknown_type_is_404_to_read_too() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    for path in world.paths().iter().filter(|path| *path != "/actions") {
        rest.get(&format!("{path}/_unheard%20of")).assert_status(404);
        assert_eq!(rest.get(&format!("{path}/checkins")).expect(200), json!([]));
    }
}

#[test]
fn every_list_that_an_action_belongs_to_shows_it_and_no_other() {
    let server = Server::start();
    let mut rest = server.rest();
    let world = World::new(&mut rest);
    let elsewhere = World::new(&mut rest);
    let (thng, product, [first, second]) = (&world.thng, &world.product, &world.collections);
    rest.create(&format!("/thngs/{}/actions/_turned", elsewhere.thng), json!({}));
    let root = "/actions".to_owned();
    let of_thng = format!("/thngs/{thng}/actions");
    let of_product = format!("/products/{product}/actions");
    let of_first = format!("/collections/{first}/actions");
    let of_second = format!("/collections/{second}/actions");

    for (path, sent, shown_at) in [
        (&root, json!({}), vec![&root]),
        (&root, json!({"product": product}), vec![&root, &of_product]),
        (&root, json!({"collection": first}), vec![&root, &of_first]),
        (&root, json!({"thng": thng}), vec![&root, &of_thng, &of_product, &of_first, &of_second]),
        (&of_thng, json!({}), vec![&root, &of_thng, &of_product, &of_first, &of_second]),
        (&of_product, json!({}), vec![&root, &of_product]),
        (&of_second, json!({}), vec![&root, &of_second]),
        (&of_second, json!({"thng": thng}), vec![&root, &of_thng, &of_product, &of_first, &of_second]),
    ] {
        for action_type in ["_turned", "scans"] {
            let created = rest.create(&format!("{path}/{action_type}"), sent.clone());
            let other_type = if action_type == "scans" { "_turned" } else { "scans" };
            for list in world.paths() {
                let shows = |rest: &mut Rest, of_type: &str| {
                    ids(rest, &format!("{list}/{of_type}")).contains(&id_of(&created))
                };
                let expected = shown_at.contains(&&list);
                assert_eq!(shows(&mut rest, "all"), expected, "{list}/all of {sent} to {path}");
                assert_eq!(
                    shows(&mut rest, action_type),
                    expected,
                    "{list}/{action_type} of {sent} to {path}"
                );
                assert!(!shows(&mut rest, other_type), "{list}/{other_type}");
            }
            for list in elsewhere.paths().iter().filter(|list| **list != root) {
                assert!(!ids(&mut rest, &format!("{list}/all")).contains(&id_of(&created)), "{list}");
            }
        }
    }
}

#[test]
fn an_action_stays_in_the_collections_that_its_thng_was_in() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let action = rest.create(&format!("/thngs/{}/actions/scans", world.thng), json!({}));
    let later = rest.id_of("/collections", json!({"name": "later"}));
    rest.delete(&format!("/collections/{}/thngs", world.collections[0])).assert_status(200);
    rest.put(&format!("/collections/{later}/thngs"), json!([world.thng])).assert_status(200);
    let shown = ids(&mut rest, &format!("/collections/{}/actions/all", world.collections[0]));
    assert_eq!(shown, [id_of(&action)]);
    assert_eq!(rest.get(&format!("/collections/{later}/actions/all")).expect(200), json!([]));
}

#[test]
fn an_action_is_in_the_requested_project() {
    let mut rest = Server::shared().rest();
    let project = rest.project();
    let thng = rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let lists =
        ["/actions/all".to_owned(), "/actions/scans".to_owned(), format!("/thngs/{thng}/actions/scans")];
    let mut created = Vec::new();
    for list in &lists {
        for unknown in [UNKNOWN, &thng] {
            let answer = rest.post(&format!("{list}?project={unknown}"), json!({"type": "scans"}));
            assert!([400, 404].contains(&answer.status), "{list}?project={unknown}: {}", answer.text());
        }
        let action =
            rest.create(&format!("{list}?project={project}&withScopes=true"), json!({"type": "scans"}));
        assert_eq!(action["scopes"]["projects"], json!([project]));
        assert_eq!(action["createdByProject"], *project);
        created.insert(0, id_of(&action));
    }
    assert_eq!(ids(&mut rest, &format!("/actions/all?project={project}")), created);
    assert_eq!(ids(&mut rest, &format!("/actions/scans?project={project}&perPage=1")), created);
    assert_eq!(ids(&mut rest, &format!("/thngs/{thng}/actions/all?project={project}")), created[..1]);
}

#[test]
fn a_list_is_read_newest_first_despite_changes() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let create = |rest: &mut Rest, n: u64| {
        let sent = json!({"type": "_turned", "timestamp": 9_000 - n});
        id_of(&rest.create(&format!("/thngs/{}/actions/all", world.thng), sent))
    };
    let oldest_first: Vec<_> = (0..6).map(|n| create(&mut rest, n)).collect();
    let mut newest_first = oldest_first.clone();
    newest_first.reverse();
    for path in world.paths().iter().filter(|path| *path != "/actions") {
        for action_type in ["all", "_turned"] {
            let list = format!("{path}/{action_type}");
            assert_eq!(ids(&mut rest, &list), newest_first, "by creation and not by timestamp");
            let sizes: Vec<_> = rest.parts(&format!("{list}?perPage=2")).iter().map(Vec::len).collect();
            assert_eq!(sizes, [2, 2, 2], "the last part is full, and has no link");
            assert_eq!(ids(&mut rest, &format!("{list}?perPage=1")), newest_first);
            assert_eq!(ids(&mut rest, &format!("{list}?perPage=4&sortOrder=ASCENDING")), oldest_first);
        }
    }
    let first = rest.get(&format!("/actions/all?perPage=2&filter=thng%3D{}", world.thng));
    let second = rest.next(&first).expect("there is more");
    create(&mut rest, 10);
    rest.delete(&format!("/actions/all/{}", newest_first[1])).assert_status(200);
    rest.delete(&format!("/actions/all/{}", newest_first[3])).assert_status(200);
    let expected = [&newest_first[2], &newest_first[4], &newest_first[5]].map(Clone::clone);
    assert_eq!(ids(&mut rest, &second), expected);
}

#[test]
fn a_list_is_filtered_by_everything_that_the_reference_names() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let other = rest.thng();
    let all = [
        json!({"type": "scans", "thng": world.thng, "timestamp": 1_000, "tags": ["red"], "identifiers": {"gs1:21": "a&b (1)"}}),
        json!({"type": "_turned", "product": world.product, "timestamp": 2_000, "tags": ["blue", "round"]}),
        json!({"type": "checkins", "collection": world.collections[0], "timestamp": 3_000, "customFields": {"n": 7}}),
        json!({"type": "scans", "thng": other, "timestamp": 4_000, "tags": ["round"], "identifiers": {"gs1:21": "2"}}),
    ];
    let created: Vec<_> = all.iter().map(|sent| id_of(&rest.create("/actions/all", sent.clone()))).collect();
    let among = created.join(",");
    let (thng, product, collection) = (&world.thng, &world.product, &world.collections[0]);
    for (filter, expected) in [
        (format!("thng={thng}"), &[0][..]),
        (format!("thng={thng},{other}"), &[3, 0]),
        (format!("thng!={thng}"), &[3, 2, 1]),
        (format!("product={product}"), &[1, 0]),
        (format!("collection={collection}"), &[2, 0]),
        ("type=scans".to_owned(), &[3, 0]),
        ("type=scans,checkins".to_owned(), &[3, 2, 0]),
        ("type~SCAN".to_owned(), &[3, 0]),
        ("tags=red,round".to_owned(), &[3, 1, 0]),
        ("tags!=round".to_owned(), &[2, 0]),
        ("identifiers.gs1:21=2".to_owned(), &[3]),
        ("identifiers.gs1:21=a&b (1)".to_owned(), &[0]),
        ("timestamp>2000".to_owned(), &[3, 2]),
        ("timestamp>=2000&timestamp<4000".to_owned(), &[2, 1]),
        ("timestamp<=1000|timestamp=4000".to_owned(), &[3, 0]),
        ("createdAt>0".to_owned(), &[3, 2, 1, 0]),
        ("createdAt<1000".to_owned(), &[]),
        ("customFields.n=7".to_owned(), &[2]),
        ("context.city=London".to_owned(), &[]),
        ("context.countryCode=GB".to_owned(), &[]),
        ("user=Uabcdefghkmnpqrstwxy0123".to_owned(), &[]),
        (format!("(type=scans|tags=blue)&product={product}"), &[1, 0]),
    ] {
        let expected: Vec<_> = expected.iter().map(|n: &usize| created[*n].clone()).collect();
        let list = format!("/actions/all?ids={among}&filter={}", encode(&filter));
        assert_eq!(ids(&mut rest, &list), expected, "{filter}");
        assert_eq!(ids(&mut rest, &format!("{list}&perPage=1")), expected, "{filter}, one by one");
    }
    let refusal = rest.get("/actions/all?filter=colour%3Dred").expect(400);
    let sentence = refusal["errors"][0].as_str().expect("a sentence");
    for field in [
        "type",
        "user",
        "thng",
        "product",
        "collection",
        "tags",
        "identifiers",
        "timestamp",
        "context.city",
        "context.countryCode",
    ] {
        assert!(sentence.contains(field), "{field}: {sentence}");
    }
}

#[test]
fn an_action_is_read_and_deleted_under_its_own_subject_only() {
    let mut rest = Server::shared().rest();
    let (world, elsewhere) = (World::new(&mut rest), World::new(&mut rest));
    for own in world.paths() {
        for action_type in ["all", "_turned"] {
            let action = rest.create(&format!("/thngs/{}/actions/_turned", world.thng), json!({}));
            let id = id_of(&action);
            let mut foreign: Vec<_> =
                elsewhere.paths().iter().skip(1).map(|path| format!("{path}/all")).collect();
            foreign.extend(elsewhere.paths().iter().skip(1).map(|path| format!("{path}/_turned")));
            foreign.extend(world.paths().iter().map(|path| format!("{path}/scans")));
            for path in foreign {
                rest.get(&format!("{path}/{id}")).assert_status(404);
                rest.delete(&format!("{path}/{id}")).assert_status(404);
            }
            let path = format!("{own}/{action_type}/{id}");
            assert_eq!(rest.get(&path).expect(200), action);
            let answer = rest.delete(&path);
            answer.assert_status(200);
            assert_eq!(answer.text(), "");
            for own in world.paths() {
                rest.get(&format!("{own}/all/{id}")).assert_status(404);
                assert!(
                    !ids(&mut rest, &format!("{own}/_turned?filter=thng%3D{}", world.thng)).contains(&id)
                );
            }
            rest.delete(&path).assert_status(404);
        }
    }
}
