"""docs/openapi.yaml as a checker: enough of JSON Schema for the schemas that stand in it."""

import re
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[2]
DOCUMENT = yaml.safe_load((TOP / "docs/openapi.yaml").read_text())
METHODS = {"get", "post", "put", "delete", "patch", "head"}
KNOWN_KEYWORDS = {
    "$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "oneOf", "description",
    "default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
}
TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
}


def resolve(node):
    while isinstance(node, dict) and "$ref" in node:
        target = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def is_type(value, name):
    if name == "integer" and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[name])


def problems(value, schema, where="$"):
    """Everything that is wrong with the value, as texts."""
    schema = resolve(schema)
    assert set(schema) <= KNOWN_KEYWORDS, f"{where}: this checker does not know {set(schema) - KNOWN_KEYWORDS}"
    found = []
    types = schema.get("type")
    if types is not None:
        types = [types] if isinstance(types, str) else types
        if not any(is_type(value, name) for name in types):
            return [f"{where}: {value!r} is not {types}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    if "oneOf" in schema and sum(not problems(value, part, where) for part in schema["oneOf"]) != 1:
        found.append(f"{where}: {value!r} does not fit exactly one form")
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{where}: {value!r} is too small")
    if "maximum" in schema and value > schema["maximum"]:
        found.append(f"{where}: {value!r} is too big")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            found += problems(item, schema["items"], f"{where}[{index}]")
    if isinstance(value, dict):
        found += [f"{where}: {key} is missing" for key in schema.get("required", []) if key not in value]
        more = schema.get("additionalProperties", True)
        for key, item in value.items():
            if key in schema.get("properties", {}):
                found += problems(item, schema["properties"][key], f"{where}.{key}")
            elif more is False:
                found.append(f"{where}: {key} is not in the schema")
            elif isinstance(more, dict):
                found += problems(item, more, f"{where}.{key}")
    return found


def operations():
    """(method, path, operation, parameters) of all of them."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                parameters = [resolve(p) for p in item.get("parameters", []) + operation.get("parameters", [])]
                yield method.upper(), path, operation, parameters


def check(method, path, status, body):
    """Asserts that an answer of this path (without its query) is one that the document promises."""
    for other_method, pattern, operation, _ in operations():
        shape = re.sub(r"\{\w+\}", "[^/]*", pattern)
        if other_method == method and re.fullmatch(shape, path):
            break
    else:
        assert status in (404, 405), f"{method} {path} is not in the document, and was answered with {status}"
        operation = {"responses": {"default": {"$ref": "#/components/responses/Error"}}}
    response = resolve(operation["responses"].get(str(status), operation["responses"].get("default")))
    assert response is not None, f"{method} {path}: {status} is not in the document"
    schema = response["content"]["application/json"]["schema"]
    found = problems(body, schema)
    assert not found, "; ".join(found)
