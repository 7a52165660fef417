"""Options that go together: a command takes a group as one parameter, and the command line shows each option of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from porter.app.settings import DEFAULT_CLUSTER, DEFAULT_STATE_DIR
from porter.cli import options


@dataclass(frozen=True, slots=True)
class Where:
    """Whom a question is asked: a controller, or the journal's server (by a URL), an exported file, or an archive."""

    server: options.Server = ""
    redis_url: options.RedisUrl = ""
    cluster: options.Cluster = DEFAULT_CLUSTER
    state_dir: options.StateDir = DEFAULT_STATE_DIR
    source: options.FromFile = None
    archive: options.Archive = ""

    @property
    def directly(self) -> bool:
        """Whether the history itself is read, and no controller is asked."""
        return bool(self.source is not None or self.redis_url or self.archive)


@dataclass(frozen=True, slots=True)
class Shown:
    """How an answer is printed."""

    output: options.OutputForm = options.Output.TABLE
    utc: options.Utc = False

    @property
    def wide(self) -> bool:
        """Whether tables show all that there is."""
        return self.output is options.Output.WIDE


HERE = Where()
PLAIN = Shown()


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with the options of its groups in place of them, as typer reads it.

    A group is a parameter whose type is a dataclass; its fields are options and have defaults.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        of_group = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hint)
            for field in fields(groups[name])
            for hint in (of_group[field.name],)
        ]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    called.__annotations__ = {one.name: one.annotation for one in parameters}
    vars(called)["__signature__"] = inspect.Signature(parameters)
    return called
