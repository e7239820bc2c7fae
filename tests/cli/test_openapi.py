"""docs/openapi.yaml and the tables in the code say the same."""

import re
import subprocess

import openapi
from conftest import FAKE


def tables():
    lines = subprocess.run([FAKE, "--routes"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split("\t") for line in lines]


def test_every_route_is_described_and_nothing_else():
    routes = {(row[1], row[2]): (set(filter(None, row[3].split(","))), row[4]) for row in tables() if row[0] == "route"}
    described = {}
    for method, path, operation, parameters in openapi.operations():
        query = {p["name"] for p in parameters if p["in"] == "query"}
        described[method, path] = (query, operation["summary"])
    assert described == routes
    assert len(routes) == 56


def test_path_parameters_are_described():
    for _, path, _, parameters in openapi.operations():
        assert {p["name"] for p in parameters if p["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path)), path


def test_every_error_is_described():
    table = openapi.DOCUMENT["components"]["responses"]["Error"]["description"]
    described = set(re.findall(r"^\| (\d+) \| ([\w-]+) \|", table, re.M))
    codes = {(row[1], row[2]) for row in tables() if row[0] == "status"} | {("500", "failed")}
    assert described == codes
    assert {code for _, code in codes} == set(openapi.DOCUMENT["components"]["schemas"]["ErrorText"]["properties"]["code"]["enum"])


def test_every_reference_leads_somewhere():
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                assert openapi.resolve(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(openapi.DOCUMENT)


def test_the_checker_finds_faults():
    machine = {"$ref": "#/components/schemas/Machine"}
    good = {"name": "a", "namespace": "b", "phase": "ready", "since-ms": 1}
    assert openapi.problems(good, machine) == []
    assert openapi.problems({**good, "since-ms": "1"}, machine) == ["$.since-ms: '1' is not ['integer']"]
    assert openapi.problems({**good, "more": 1}, machine) == ["$: more is not in the schema"]
    assert openapi.problems({"name": "a", "namespace": "b", "phase": "c"}, machine) == ["$: since-ms is missing"]
