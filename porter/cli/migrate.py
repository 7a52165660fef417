"""`porter migrate`: what others' manifests become. Both commands only print: applying is the user's step.

The manifests go to standard output, so that `kubectl apply -f -` can read them, and the report to standard error.
"""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from porter.app import settings as defaults
from porter.cli import options
from porter.cli.exits import Finding, Unreachable

if TYPE_CHECKING:
    from porter.app.migrate.cluster import Listing
    from porter.app.migrate.reading import Document, Fault
    from porter.app.migrate.report import Migration

COLUMNS = 118
"""Where the report's lines are wrapped."""

FIELD_COLUMNS = 36
"""A field's path that is longer has a line of its own."""


class ReportForm(StrEnum):
    """How the report is printed."""

    TABLE = "table"
    JSON = "json"


class ManifestForm(StrEnum):
    """How the manifests are printed."""

    YAML = "yaml"
    JSON = "json"


Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE|DIR|-",
        help="Manifests to read: YAML or JSON, of many documents, or Lists; - is standard input. May be repeated.",
    ),
]
Cluster = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Read the cluster instead; it is only listed.")
]
Manifests = Annotated[ManifestForm, typer.Option("--output", "-o", help="How the manifests are printed.")]
Form = Annotated[ReportForm, typer.Option("--report", help="How the report is printed, on standard error.")]
ReportOnly = Annotated[
    bool, typer.Option("--report-only", help="Print the report, on standard output, and no manifests.")
]


def metallb(
    *,
    file: Files = None,
    kubeconfig: Cluster = None,
    output: Manifests = ManifestForm.YAML,
    report: Form = ReportForm.TABLE,
    report_only: ReportOnly = False,
    namespace: options.Namespace = defaults.DEFAULT_NAMESPACE,
    metallb_class: Annotated[
        str, typer.Option("--metallb-class", metavar="CLASS", help="MetalLB's --lb-class, if it was given one.")
    ] = "",
    pin: Annotated[
        bool, typer.Option("--pin/--no-pin", help="Have Services request the addresses that they hold.")
    ] = True,
) -> None:
    """Convert what MetalLB runs on.

    Reads its custom resources, its Services with the annotations of both prefixes, and the ConfigMap of before 0.13.
    Nothing is written. The exit code is 1 if something is refused, or if a Service would not keep its address.
    """
    from porter.app.migrate.cluster import METALLB
    from porter.app.migrate.metallb import Options, convert

    documents, faults = _read(file, kubeconfig, METALLB)
    _print(
        convert(documents, faults, Options(namespace, metallb_class, pin)),
        output=output,
        form=report,
        report_only=report_only,
    )


def openelb(
    *,
    file: Files = None,
    kubeconfig: Cluster = None,
    output: Manifests = ManifestForm.YAML,
    report: Form = ReportForm.TABLE,
    report_only: ReportOnly = False,
    namespace: options.Namespace = defaults.DEFAULT_NAMESPACE,
) -> None:
    """Check what OpenELB or an old Porter runs on.

    Only what has to change is printed as a manifest; everything else applies to Porter as it stands. Nothing is
    written. The exit code is 1 if something is refused, or if a Service would not keep its address.
    """
    from porter.app.migrate.cluster import OPENELB
    from porter.app.migrate.openelb import convert

    documents, faults = _read(file, kubeconfig, OPENELB)
    _print(convert(documents, faults, namespace), output=output, form=report, report_only=report_only)


def _read(
    files: Sequence[str] | None, kubeconfig: Path | None, listings: Sequence[Listing]
) -> tuple[list[Document], list[Fault]]:
    """The documents of files or of a cluster, in the command line's words where they cannot be read."""
    import asyncio

    from porter.app.migrate import cluster, reading

    if bool(files) == bool(kubeconfig):
        raise defaults.InvalidSettings("give either -f FILE|DIR|- or --kubeconfig FILE: what is to be migrated?")
    try:
        if files:
            return reading.read(files)
        assert kubeconfig is not None
        from porter.kube.client import ApiError, InvalidKubeconfig

        try:
            return asyncio.run(cluster.read(kubeconfig, listings))
        except InvalidKubeconfig as error:
            raise defaults.InvalidSettings(f"--kubeconfig: {error}") from error
        except ApiError as error:
            raise Unreachable(f"the cluster of --kubeconfig {kubeconfig} cannot be listed: {error}") from error
    except reading.Unreadable as error:
        raise defaults.InvalidSettings(f"-f: {error}") from error


def _print(migration: Migration, *, output: ManifestForm, form: ReportForm, report_only: bool) -> None:
    from porter.app.migrate.answer import answer_of, finding_of
    from porter.app.migrate.simulate import simulate
    from porter.kube.facts import FactSettings

    settings = FactSettings(migration.service_class) if migration.service_class else FactSettings()
    answer = answer_of(migration, simulate(migration, settings))
    if not report_only:
        _print_manifests(migration.manifests, output)
    sys.stdout.flush()

    def say(line: str = "") -> None:
        typer.echo(line, err=not report_only)

    if form is ReportForm.JSON:
        say(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        _print_report(answer, say)
    if finding := finding_of(answer):
        raise Finding(finding)


def _print_manifests(manifests: Sequence[dict[str, Any]], output: ManifestForm) -> None:
    if output is ManifestForm.JSON:
        whole = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        typer.echo(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    import yaml

    # libyaml's emitter is many times as fast; not every build of PyYAML has it.
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    for manifest in manifests:
        text = yaml.dump(manifest, Dumper=dumper, sort_keys=False, allow_unicode=True, width=COLUMNS)
        typer.echo(f"---\n{text}", nl=False)


def _print_report(answer: dict[str, Any], say: Callable[[str], None]) -> None:
    for title, entries in _grouped(answer["fields"]):
        say(title)
        width = max(min(len(entry["field"]), FIELD_COLUMNS) for entry in entries)
        for entry in entries:
            for line in _lines(f"  {entry['verdict']:<8} {entry['field']:<{width}}  ", entry["note"], 13 + width):
                say(line)
        say("")
    if answer["addresses"]:
        rows = [("SERVICE", "TODAY", "AFTERWARDS", "VERDICT", "WHY")]
        for each in answer["addresses"]:
            held = (",".join(each["today"]) or "-", ",".join(each["then"]) or "-")
            rows.append((each["service"], *held, each["verdict"], each["reason"] or "-"))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
            say("   ".join((*cells, row[-1])))
        say("")
    for fault in answer["faults"]:
        for line in _lines("  fault    ", f"{fault['where']}: {fault['message']}", 11):
            say(line)
    if answer["faults"]:
        say("")
    say(_summary(answer["sums"]))


def _grouped(entries: Iterable[dict[str, Any]]) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(f"{entry['object']}  ({entry['where']})", []).append(entry)
    return groups.items()


def _lines(head: str, note: str, indent: int) -> Iterable[str]:
    """The head and its note, wrapped so that what follows stands below where notes begin."""
    if len(head) > indent:
        yield head.rstrip()
        head = " " * indent
    yield from textwrap.wrap(
        note,
        COLUMNS,
        initial_indent=head,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(sums: dict[str, Any]) -> str:
    addresses = sums["addresses"]
    told = ", ".join(f"{number} {verdict}" for verdict, number in addresses.items())
    return (
        f"fields: {sums['kept']} kept, {sums['changed']} changed, {sums['refused']} refused; "
        f"addresses: {told}; manifests: {sums['manifests']}; faults: {sums['faults']}"
    )
