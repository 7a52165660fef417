"""What `porter explain` asks, prints, and ends with."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from porter.app.explain import service as answers
from porter.app.explain.question import Question
from porter.app.read_model import ReadModel
from porter.cli import explain as command
from porter.cli.exits import Finding
from porter.cli.groups import Shown
from porter.cli.options import Output
from porter.events import decided, observed
from porter.events.envelope import Envelope
from porter.model.address import Address
from porter.model.reasons import Candidate
from porter.projections.sessions import Sessions
from tests.unit.projections.story import NOON_MS, Story, endpoints, node, pool, service


def answer(story: Story, *, service: str = "", ip: str = "", history: dict[int, Envelope] | None = None) -> Any:
    question = Question(service, Address(ip))
    return answers.answer(ReadModel(story.state, Sessions.empty()), question, answers.Recalled(history or {}, {}))


@pytest.fixture
def asked(monkeypatch):
    """Questions that were asked; each is answered with `asked.answer`."""

    class Asked(list[Any]):
        answer: Any = None

    heard = Asked()

    def ask(question, query, _where):
        heard.append((question, query))
        return heard.answer

    monkeypatch.setattr(command, "ask", ask)
    return heard


@pytest.fixture
def story():
    begun = Story(
        node(1), pool(default=True), service(), endpoints("web", "n1"), service("late", requested_pool="absent")
    )
    begun.settles()
    return begun


@pytest.mark.parametrize(
    ("what", "namespace", "query"),
    [
        ("shop/web", "default", {"service": "shop/web"}),
        ("web", "shop", {"service": "shop/web"}),
        ("web", "", {"name": "web", "namespace": "default"}),
        ("shop/web", "other", {"service": "shop/web"}),
        ("192.0.2.1", "default", {"ip": "192.0.2.1"}),
        ("2001:db8::1", "default", {"ip": "2001:db8::1"}),
        ("192.0.2.300", "", {"name": "192.0.2.300", "namespace": "default"}),
        ("192.0.2.0/24", "", {"prefix": "192.0.2.0/24"}),
        ("2001:db8::/64", "", {"prefix": "2001:db8::/64"}),
        ("node/n1", "", {"node": "n1"}),
        ("peer/tor-a", "", {"peer": "tor-a"}),
        ("BgpPeer/tor-a", "", {"peer": "tor-a"}),
        ("svc/web", "", {"service": "default/web"}),
        ("svc/web", "shop", {"service": "shop/web"}),
        ("service/node/web", "", {"service": "node/web"}),
    ],
)
def test_an_address_is_told_from_a_service(asked, story, what, namespace, query):
    asked.answer = answer(story, ip="192.0.2.9")
    command.explain(what, namespace=namespace)
    assert asked == [("explain", query)]


def test_sentences_come_first_then_tables(asked, story, capsys):
    decision = decided.AddressAllocated(
        "web",
        "shop",
        "web",
        Address("192.0.2.0"),
        "p",
        "DefaultPool",
        "",
        (Candidate("q", "PoolExhausted", "it is full"),),
    )
    position = story.state.pools.of("web")[0].position
    fact = observed.ServiceObserved("web", "shop", "web", "31", 1, 1, (), "Cluster", (), "")
    history = {
        position: Envelope(position, 1, NOON_MS, 4, "", "", decision),
        4: Envelope(4, 1, NOON_MS, 0, "", "", fact),
    }
    asked.answer = answer(story, service="shop/web", history=history)
    with pytest.raises(typer.Exit) as ended:
        command.explain("shop/web", shown=Shown(utc=True))
    assert ended.value.exit_code == 1, "there is no BgpPeer"
    first, second, third, empty, columns, *rest = capsys.readouterr().out.splitlines()
    assert first == f"shop/web holds 192.0.2.0 from the default Eip p, since 12:00 UTC (#{position})."
    assert second == "192.0.2.0/32 goes to nobody: NoPeer, there is no BgpPeer; make one."
    assert third.startswith("It asks for families IPv4 (SingleStack); ports 80/TCP")
    assert empty == ""
    assert columns.split() == ["ADDRESS", "POOL", "SERVICE", "REASON", "SINCE", "POSITION"]
    printed = "\n".join(rest)
    assert "q     PoolExhausted   it is full" in printed
    assert "ServiceObserved    service/shop/web   31" in printed
    assert "10.0.0.1" in printed


def test_a_refusal_ends_with_1_and_is_told_once(asked, story, capsys):
    asked.answer = answer(story, service="shop/late")
    with pytest.raises(typer.Exit) as ended:
        command.explain("late", namespace="shop")
    assert ended.value.exit_code == 1
    printed = capsys.readouterr().out
    assert printed.count("there is no Eip absent") == 1
    assert "Refused at #" in printed
    assert "PoolNotFound" in printed


def test_a_decision_that_the_journal_does_not_hold_any_more_is_said_so(asked, story, capsys):
    asked.answer = answer(story, ip="192.0.2.0")
    with pytest.raises(typer.Exit):
        command.explain("192.0.2.0", shown=Shown(Output.WIDE))
    printed = capsys.readouterr().out
    assert "any more: what was passed over is not known" in printed
    assert "The Eip is the default" in printed
    assert "No session takes the route." in printed


def test_json_is_the_answer_itself_and_the_finding_goes_beside(asked, story, capsys):
    import json

    asked.answer = answer(story, service="shop/late")
    with pytest.raises(Finding, match="shop/late has no address"):
        command.explain("shop/late", shown=Shown(Output.JSON))
    assert json.loads(capsys.readouterr().out) == asked.answer


def test_what_brought_a_session_down_before_is_no_reason_while_it_is_up():
    from porter.cli.explained import _sessions

    one = {
        **{"speaker": "s1", "state": "Established", "since": "", "cause": None, "reason": "", "drained": False},
        **{"leaving": False, "lastError": "hold timer expired", "paths": 1, "confirmed": 1, "flaps": 1},
    }
    (up,), (down,) = (list(_sessions({"sessions": [each]}, utc=True)) for each in (one, {**one, "state": "Idle"}))
    assert (up[-1], down[-1]) == ("", "hold timer expired")
