"""Assertions about a moment, as expressions of CEL over the JSON answers: the one door to the library.

The names are the answers' own: `routes`, `pools`, `services` and `peers` are their lists, `status` is the whole answer.
"""

from __future__ import annotations

import re
from typing import Any

from porter.app.history.reading import BadQuestion

NAMES = ("status", "routes", "pools", "services", "peers")


class ExpressionsMissing(Exception):
    """The library is not installed; the message says how it is."""


class Assertion:
    """One compiled expression; `names` are the answers that it may look at.

    Raises:
        ExpressionsMissing: the extra is not installed.
        BadQuestion: the text is no expression.
    """

    def __init__(self, text: str) -> None:
        try:
            import celpy  # noqa: PLC0415 -- an extra.
            from celpy import adapter, celparser, celtypes, evaluation  # noqa: PLC0415
        except ImportError as error:
            raise ExpressionsMissing(
                "expressions need the library cel-python; install it with pip install 'porter[bisect]'"
            ) from error
        self._to_cel, self._true_or_false = adapter.json_to_cel, celtypes.BoolType
        self._failures = evaluation.CELEvalError
        self.text = text
        self.names = tuple(name for name in NAMES if re.search(rf"\b{name}\b", text))
        environment = celpy.Environment()
        try:
            self._program = environment.program(environment.compile(text))
        except celparser.CELParseError as error:
            raise BadQuestion(f"--assert {text!r} is no expression of CEL: {error}") from error
        if not self.names:
            raise BadQuestion(f"--assert {text!r} looks at none of {', '.join(NAMES)}")

    def holds(self, answers: dict[str, Any]) -> bool:
        """Whether it is true of these answers.

        Raises:
            BadQuestion: it cannot be evaluated, or is neither true nor false.
        """
        try:
            value = self._program.evaluate({name: self._to_cel(value) for name, value in answers.items()})
        except self._failures as error:
            raise BadQuestion(f"--assert {self.text!r} cannot be evaluated: {error.args[0]}") from error
        if not isinstance(value, self._true_or_false):
            raise BadQuestion(f"--assert {self.text!r} is neither true nor false, but {value!r}")
        return bool(value)
