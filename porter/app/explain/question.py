"""What is asked to be explained: a Service, an address, a prefix, a node or a peer; and what a bare word stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from porter.app.history.reading import BadQuestion, NotThere
from porter.model.address import Address, InvalidAddress, Prefix, parse_address, parse_prefix
from porter.projections.cluster import ClusterState

FORMS = "service/NAMESPACE/NAME, node/NAME, peer/NAME, an address like 192.0.2.1, or a prefix like 192.0.2.0/24"
ELSEWHERE_MAX = 5
"""Most Services of other namespaces that are named where a bare word is not known."""
KNOWN_SHOWN = 10
"""Most names that the answer about an unknown one tells."""


class Unknown(NotThere):
    """There is nothing of that name; the message says where to look."""


class Ambiguous(BadQuestion):
    """A word stands for several things; the message names the forms that tell them apart."""


class Question(NamedTuple):
    """What is asked about, one of these: a Service ("namespace/name"), an address, a prefix, a node, a peer; or a bare
    word, which may be the name of a Service of `namespace`, of a node or of a peer."""

    service: str = ""
    address: Address = Address("")
    prefix: Prefix = Prefix("")
    node: str = ""
    peer: str = ""
    word: str = ""
    namespace: str = ""

    @staticmethod
    def from_query(query: Mapping[str, str]) -> Question:
        """Read `service`, `ip`, `prefix`, `node`, `peer`, or `name` with `namespace`.

        Raises:
            BadQuestion: none or several of them are given, or one is malformed.
        """
        named = [name for name in ("service", "ip", "prefix", "node", "peer", "name") if query.get(name)]
        if len(named) != 1:
            raise BadQuestion(
                "ask about one thing: service=NAMESPACE/NAME, ip=ADDRESS, prefix=PREFIX, node=NAME, peer=NAME, or "
                "name=WORD"
            )
        (kind,) = named
        text = query[kind]
        try:
            if kind == "ip":
                return Question(address=parse_address(text))
            if kind == "prefix":
                return Question(prefix=parse_prefix(text))
        except InvalidAddress as error:
            raise BadQuestion(f"{kind}={text}: {error}") from error
        if kind == "service":
            namespace, slash, name = text.partition("/")
            if not (namespace and slash and name) or "/" in name:
                raise BadQuestion(f"service={text!r} is no Service; write NAMESPACE/NAME")
            return Question(service=text)
        if kind == "name":
            return Question(word=text, namespace=query.get("namespace", "") or "default")
        return Question(node=text) if kind == "node" else Question(peer=text)

    @property
    def asked(self) -> str:
        """What was asked about, in the words of the question."""
        if self.node or self.peer:
            return f"node/{self.node}" if self.node else f"peer/{self.peer}"
        return self.service or self.address or self.prefix or self.word


def resolved(question: Question, state: ClusterState) -> Question:
    """What a bare word stands for; any other question is itself.

    Raises:
        Ambiguous: it is the name of several things.
        Unknown: it is the name of none.
    """
    word = question.word
    if not word:
        return question
    service = f"{question.namespace}/{word}"
    found = []
    if service in state.inventory.service_uids:
        found.append(Question(service=service))
    if word in state.inventory.nodes:
        found.append(Question(node=word))
    if word in state.inventory.peers:
        found.append(Question(peer=word))
    if len(found) == 1:
        return found[0]
    if found:
        names = " and of ".join(f"service/{one.service}" if one.service else one.asked for one in found)
        raise Ambiguous(f"{word!r} is the name of {names}; write the one that you mean. The forms are {FORMS}")
    raise Unknown(
        f"no Service {service} of Porter's, no node {word} and no peer {word} is known{elsewhere(state, word)}. "
        f"The forms are {FORMS}"
    )


def elsewhere(state: ClusterState, word: str) -> str:
    """A clause that names the Services of a name in any namespace; "" where there is none."""
    names = sorted(name for name in state.inventory.service_uids if name.endswith(f"/{word}"))[:ELSEWHERE_MAX]
    return f"; there is service/{', service/'.join(names)}" if names else ""
