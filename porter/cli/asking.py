"""Where a question goes: to a controller, to the journal itself, or to an exported file; the answer is the same."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.app.settings import InvalidSettings
from porter.cli.exits import Finding, Unreachable
from porter.cli.moments import moment_text, now_ms

if TYPE_CHECKING:
    from porter.app.incident.direct import Place
    from porter.cli.groups import Where

HTTP = "http://"
MOMENTS = {"at": "--at", "since": "--since", "until": "--until", "a": "A", "b": "B"}
"""The parameters that are moments, and the option or argument that each comes from."""


def ask(question: str, query: dict[str, str], where: Where) -> dict[str, Any]:
    """One answer: from a file, from the journal itself if a URL is given, else from a controller.

    Raises:
        Unreachable: neither answers.
        Finding: what is asked about is not there, or the question is refused.
        InvalidSettings: the question is not understood, or the file cannot be read.
    """
    query = with_moments(query, where.source)
    if where.directly:
        from porter.app.incident import direct

        with journal_errors(where):
            return dict(direct.ask(question, query, place_of(where)))
    from porter.cli.client import Controller

    return dict(Controller(where.server, where.state_dir).get(f"/v1/{question}", query))


def place_of(where: Where) -> Place:
    """Where the history itself is.

    Raises:
        InvalidSettings: the archive is neither a folder nor a controller's.
    """
    from porter.app.incident.direct import Place
    from porter.cli.client import pinned, token

    if where.archive and "://" not in where.archive and not Path(where.archive).expanduser().is_dir():
        raise InvalidSettings(
            f"--archive {where.archive} is no folder; name that of an archive, or a controller as http://HOST:PORT"
        )
    archive = where.archive
    if archive.startswith(HTTP):
        archive = HTTP + pinned(archive.removeprefix(HTTP).rstrip("/"))
    return Place(where.redis_url, where.cluster, where.source, archive=archive, archive_token=token)


def with_moments(query: dict[str, str], file: Path | None) -> dict[str, str]:
    """The query with every moment as the API takes it.

    Raises:
        InvalidSettings: one is none, or the file cannot be read.
    """

    def reference_ms() -> int:
        if file is None:
            return now_ms()
        from porter.cli.groups import Where
        from porter.journal.export import ExportJournals

        with journal_errors(Where(source=file)):
            return ExportJournals(file).time_ms

    return {
        name: moment_text(value, MOMENTS[name], reference_ms) if name in MOMENTS else value
        for name, value in query.items()
        if value
    }


def history_of(query: Mapping[str, str], where: Where) -> Place:
    """Where a whole history is to be read: a file, a server's journal, or what a controller hands out of it.

    What a controller has trimmed is read from its archive, a segment at a time.

    Raises:
        Unreachable: the controller does not answer.
        Finding: it refuses.
    """
    from porter.app.incident.direct import Place

    if where.directly:
        return place_of(where)
    from porter.cli.client import Controller, token

    controller = Controller(where.server, where.state_dir)
    content = controller.content("/v1/export", query)
    return Place(content=content, archive=f"http://{controller.address}", archive_token=token)


def present_of(where: Where) -> Place:
    """Where the present is to be folded from: of a controller, its newest baseline and what lies behind that.

    Raises:
        Unreachable, Finding: as `history_of`.
    """
    if where.directly:
        return place_of(where)
    newest = next(iter(events_behind({"limit": "1"}, where)), None)
    return history_of({} if newest is None else {"since": str(newest["position"])}, where)


def events_behind(query: dict[str, str], where: Where, *, follow: bool = False) -> Iterator[dict[str, Any]]:
    """The events of the journal that `/v1/events` answers a query with; with `follow` also what comes.

    Raises:
        Unreachable, Finding, InvalidSettings: as `ask`.
    """
    if where.directly:
        from porter.app.incident.direct import tail

        with journal_errors(where):
            yield from tail(place_of(where), query, follow=follow and bool(where.redis_url))
        return
    from porter.cli.client import Controller

    controller = Controller(where.server, where.state_dir)
    if follow:
        yield from controller.lines("/v1/events", {**query, "follow": "1"})
    else:
        yield from controller.get("/v1/events", query)["events"]


@contextmanager
def journal_errors(where: Where) -> Iterator[None]:
    """The journal's failures in the command line's words; each names the option that says where the history is."""
    from porter.app.history.reading import BadQuestion, NotThere
    from porter.ports import JournalError

    try:
        yield
    except JournalError as error:
        if where.source is not None:
            raise InvalidSettings(f"--from {where.source}: {error}") from error
        if where.redis_url:
            raise Unreachable(f"the journal at --redis-url cannot be read: {error}") from error
        if where.archive:
            raise Unreachable(f"the archive at --archive {where.archive} cannot be read: {error}") from error
        raise Unreachable(f"what the controller handed out cannot be read: {error}") from error
    except NotThere as error:
        raise Finding(str(error)) from error
    except BadQuestion as error:
        raise InvalidSettings(str(error)) from error
