"""Counting what a JSON text holds without reading it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.stores.server.json_size import has_more_values

TEXTS = st.text(st.sampled_from('a"\\[{,é\n'), max_size=8)
DOCUMENTS = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def marks(value: Any) -> int:
    """The commas, lists and objects of a document, counted in its value."""
    if not isinstance(value, list | dict):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(len(inner) - 1, 0) + sum(map(marks, inner))


@given(DOCUMENTS)
def test_a_text_has_as_many_values_as_its_document_whatever_its_strings_say(document: Any) -> None:
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False), json.dumps(document, indent=1)):
        content, count = text.encode(), marks(document)
        assert not has_more_values(content, count)
        if count:
            assert has_more_values(content, count - 1)


@pytest.mark.parametrize("text", [rb'["\\","[[[[[[", 1]', rb'["\"[[[[[[", 1]', rb'{"a\\\"[[[[[[": 1, "b": [2]}'])
def test_escapes_do_not_hide_where_a_text_ends(text: bytes) -> None:
    assert not has_more_values(text, marks(json.loads(text)))
