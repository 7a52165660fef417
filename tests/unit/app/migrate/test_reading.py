"""Documents: a bad one is told with its place, its field and the mend, and never stops the others."""

from __future__ import annotations

import json

import pytest

from porter.app.migrate.reading import Document, Fault, Unreadable, parse, read

GOOD = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"


def found(text):
    return list(parse(text, "file.yaml"))


def test_documents_are_counted_as_they_stand():
    documents = found(f"# a comment alone is none\n---\n{GOOD}---\n{GOOD}--- # the last\n{GOOD}")
    assert [one.where for one in documents] == [f"file.yaml, document {number}" for number in (1, 2, 3)]
    assert all(one.title == "Service a" for one in documents)


def test_a_syntax_error_is_alone_with_its_line():
    first, broken, last = found(f"{GOOD}---\nkind: Service\n  metadata: [\n---\n{GOOD}")
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert broken == Fault("file.yaml, document 2", "", broken.message)
    assert "line 6" in broken.message
    assert "mend it" in broken.message


def test_lists_of_any_kind_are_taken_apart():
    service = {"metadata": {"name": "a"}}
    text = json.dumps({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPoolList", "items": [service, 7]})
    document, fault = found(text)
    assert (document.kind, document.api_version) == ("IPAddressPool", "metallb.io/v1beta1")
    assert document.where == "file.yaml, document 1, item 1"
    assert fault.where == "file.yaml, document 1, item 2"


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("[1, 2]", "", "apiVersion, kind and metadata"),
        ("kind: Service\nmetadata: {name: a}", "apiVersion", "apiVersion is not set"),
        ("apiVersion: v1\nmetadata: {name: a}", "kind", "kind is not set"),
        ("apiVersion: v1\nkind: Service", "metadata.name", "give it one"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: 7}", "metadata.name", "in quotes"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {b: 7}}", "metadata.annotations", "quotes"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: [b]}", "metadata.labels", "quotes"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: [b]}", "metadata.namespace", "mend it"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, finalizers: b}", "metadata.finalizers", "mend it"),
        (f"{GOOD}spec: no", "spec", "write its fields below it"),
        ("apiVersion: v1\nkind: List\nitems: {}", "items", "with a dash"),
    ],
)
def test_a_fault_names_the_field_and_the_mend(text, field, told):
    [fault] = found(text)
    assert isinstance(fault, Fault)
    assert fault.field == field
    assert told in fault.message


def test_aliases_that_grow_without_end_are_refused():
    rows = ["a: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    rows += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    [fault] = found("\n".join(rows))
    assert "values" in fault.message


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "a.json").write_text(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}}))
    (tmp_path / "notes.txt").write_text("no manifest")
    documents, faults = read([str(tmp_path)])
    assert [one.name for one in documents] == ["b", "a"]
    assert not faults


@pytest.mark.parametrize("name", ["nowhere.yaml", "empty"])
def test_what_cannot_be_read_at_all_says_so(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unreadable, match=r"name an? "):
        read([str(tmp_path / name)])
