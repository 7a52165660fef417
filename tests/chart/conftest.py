"""Helm, and an API server to show the rendered objects to."""

import pytest

from tests.integration.kube.control_plane import ControlPlane, shared
from tests.lab import programs


@pytest.fixture(scope="session", autouse=True)
def helm() -> None:
    """Skip, with the reason, where there is no Helm and it cannot be built."""
    try:
        programs.helm_program()
    except programs.ProgramMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> ControlPlane:
    """An API server, with Porter's CRDs and its namespace."""
    try:
        plane = shared(request.config)
    except programs.ProgramMissing as error:
        pytest.skip(str(error))
    return plane
