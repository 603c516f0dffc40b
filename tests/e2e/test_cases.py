"""Runs docs/cases.json, which says itself how it is read, by a plain HTTP client."""
import json
import re

import httpx
import pytest

from conftest import REQUEST_SECONDS_MAX, ROOT, Server

FILE = json.loads((ROOT / "docs/cases.json").read_text())
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def used(pattern):
    """`pattern` with the named one that it begins from."""
    while isinstance(pattern, dict) and "$use" in pattern:
        pattern = {**FILE["patterns"][pattern["$use"]], **{key: value for key, value in pattern.items() if key != "$use"}}
    return pattern


def list_problems(pattern, got, at):
    index = 0
    for entry in pattern:
        some = isinstance(entry, dict) and "$some" in entry
        if index == len(got):
            return [f"{at}[{index}]: missing, {entry!r}"]
        if problems := differences(entry["$some"] if some else entry, got[index], f"{at}[{index}]"):
            return problems
        index += 1
        while some and index < len(got) and not differences(entry["$some"], got[index], at):
            index += 1
    return [] if index == len(got) else [f"{at}[{index}]: not expected, {got[index]!r}"]


def matcher_problems(kind, pattern, got, at):
    value, is_number = pattern[kind], isinstance(got, (int, float)) and not isinstance(got, bool)
    if kind == "$json":
        return differences(value, json.loads(got), f"{at} (JSON)") if isinstance(got, str) else [f"{at}: a string of JSON, got {got!r}"]
    if kind == "$each":
        if not isinstance(got, list) or len(got) != pattern.get("count", len(got)):
            return [f"{at}: a list of {pattern.get('count', 'any')} entries, got {got!r}"]
        return [problem for i, entry in enumerate(got) for problem in differences(value, entry, f"{at}[{i}]")]
    fits = {"$any": lambda: True,
            "$type": lambda: is_number and isinstance(got, TYPES[value]) if value in ("integer", "number") else isinstance(got, TYPES[value]),
            "$matches": lambda: isinstance(got, str) and re.fullmatch(value, got, flags=re.S),
            "$near": lambda: is_number and abs(got - value) <= pattern["by"]}[kind]()
    return [] if fits else [f"{at}: {pattern!r}, got {got!r}"]


def differences(pattern, got, at="reply"):
    """Where `got` is not what `pattern` describes; the rules are in the file."""
    pattern = used(pattern)
    if isinstance(pattern, list):
        return list_problems(pattern, got, at) if isinstance(got, list) else [f"{at}: a list, got {got!r}"]
    if not isinstance(pattern, dict):
        return [] if pattern == got and isinstance(pattern, bool) == isinstance(got, bool) else [f"{at}: {pattern!r}, got {got!r}"]
    if kinds := [key for key in pattern if key.startswith("$")]:
        return matcher_problems(kinds[0], pattern, got, at)
    if not isinstance(got, dict):
        return [f"{at}: an object, got {got!r}"]
    members = {key: value for key, value in pattern.items() if key != "..."}
    problems = [f"{at}.{key}: missing" for key in members.keys() - got.keys()]
    problems += [] if "..." in pattern else [f"{at}.{key}: not expected, {got[key]!r}" for key in got.keys() - members.keys()]
    return problems + [problem for key in members.keys() & got.keys() for problem in differences(members[key], got[key], f"{at}.{key}")]


def expanded(request):
    if isinstance(request, dict):
        return request["text"] * request["$times"] if "$times" in request else {key: expanded(value) for key, value in request.items()}
    return [expanded(entry) for entry in request] if isinstance(request, list) else request


@pytest.fixture(scope="module")
def url():
    _, *models = FILE["server"]
    server = Server(*[model.replace("=tests/", f"={ROOT}/tests/") for model in models], "--port", "0")
    yield server.url
    assert server.stop() == 0, server.text()


@pytest.mark.parametrize("case", FILE["cases"], ids=lambda case: case["name"])
def test_case(url, case):
    request = expanded(case.get("request"))
    content = request if isinstance(request, str) or request is None else json.dumps(request)
    reply = httpx.request(case["method"], url + case["path"], content=content, timeout=REQUEST_SECONDS_MAX,
                          headers={"content-type": "application/json", **case.get("headers", {})})
    assert reply.status_code == case["status"], reply.text
    if "events" in case:
        data = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
        got = [json.loads(line) if line.startswith("{") else line for line in data]
    else:
        got = reply.json() if reply.headers["content-type"] == "application/json" else reply.text
    problems = differences(case.get("events", case.get("response")), got)
    for name, pattern in case.get("response_headers", {}).items():
        problems += differences(pattern, reply.headers.get(name), name)
    assert not problems, "\n".join(problems) + f"\n{reply.text[:4000]}"


def test_every_route_of_the_page_has_a_case():
    page = (ROOT / "docs/api.md").read_text()
    routes = {tuple(route.split()) for row in re.findall(r"^\| (`(?:GET|POST) .*?) \|", page, flags=re.M) for route in re.findall(r"`(.*?)`", row)}
    asked = {(case["method"], case["path"]) for case in FILE["cases"]} | {("GET", "/v1/models/{id}")}
    assert len(routes) >= 13 and routes <= asked, routes - asked
    assert len({case["name"] for case in FILE["cases"]}) == len(FILE["cases"])


@pytest.mark.parametrize("pattern, wrong", [
    (1, True), (1, "1"), (None, 0), ([1], [1, 2]), ([1, 2], [1]), ({"a": 1}, {}), ({"a": 1}, {"a": 1, "b": 2}), ({"a": 1, "...": True}, {"b": 1}), ({"$type": "integer"}, 1.5),
    ({"$type": "number"}, True), ({"$matches": "a"}, "ab"), ({"$near": 1, "by": 0.1}, 1.2), ({"$each": 1, "count": 2}, [1]), ({"$each": 1}, [1, 2]), ({"$json": {"a": 1}}, '{"a":2}'),
    ([{"$some": 1}], []), ([{"$some": 1}, 2], [1, 1]), ({"$use": "model", "id": "a"}, {"id": "a"})])
def test_a_wrong_reply_is_noticed(pattern, wrong):
    assert differences(pattern, wrong)
