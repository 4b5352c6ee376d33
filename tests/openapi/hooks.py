"""Leads schemathesis to resources that exist, and says which of its complaints the OpenAPI document cannot help.

Random ids are never found, and random filters, permissions and the like are never valid, so most of what schemathesis
sends would end at 404 or 400. Before each request this file therefore puts ids of resources of its own, and examples of
what only prose describes, where they belong: into the path, the query and the body. What a request deletes, and what
cannot be used twice, is made for that one request. One generated value in eight stays as it is, and what was made
invalid on purpose is never touched.

What is chosen hangs on what was generated and on nothing else: the same seed sends the same requests.
"""

import os
import re
import secrets
import tempfile
import zlib

import hypothesis.configuration
import requests
import schemathesis
from schemathesis.core import NotSet
from schemathesis.core.parameters import ParameterLocation as In
from schemathesis.generation.meta import CoverageScenario

URL = os.environ["THNG_PUBSUB_TEST_URL"].rstrip("/")
KEY = os.environ["THNG_PUBSUB_TEST_KEY"]

ID = re.compile(r"[A-Za-z0-9]{24}")
PROPERTY = "temperature"
PASSWORD = "correct horse"
POINT = {"type": "Point", "coordinates": [8.5, 47.4]}
TASK = {"type": "FIXED_AMOUNT", "quantity": 2, "thngTemplate": {"name": "made by a task"}}

# It would leave a folder in the repository.
hypothesis.configuration.set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "thng-pubsub-hypothesis"))

http = requests.Session()


def call(method, path, body=None, key=KEY):
    """A request of our own, which must succeed."""
    answer = http.request(method, URL + path, json=body, headers={"Authorization": key}, timeout=30)
    if not answer.ok:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer


def create(path, body, key=KEY):
    return call("POST", path, body, key).json()


def unique():
    """Text that nobody had before, also not in an earlier run against the same server."""
    return secrets.token_hex(6)


def address():
    return f"{unique()}@example.com"


def named(**more):
    return {"name": f"made for a check {unique()}", **more}


def scoped(path):
    """So that it is there with `?project=` as well as without."""
    return f"{path}?project={SHARED.project}"


# --- What can be made: each is made when it is first asked for, together with what it needs. ---


class Made:
    """Resources that belong together."""

    def __init__(self):
        self.known = {}

    def __getattr__(self, name):
        if name not in self.known:
            self.known[name] = MAKERS[name](self)
        return self.known[name]


def a_thng(made):
    thng = create(scoped("/thngs"), named(properties={PROPERTY: 1}, product=made.product, tags=["checked"]))["id"]
    call("PUT", f"/thngs/{thng}/location", [{"position": POINT}])
    return thng


def an_action(below=""):
    return create(f"{below}/actions/{SHARED.action_type}", {"tags": ["checked"]})["id"]


def a_member(made):
    call("PUT", f"/collections/{made.collection}/thngs", [made.thng])
    return made.thng


def a_child(made):
    child = create(scoped("/collections"), named())["id"]
    call("PUT", f"/collections/{made.collection}/collections", [child])
    return child


def a_task(made):
    task = {"type": "POPULATING", "inputParameters": TASK}
    return call("POST", f"/batches/{made.batch}/tasks", task).headers["location"].rsplit("/", 1)[1]


def a_pending_user(made):
    body = {"email": address(), "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace"}
    return create("/auth/evrythng/users", body, SHARED.app_key)


def an_active_user(made):
    user = a_pending_user(made)
    code = {"activationCode": user["activationCode"]}
    return create(f"/auth/evrythng/users/{user['evrythngUser']}/validate", code, SHARED.app_key)


MAKERS = {
    "account": lambda made: call("GET", "/access").json()["account"],
    "own_access": lambda made: call("GET", "/me").json()["id"],
    "product": lambda made: create(scoped("/products"), named(properties={PROPERTY: 1}, tags=["checked"]))["id"],
    "thng": a_thng,
    "collection": lambda made: create(scoped("/collections"), named(tags=["checked"]))["id"],
    "member": a_member,
    "child": a_child,
    "place": lambda made: create(scoped("/places"), named(position=POINT, tags=["checked"]))["id"],
    "action_type": lambda made: create("/actions", {"name": f"_Checked{unique()}"})["name"],
    "action": lambda made: an_action(),
    "thng_action": lambda made: an_action(f"/thngs/{made.thng}"),
    "product_action": lambda made: an_action(f"/products/{made.product}"),
    "collection_action": lambda made: an_action(f"/collections/{made.collection}"),
    "batch": lambda made: create("/batches", named())["id"],
    "task": a_task,
    "project": lambda made: create("/projects", named())["id"],
    "app_document": lambda made: create(f"/projects/{made.project}/applications", named(socialNetworks={})),
    "app": lambda made: made.app_document["id"],
    "app_key": lambda made: made.app_document["appApiKey"],
    "trusted": lambda made: call("GET", f"/projects/{made.project}/applications/{made.app}/secretKey").json(),
    "trusted_key": lambda made: made.trusted["secretApiKey"],
    "pending": a_pending_user,
    "pending_user": lambda made: made.pending["evrythngUser"],
    "active": an_active_user,
    "user": lambda made: made.active["evrythngUser"],
    "user_key": lambda made: made.active["evrythngApiKey"],
    "device": lambda made: create("/auth/evrythng/thngs", {"thngId": made.thng})["thngId"],
    "role": lambda made: create("/roles", named())["id"],
    "user_role": lambda made: create("/roles", named(type="userInApp", version=2))["id"],
    "policy": lambda made: create("/accessPolicies", named(permissions=["thngs:read,list"]))["id"],
    "token": lambda made: create("/accessTokens", named(policies=[made.policy]))["id"],
    "access_document": lambda made: create(f"/accounts/{SHARED.account}/accesses", {"email": address()}),
    "access": lambda made: made.access_document["id"],
    "operator": lambda made: made.access_document["operator"],
}

SHARED = Made()

# --- Where it belongs ---


def shared(name):
    """Not made anew where the rest of the path is."""
    return lambda made: getattr(SHARED, name)


def the(value):
    return lambda made: value


def own(name):
    return lambda made: getattr(made, name)


def with_actions(kind, **more):
    return {"id": own(kind), "type": shared("action_type"), "action": own(f"{kind}_action"), **more}


# What the parameters of paths mean. The first row counts with which a path begins.
PATHS = [
    ("/thngs/{id}", with_actions("thng", key=the(PROPERTY))),
    ("/products/{id}", with_actions("product", key=the(PROPERTY))),
    ("/collections/{id}/collections", {"id": own("collection"), "member": own("child")}),
    ("/collections/{id}", with_actions("collection", member=own("member"))),
    ("/actions/{type}/{action}", {"type": shared("action_type"), "action": own("action")}),
    ("/actions/{type}", {"type": own("action_type")}),
    ("/actionTypes/{type}", {"type": own("action_type")}),
    ("/places/{id}", {"id": own("place")}),
    ("/batches/{id}", {"id": own("batch"), "task": own("task")}),
    ("/projects/{id}", {"id": own("project")}),
    ("/projects/{project}", {"project": own("project"), "id": own("app")}),
    ("/applications/{id}", {"id": own("app")}),
    ("/auth/evrythng/users/{id}", {"id": own("pending_user")}),
    ("/auth/evrythng/thngs/{id}", {"id": own("device")}),
    ("/users/{id}", {"id": own("user")}),
    ("/roles/{id}/permissions/{name}", {"id": own("role"), "name": the("global_read")}),
    ("/roles/{id}", {"id": own("user_role")}),
    ("/accessPolicies/{id}", {"id": own("policy")}),
    ("/accessTokens/{id}", {"id": own("token")}),
    ("/operators/{id}", {"id": own("operator")}),
    ("/accounts/{account}", {"account": shared("account"), "id": own("access")}),
]

QUERY = {"project": shared("project"), "app": shared("app"), "tz": the("Europe/Zurich")}

# Lists whose `ids` are filled in, and which can be changed as a whole.
LISTS = {
    "/thngs": "thng",
    "/products": "product",
    "/collections": "collection",
    "/places": "place",
    "/projects": "project",
}

# Members of bodies of which the document does not say all.
BODY = {
    "product": shared("product"),
    "thng": shared("thng"),
    "thngId": lambda made: create("/thngs", named())["id"],
    "collection": shared("collection"),
    "collections": lambda made: [SHARED.collection],
    "place": shared("place"),
    "projects": lambda made: [SHARED.project],
    "users": the(["all"]),
    "policies": lambda made: [SHARED.policy],
    "role": shared("role"),
    "defaultRole": shared("user_role"),
    "conditions": lambda made: [f"thngs:{SHARED.thng}"],
    "inputParameters": the(TASK),
    "coordinates": the(POINT["coordinates"]),
    "email": lambda made: address(),
}

# Those whose whole body is ids or the like.
BODIES = {
    "/collections/{id}/thngs": lambda made: [SHARED.thng],
    "/collections/{id}/collections": lambda made: [create("/collections", named())["id"]],
    "/roles/{id}/permissions": the([{"path": "/thngs", "access": "r"}]),
    "/auth/evrythng": lambda made: {"email": SHARED.active["email"], "password": PASSWORD},
    "/users/login": lambda made: {"email": SHARED.active["email"], "password": PASSWORD},
    "/auth/evrythng/users/{id}/validate": lambda made: {"activationCode": made.pending["activationCode"]},
}

# Where an operator's key is of no use.
KEYS = {
    "/auth/evrythng/users": shared("app_key"),
    "/auth/evrythng/users/{id}/validate": shared("app_key"),
    "/auth/evrythng": shared("app_key"),
    "/users/login": shared("app_key"),
    "/applications/me": shared("trusted_key"),
    "/applications/me/redirector": shared("trusted_key"),
    "/auth/all/logout": own("user_key"),
}

# What serves one request only.
ONCE = ("/auth/evrythng/users/{id}/validate", "/auth/all/logout")


def number(case, *more):
    """A number that hangs on the case, and is the same in every run."""
    body = None if isinstance(case.body, NotSet) else case.body
    values = (case.operation.label, case.method, case.path_parameters, case.query, body, *more)
    return zlib.crc32(repr(values).encode("utf-8", "replace"))


def is_negative(case, location):
    return case.meta is not None and case.meta.is_negative_at(location)


class Choice:
    """Seven times in eight true. Hangs on the whole case as it was generated, before ids came in: those change."""

    def __init__(self, case):
        self.seed = number(case)

    def __call__(self, *place):
        return zlib.crc32(f"{self.seed} {place}".encode()) % 8 > 0


def fill_path(case, made, chosen):
    given = case.path_parameters
    # Links of the stateful phase bring ids of their own; what belongs to those is not among ours.
    if not given or any(ID.fullmatch(str(value)) for value in given.values()):
        return
    if not chosen("path"):
        return
    row = next((row for start, row in PATHS if case.operation.path.startswith(start)), {})
    for name in given:
        if name in row:
            given[name] = row[name](made)


def fill_query(case, made, chosen):
    path, query = case.operation.path, case.query
    changes_many = path in LISTS and case.method in ("PUT", "DELETE")
    if changes_many:
        # Never a filter that finds what other requests need.
        query.pop("filter", None)
        query.setdefault("ids", "")
    for name in list(query):
        if not chosen("query", name):
            continue
        if name in QUERY:
            query[name] = QUERY[name](made)
        elif name == "ids" and path in LISTS:
            query[name] = getattr(made if changes_many else SHARED, LISTS[path])
        elif name == "filter":
            query[name] = "timestamp>1" if path.endswith(("/location", "/properties/{key}")) else "createdAt>1"
        elif name == "nextPageToken":
            del query[name]


def filled(made, chosen, value, name=None):
    if name in BODY and value is not None and chosen("body", name):
        return BODY[name](made)
    if isinstance(value, dict):
        return {key: filled(made, chosen, member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [filled(made, chosen, item) for item in value]
    # JSON Schema takes 1.0 for an integer; no client writes a time like that, and the server wants digits.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def fill_body(case, made, chosen):
    path, body = case.operation.path, case.body
    if path in BODIES and case.method != "GET" and chosen("body"):
        case.body = BODIES[path](made)
        return
    entries = body if isinstance(body, list) else [body]
    entries = [filled(made, chosen, entry) for entry in entries]
    case.body = entries if isinstance(body, list) else entries[0]
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not chosen("entry", index):
            continue
        if "/actions/{type}" in path:
            of_path = case.path_parameters["type"]
            entry["type"] = SHARED.action_type if of_path == "all" else of_path
            entry.pop("location", None)
        elif path.endswith("/properties/{key}"):
            entry.pop("key", None)
        elif path.endswith("/properties"):
            entry.setdefault("key", PROPERTY)
        elif path == "/auth/evrythng/users":
            entry.update(email=address(), password=PASSWORD)
        elif path in ("/actions", "/actionTypes"):
            entry["name"] = f"_Made{unique()}"
        elif path.startswith("/accessPolicies"):
            entry.update(named(permissions=["thngs:read,list"]))


# Of these kinds of cases the coverage phase has hundreds or thousands that are much alike: one in so many will do.
ONE_IN = {
    CoverageScenario.INCORRECT_TYPE: 12,
    CoverageScenario.OBJECT_UNEXPECTED_PROPERTIES: 4,
    CoverageScenario.VALID_OBJECT: 4,
    CoverageScenario.UNSPECIFIED_HTTP_METHOD: 3,
    CoverageScenario.OBJECT_REQUIRED_AND_OPTIONAL: 2,
    CoverageScenario.VALID_ARRAY: 2,
}


@schemathesis.hook
def filter_case(context, case):
    data = case.meta.phase.data if case.meta else None
    one_in = ONE_IN.get(getattr(data, "scenario", None), 1)
    # OPTIONS is asked of every path: its `Allow` is checked.
    return case.method == "OPTIONS" or number(case, data) % one_in == 0


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.operation.path
    made = Made() if case.method == "DELETE" or path in ONCE else SHARED
    chosen = Choice(case)
    # Cases share these.
    case.path_parameters, case.query = dict(case.path_parameters or {}), dict(case.query or {})
    if not is_negative(case, In.PATH):
        fill_path(case, made, chosen)
    if not is_negative(case, In.QUERY):
        fill_query(case, made, chosen)
    if not is_negative(case, In.BODY) and isinstance(case.body, (dict, list)):
        fill_body(case, made, chosen)
    if path in KEYS and case.headers.get("Authorization") == KEY:
        case.headers["Authorization"] = KEYS[path](made)
    # The run continues with this key: no request removes its rights, however its access was found.
    given = case.path_parameters
    if case.method in ("PUT", "DELETE") and path.startswith("/accounts/") and given.get("id") == SHARED.own_access:
        given["id"] = made.access if made is not SHARED else Made().access


# --- What the document cannot say ---

# Sentences of a 400 that is right although the request fits the document: rules that JSON Schema has no words for, in
# the order of the request. One that is not listed fails the run: either the document or the server has to change.
NOT_IN_THE_DOCUMENT = re.compile(
    r"""there\ is\ no\ such\          # an id of the right form that nothing has
    |^filter:                       # filters have a grammar of their own
    |^nextPageToken\ is\ not\ one   # only those that were given out
    |^page\ leads\ beyond           # a product of two parameters
    |^lat\ and\ lon\ go\ together
    |^tz\ is\ the\ name
    |^latitude\ and\ longitude\ go\ together
    |\ differs\ from\ the\          # the path already said it
    |^(Entry\ \d+:\ )?(key|type)\ is\ required   # the path does not say it
    |^(email|password)\ is\ a      # of users who are not anonymous
    |^activationCode\ is
    |^A\ (condition|permission)\ is\ |^Permissions\ are\ an\ array
    |:\ a\ role\ cannot\ grant\ more
    |starts\ with\ `_`             # names of action types
    |^inputParameters
    |^(Entry\ \d+:\ |location:\ )*(a\ location\ has\ a\ position|position\ is\ a\ point)
    """,
    re.VERBOSE,
)


def members(value):
    """Every member of every object in a JSON value, however deep: (object, name, value)."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield value, name, member
            yield from members(member)
    elif isinstance(value, list):
        for item in value:
            yield from members(item)


def is_taken_on_purpose(case):
    """What does not fit the document and is taken all the same, for clients that have always sent it."""
    for whole, name, value in members(case.body):
        # `null` leaves a member as it is or removes it, and an empty id removes it.
        if value is None or (value == "" and name in ("product", "thng", "collection")):
            return True
        # With a position, the other two are not looked at.
        if name in ("latitude", "longitude") and "position" in whole:
            return True
    # A flag is true or it is not.
    flags = (one.name for one in case.operation.query if one.definition["schema"].get("type") == "boolean")
    return any((case.query or {}).get(name) not in (None, True, False) for name in flags)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if "positive_data_acceptance" in failure.checks and response.status_code == 400:
        return not all(NOT_IN_THE_DOCUMENT.search(sentence) for sentence in response.json()["errors"])
    if "negative_data_rejection" in failure.checks:
        return not is_taken_on_purpose(case)
    return True


@schemathesis.hook
def after_call(context, case, response):
    """What a link led to and deleted is made anew."""
    if case.method == "DELETE" and response.status_code < 300:
        ours = {value for value in SHARED.known.values() if isinstance(value, str)}
        if ours & {str(value) for value in (case.path_parameters or {}).values()}:
            SHARED.known = {name: getattr(SHARED, name) for name in ("account", "own_access")}
