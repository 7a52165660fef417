"""Documents from files, folders and standard input: one that cannot be read is a fault, and never stops the others."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

STANDARD_INPUT = "-"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
MAX_BYTES = 64 * 1024 * 1024
"""The most that is read from one file: a large cluster's Services as `kubectl get -o yaml` prints them."""

MAX_VALUES_PER_DOCUMENT = 2_000_000
"""Most values of one document after its aliases are expanded: a few lines of YAML can name billions."""

MAX_FILES = 10_000
MAX_FAULT_CHARACTERS = 300
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
# libyaml's parser is ten times as fast; not every build of PyYAML has it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Document(NamedTuple):
    """One object, and where it stands: "FILE, document 2", "FILE, document 1, item 7", or the API server's path."""

    where: str
    tree: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.tree["kind"])

    @property
    def api_version(self) -> str:
        return str(self.tree["apiVersion"])

    @property
    def group(self) -> str:
        """The API group; "" for core/v1."""
        return self.api_version.rpartition("/")[0]

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.tree["metadata"]
        return metadata

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace") or "")

    @property
    def title(self) -> str:
        """Kind and name, as a report calls it."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Fault(NamedTuple):
    """A document that cannot be taken: where it stands, the field ("" for all of it), and a sentence with the mend."""

    where: str
    field: str
    message: str


class Unreadable(ValueError):
    """A file or folder that cannot be read at all; the message says why, and the mend."""


def read(sources: Iterable[str]) -> tuple[list[Document], list[Fault]]:
    """Read every document of files, folders and "-" for standard input.

    Raises:
        Unreadable: a file or folder is not there, or cannot be read.
    """
    documents: list[Document] = []
    faults: list[Fault] = []
    for source in sources:
        for where, text in _texts(source):
            for found in parse(text, where):
                (faults if isinstance(found, Fault) else documents).append(found)  # type: ignore[arg-type]
    return documents, faults


def _texts(source: str) -> Iterator[tuple[str, str]]:
    if source == STANDARD_INPUT:
        yield "standard input", _decoded(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")
        return
    path = Path(source)
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
            if not files:
                raise Unreadable(f"{source} holds no *.yaml, *.yml or *.json; name a folder that does, or a file")
            if len(files) > MAX_FILES:
                raise Unreadable(f"{source} holds {len(files)} files; at most {MAX_FILES} are read")
        else:
            files = [path]
        for file in files:
            with file.open("rb") as stream:
                yield str(file), _decoded(stream.read(MAX_BYTES + 1), str(file))
    except OSError as error:
        raise Unreadable(f"{source} cannot be read: {error.strerror}; name an existing file or folder") from error


def _decoded(raw: bytes, where: str) -> str:
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"{where} has more than {MAX_BYTES} bytes; split it")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{where} is no UTF-8 text (byte {error.start}); save it as UTF-8") from error


def parse(text: str, where: str) -> Iterator[Document | Fault]:
    """Yield the documents of a text; each is parsed by itself, so that a broken one is alone with its fault."""
    number = 0
    for line, part in _parts(text):
        if not any(row.strip() and not row.lstrip().startswith("#") for row in part.splitlines()):
            continue
        number += 1
        place = f"{where}, document {number}"
        try:
            tree = loaded(part)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            yield Fault(place, "", _syntax(error, line))
            continue
        yield from _objects(tree, place)


def loaded(text: str) -> Any:
    """Load one YAML document as JSON has it.

    Raises:
        YAMLError, ValueError, TypeError, RecursionError: it is none, or too large.
    """
    if text.lstrip().startswith("{"):
        # `kubectl get -o json` prints what JSON's own parser reads many times as fast; YAML in braces goes on below.
        with suppress(msgspec.DecodeError):
            return _plain(msgspec.json.decode(text), [MAX_VALUES_PER_DOCUMENT])
    tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - both loaders are the safe ones.
    return _plain(tree, [MAX_VALUES_PER_DOCUMENT])


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Split a stream at its `---`, each part with the number of lines before it."""
    starts = [0, *(found.end() for found in _SEPARATOR.finditer(text))]
    ends = [*(found.start() for found in _SEPARATOR.finditer(text)), len(text)]
    for start, end in zip(starts, ends, strict=True):
        yield text.count("\n", 0, start), text[start:end]


def _syntax(error: Exception, lines_before: int) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        told = " ".join(str(error).split())[:MAX_FAULT_CHARACTERS]
        return f"is no YAML that can be read: {told}; mend it"
    place = f"line {lines_before + mark.line + 1}, column {mark.column + 1}"
    told = " ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    return f"is no YAML: {told} in {place}; mend it there"


def _plain(value: object, budget: list[int]) -> Any:
    """Return a tree as JSON has it: nulls left out, keys and dates as texts; every value counts."""
    budget[0] -= 1
    if budget[0] < 0:
        raise ValueError(f"it holds more than {MAX_VALUES_PER_DOCUMENT} values; split it")
    if isinstance(value, dict):
        return {str(key): _plain(below, budget) for key, below in value.items() if below is not None}
    if isinstance(value, list):
        return [_plain(below, budget) for below in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return msgspec.to_builtins(value)


def parse_tree(tree: Any, where: str) -> Iterator[Document | Fault]:
    """Yield the object of a tree that is decoded already, as JSON has it."""
    yield from _objects(_plain(tree, [MAX_VALUES_PER_DOCUMENT]), where)


def _objects(tree: Any, where: str) -> Iterator[Document | Fault]:
    """Yield a document's object, or those of a List."""
    if tree is None:
        return
    if not isinstance(tree, dict):
        yield Fault(where, "", "is no object; write apiVersion, kind and metadata")
        return
    kind = tree.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and "items" in tree:
        items = tree["items"]
        if not isinstance(items, list):
            yield Fault(where, "items", "items is no list; write the objects below it, each with a dash")
            return
        of_items = {"apiVersion": tree.get("apiVersion"), "kind": kind.removesuffix("List")} if kind != "List" else {}
        for number, item in enumerate(items, 1):
            yield from _objects({**of_items, **item} if isinstance(item, dict) else item, f"{where}, item {number}")
        return
    for field in ("apiVersion", "kind"):
        if not isinstance(tree.get(field), str) or not tree[field]:
            yield Fault(where, field, f"{field} is not set, so that it cannot be told what this is; write it")
            return
    yield _named(Document(where, tree))


def _named(document: Document) -> Document | Fault:
    """Check what identifies an object; everything else about it is its reader's to check."""
    metadata = document.tree.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        message = f"a {document.kind} without metadata.name; give it one, in quotes if it looks like a number"
        return Fault(document.where, "metadata.name", message)
    for field in ("labels", "annotations"):
        texts = metadata.get(field, {})
        if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
            message = f"metadata.{field} of {document.title} is no map of texts; put its values in quotes"
            return Fault(document.where, f"metadata.{field}", message)
    if not isinstance(metadata.get("namespace", ""), str) or not isinstance(metadata.get("finalizers", []), list):
        field = "namespace" if not isinstance(metadata.get("namespace", ""), str) else "finalizers"
        message = f"metadata.{field} of {document.kind} {document.name} has a type that Kubernetes refuses; mend it"
        return Fault(document.where, f"metadata.{field}", message)
    if not isinstance(document.tree.get("spec", {}), dict):
        return Fault(document.where, "spec", f"spec of {document.title} is no object; write its fields below it")
    return document
