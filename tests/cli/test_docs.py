"""What the documents say is shown by a test: that test is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PLACES = {"e2e/": "tests/e2e/", "unit/": "tests/unit/"}


def references(document):
    """
    (path, test or None) for each `path` and `path::test_name` in the document, and for the `test_name`s and `::test_name`s
    that follow it in the same cell.
    """
    for cell in re.split(r"\n|(?<!`)\|", (TOP / "docs" / document).read_text()):
        path = None
        for word in re.findall(r"`([^`\s]+)`", cell):
            if re.match(r"^(e2e|unit|tests|extension)/", word):
                start = re.match(r"^\w+/", word)[0]
                path, _, test = (PLACES.get(start, start) + word[len(start):]).partition("::")
                yield path, test or None
            elif (name := re.match(r"^(?:::)?(test_\w+)$", word)) and path is not None:
                yield path, name[1]


@pytest.mark.parametrize("document", ["reliability.md", "coverage.md"])
def test_the_tests_that_a_document_names_are_there(document):
    found = list(references(document))
    assert len(found) > 20
    for path, test in found:
        assert (TOP / path).exists(), f"{document} names {path}"
        assert test is None or re.search(rf"\b{test}\(", (TOP / path).read_text()), f"{document}: {path} has no {test}"
