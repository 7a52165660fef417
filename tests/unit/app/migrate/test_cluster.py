"""Reading a cluster: pages, kinds that are not there, and those that may not be listed."""

from __future__ import annotations

import json

from porter.app.migrate import cluster
from porter.app.migrate.cluster import Listing
from porter.app.migrate.reading import Document, Fault
from porter.kube.client import ApiError


class Server:
    """Answers by path; what it does not know is not there."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    async def request(self, method, path, *, query="", timeout_s=0.0):
        assert method == "GET"
        self.asked.append(f"{path}?{query}")
        for wanted, answer in self.answers.items():
            if f"{path}?{query}".startswith(wanted):
                if isinstance(answer, ApiError):
                    raise answer
                return json.dumps(answer).encode()
        raise ApiError(404, "NotFound", "no such kind")

    async def close(self):
        """Nothing is open."""


def page(*names, token=""):
    return {"metadata": {"continue": token}, "items": [{"metadata": {"name": name}} for name in names]}


async def listed(monkeypatch, answers, *listings):
    server = Server(answers)

    async def connect(kubeconfig):
        return server

    monkeypatch.setattr(cluster.KubeClient, "connect", connect)
    documents, faults = await cluster.read("kubeconfig", listings)
    return documents, faults, server.asked


async def test_pages_are_followed_to_their_end(monkeypatch):
    first = "/apis/g/v1/things?limit=500&continue=t"
    answers = {first: page("b"), "/apis/g/v1/things": page("a", token="t")}
    documents, faults, _ = await listed(monkeypatch, answers, Listing("/apis/g/v1/things", "g/v1", "Thing"))
    assert [(one.title, one.api_version) for one in documents] == [("Thing a", "g/v1"), ("Thing b", "g/v1")]
    assert all(isinstance(one, Document) for one in documents)
    assert not faults


async def test_an_older_version_stands_in_and_a_kind_may_be_missing(monkeypatch):
    older = Listing("/apis/g/v1/things", "g/v1", "Thing")
    newer = Listing("/apis/g/v2/things", "g/v2", "Thing", older)
    documents, faults, _ = await listed(monkeypatch, {"/apis/g/v1/things": page("a")}, newer)
    assert [one.api_version for one in documents] == ["g/v1"]
    documents, faults, _ = await listed(monkeypatch, {}, newer)
    assert (documents, faults) == ([], [])


async def test_what_may_not_be_listed_is_a_fault_and_stops_no_other(monkeypatch):
    answers = {"/a": ApiError(403, "Forbidden", "GET /a: 403 no"), "/b": page("x")}
    documents, faults, _ = await listed(monkeypatch, answers, Listing("/a", "v1", "A"), Listing("/b", "v1", "B"))
    assert [one.name for one in documents] == ["x"]
    assert faults == [Fault("the cluster, /a", "", faults[0].message)]


async def test_nothing_is_asked_for_but_lists(monkeypatch):
    _, _, asked = await listed(monkeypatch, {}, *cluster.METALLB, *cluster.OPENELB)
    assert len(asked) > len(cluster.METALLB)
    assert all("watch" not in one for one in asked)
