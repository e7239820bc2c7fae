"""lttle schema: what it takes and refuses, held against the examples and the files that the reader's tests use."""

import json
import subprocess

import jsonschema
import pytest
import yaml
from conftest import LTTLE, TOP

EXAMPLES = sorted((TOP / "examples").glob("*.yaml"))
DATA = TOP / "tests/unit/data"


@pytest.fixture(scope="module")
def validator(built):
    schema = json.loads(subprocess.run([LTTLE, "schema"], check=True, capture_output=True, text=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def is_taken(validator, text):
    documents = [document for document in yaml.safe_load_all(text) if document is not None]
    return all(validator.is_valid(document) for document in documents)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples(validator, path):
    for document in yaml.safe_load_all(path.read_text()):
        validator.validate(document)


def test_every_key_is_taken(validator):
    documents = list(yaml.safe_load_all((DATA / "every-key.lttle.yaml").read_text()))
    assert len(documents) == 9
    for document in documents:
        validator.validate(document)


GOOD = """
app:
  name: a
  image: i
  resources: {cpu: 1, memory: 64}
  mode: {flash: {strategy: manual, timeout: 1m30s}}
  expose: {web: {port: 80, internal: {}}}
"""


@pytest.mark.parametrize("old, new", [
    ("name: a", "name: 1a"), ("name: a", "name: a--b"), ("name: a", "name: " + "a" * 64), ("  name: a\n", ""),
    ("image: i", "imag: i"), ("cpu: 1", "cpu: 25"), ("cpu: 1", "cpu: 0"), ("cpu: 1", "cpu: '1'"), ("memory: 64", "memory: 63"),
    ("memory: 64", "disk: 64"), ("strategy: manual", "strategy: manuel"), ("strategy: manual, ", ""),
    ("strategy: manual", "strategy: nth-listen"), ("strategy: manual", "strategy: {nth-listen: 0}"),
    ("1m30s", "soon"), ("1m30s", "30s1m"), ("port: 80", "port: 65536"), ("web:", "1web:"),
    ("internal: {}", "internal: {port: x}"), ("internal: {}", "external: {}"), ("internal: {}", "external: {protocol: udp}"),
    ("internal: {}", "connection-tracking: traffic"), ("app:", "apps:"), ("app:", "machine:"),
    ("  image: i\n", ""), ("image: i", "image: i\n  build: {docker: {context: .}}"),
])
def test_refusals(validator, old, new):
    """Each of these the reader refuses as well: tests/unit/test_resource_refuse.c."""
    assert is_taken(validator, GOOD)
    assert old in GOOD
    assert not is_taken(validator, GOOD.replace(old, new))


def test_expressions_are_taken_where_values_are(validator):
    text = GOOD.replace("name: a", "name: ${{ var.name }}").replace("cpu: 1", 'cpu: "${{ var.cpu }}"')
    assert is_taken(validator, text.replace("1m30s", '"${{ var.timeout }}"'))
    assert not is_taken(validator, GOOD.replace("cpu: 1", 'cpu: "$ {{ var.cpu }}"'))
