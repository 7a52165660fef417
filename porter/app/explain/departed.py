"""What is told of a Service that is asked about and is not there any more, by its full name or by a bare word."""

from __future__ import annotations

from porter.app.explain.question import Question, Unknown, elsewhere, resolved
from porter.app.history.departures import Departed, departure, departures
from porter.app.read_model import ReadModel
from porter.model.reasons import Reason
from porter.ports import Journal
from porter.projections.sentences import clock_time

GONE_SHOWN = 3
"""Most Services of other namespaces whose end is told where a bare word is not known."""


async def resolve(model: ReadModel, journal: Journal, question: Question) -> Question:
    """What a bare word stands for. What is there comes first: only a word that names nothing is looked for among the
    Services that went, that of the question's namespace before all others. The folds are not looked at any more once
    this waits.

    Raises:
        Ambiguous: it is the name of several things that are there.
        Unknown: it is the name of none; the message tells of the Services of this name that went.
        JournalError: the journal could not be read.
    """
    try:
        return resolved(question, model.state)
    except Unknown as error:
        live, there = frozenset(model.state.inventory.service_uids), elsewhere(model.state, question.word)
        found = await departures(journal, lambda name: _named(name, question.word), model.state.ledger.position)
        gone = {name: each for name, each in found.items() if name not in live}
        asked = f"{question.namespace}/{question.word}"
        if asked in gone:
            raise Unknown(f"{_sentence(asked, gone[asked])}{there}") from error
        if not gone:
            raise
        newest = sorted(gone, key=lambda name: -gone[name].position)
        more = f". {len(gone) - GONE_SHOWN} more of this name went before" if len(gone) > GONE_SHOWN else ""
        raise Unknown(
            f"no Service {asked} of Porter's, no node {question.word} and no peer {question.word} is known{there}. "
            f"{'. '.join(_sentence(name, gone[name]) for name in newest[:GONE_SHOWN])}{more}"
        ) from error


async def refuse_departed(journal: Journal, service: str, head: int) -> None:
    """Tell how a Service that is not there went, if the newest events up to `head` know.

    Raises:
        Unknown: they do.
        JournalError: the journal could not be read.
    """
    gone = await departure(journal, service, head)
    if gone is not None:
        raise Unknown(_sentence(service, gone))


def _named(service: str, word: str) -> bool:
    return service.partition("/")[2] == word


def _sentence(name: str, gone: Departed) -> str:
    what = "was deleted" if gone.reason == Reason.SERVICE_DELETED else "is Porter's no more since an edit"
    held = f" and held {', '.join(gone.held)}" if gone.held else ""
    where = f"#{gone.position}, {clock_time(gone.time_ms)}"
    return f"Service {name} {what} ({where}){held}; `porter timeline --service {name}` tells how it came about"
