"""What the documents say is shown by a test: that test is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PLACES = {"e2e/": "tests/e2e/", "unit/": "tests/unit/"}


def references(document):
    """(path, test or None) for each `path` in the document, and for the `test_name`s that follow it in the same cell."""
    for cell in re.split(r"\n|(?<!`)\|", (TOP / "docs" / document).read_text()):
        path = None
        for word in re.findall(r"`([^`\s]+)`", cell):
            if re.match(r"^(e2e|unit|tests|extension)/", word):
                start = re.match(r"^\w+/", word)[0]
                path = PLACES.get(start, start) + word[len(start):]
                yield path, None
            elif re.match(r"^test_\w+$", word) and path is not None:
                yield path, word


@pytest.mark.parametrize("document", ["reliability.md"])
def test_the_tests_that_a_document_names_are_there(document):
    found = list(references(document))
    assert len(found) > 30
    for path, test in found:
        assert (TOP / path).exists(), f"{document} names {path}"
        assert test is None or re.search(rf"\b{test}\(", (TOP / path).read_text()), f"{document}: {path} has no {test}"
