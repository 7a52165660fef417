"""The doctor's answer about one cluster: the checks of the folds and of the journal's server, and what they found."""

from __future__ import annotations

import time
from collections.abc import Iterable

from porter import __version__
from porter.app.answer_json import Json
from porter.app.doctor import Check, checks_json, ok, problem, problems_of
from porter.app.doctor.archive import archive_check, shelf_check
from porter.app.doctor.server import lag_check, server_checks
from porter.app.doctor.state import state_checks
from porter.app.history.archived_streams import ArchivedStreams
from porter.app.history.streams import Streams
from porter.app.read_model import ReadModel
from porter.app.view import View
from porter.events.envelope import Head
from porter.ports import JournalError


async def of_controller(view: View, streams: Streams, cluster: str) -> Json:
    """What a controller finds about itself and its cluster; a journal that is away is one of the findings."""
    try:
        head = await streams.journal().head()
    except JournalError:
        head = None
    server = await server_checks(streams, time.time())
    # The folds went on while the server was asked.
    model = view.read_model()
    parts = [
        ok("parts", f"controller, {name}", said)
        if said.startswith("ok")
        else problem("parts", f"controller, {name}", said, "see the controller's log")
        for name, said in sorted(view.parts().items())
    ]
    archive = [] if view.kept is None else [archive_check(view.kept.archiver)]
    leader = [] if view.leading or view.leader() else [_nobody_leads()]
    return told(model, cluster, [*server, lag_check(model.state.ledger.position, head), *archive, *parts, *leader])


async def of_journal(streams: Streams, cluster: str, model: ReadModel, head: Head) -> Json:
    """What the journal itself tells, asked without a controller."""
    archive = [await shelf_check(streams)] if isinstance(streams, ArchivedStreams) else []
    return told(model, cluster, [*await server_checks(streams, time.time()), lag_check(head.position, head), *archive])


def told(model: ReadModel, cluster: str, around: Iterable[Check]) -> Json:
    """The answer: what was looked at around the folds, and the folds."""
    return answer(model.state.ledger.genesis, model.state.ledger.position, cluster, [*around, *state_checks(model)])


def answer(genesis: str, position: int, cluster: str, checks: list[Check]) -> Json:
    """The answer from all its checks."""
    return {
        "genesis": genesis,
        "position": position,
        "cluster": cluster,
        "version": __version__,
        "checks": checks_json(checks),
        "problems": problems_of(checks),
    }


def _nobody_leads() -> Check:
    return problem("leader", "Lease", "no controller leads", "runbook PorterNoLeader")
