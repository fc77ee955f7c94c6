"""Downloads packages that ship trained weights, checks the weights as data, and compares with the table.

Run it with `python -m examples.published_weights` from the folder above `examples/`; README.md says more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import bnlint
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.full import render
from examples.published_weights.download import DownloadError, WrongContentsError, download
from examples.published_weights.recount import NotLoadedError, batch_norms
from examples.published_weights.table import Package, WeightFile, packages

AS_IN_THE_TABLE, OTHERWISE, NOT_DOWNLOADED = 0, 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.published_weights", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PACKAGE", help="packages of the table; the small ones by default")
    parser.add_argument("--all", action="store_true", help="all packages of the table, 190 MB")
    parser.add_argument("--reports", action="store_true", help="print bnlint's reports in full")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {package.name for package in packages()}
    if unknown:
        parser.error(f"not in the table: {', '.join(sorted(unknown))}")
    wanted = [
        package
        for package in packages()
        if options.all or (package.name in options.names if options.names else not package.large)
    ]
    with tempfile.TemporaryDirectory() as folder:
        try:
            places = download(wanted, Path(folder))
        except DownloadError as error:
            print(error, file=sys.stderr)
            return NOT_DOWNLOADED
        except WrongContentsError as error:
            print(error, file=sys.stderr)
            return OTHERWISE
        agree = [check(package, places[package.name], reports=options.reports) for package in wanted]
    print(f"{sum(agree)} of {len(agree)} packages are as in the table")
    return AS_IN_THE_TABLE if all(agree) else OTHERWISE


def check(package: Package, place: Path, *, reports: bool) -> bool:
    """Check the files of one package, and say what bnlint sees in each and where that is not what the table says."""
    print(f"{package.name} {package.version} ({package.licence})")
    agree = True
    for file in package.files:
        seen, differences = look(file, place / file.path, reports=reports)
        print(f"  {file.path}\n    {seen}")
        for difference in differences:
            print(f"    NOT AS IN THE TABLE: {difference}")
        agree = agree and not differences
    return agree


def look(file: WeightFile, path: Path, *, reports: bool) -> tuple[str, list[str]]:
    """What bnlint says of a file, and where that differs from the table or from a second count."""
    try:
        report = bnlint.check(path)
    except bnlint.NotAnalysedError as error:
        said = str(error).replace(str(path), path.name)
        return said, [] if file.refused and file.refused in said else ["it should be read"]
    if reports:
        print(render(report, Style(120)))
    layers = dict(report.coverage.kinds)
    codes = tuple(finding.code for finding in report.findings)
    expected = {"layers": file.layers, "findings": tuple(sorted(file.findings))}
    found = {"layers": layers, "findings": tuple(sorted(codes))}
    differences = [f"{what} should be {expected[what]}" for what in expected if expected[what] != found[what]]
    if file.refused:
        differences.append("it should be refused")
    differences += second_count(path, layers.get("batch_norm", 0), calls_foreign_code="BN005" in codes)
    counted = ", ".join(f"{number} {kind}" for kind, number in layers.items()) or "no normalisation layer"
    return " · ".join((report.coverage.form, counted, *codes)), differences


def second_count(path: Path, found: int, *, calls_foreign_code: bool) -> list[str]:
    """Where torch, onnx or safetensors disagree with bnlint."""
    try:
        counted = batch_norms(path)
    except NotLoadedError:
        return [] if calls_foreign_code else ["torch.load refuses it, and bnlint names no foreign code"]
    if calls_foreign_code:
        return ["torch.load takes it as weights, and bnlint names foreign code"]
    return [] if counted in (found, None) else [f"a second count gives {counted} BatchNorm layers"]


if __name__ == "__main__":
    sys.exit(main())
