"""``pcrq report``: compare runs with the paper's tables."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq import InputError
from projects.report.tables import TABLES

if TYPE_CHECKING:
    from projects.report.aggregate import FoundRecord, MeasuredTable

DESCRIPTION = """\
Print results beside the paper's tables, as Markdown. Cells that were not measured stay blank; results on different data
are separate tables.
"""
EPILOG = f"""\
tables:
{chr(10).join(f"  {number}  {table.title}" for number, table in TABLES.items())}

examples:
  pcrq report runs
  pcrq report runs/classify runs/segment --table 7 --out report
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="compare runs with the paper's tables",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="results.json, or a folder to search for it")
    parser.add_argument("--table", choices=TABLES, help="print only this table (default: all with results)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="also write report.md, and tableN.csv and tableN.png of every table"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read all runs, print the report, write files."""
    if args.out is not None and not args.out.is_dir() and (args.out.exists() or not args.out.parent.is_dir()):
        raise InputError(f"--out {args.out}: cannot be created as a folder; choose a new folder in an existing one")
    from projects.report.aggregate import aggregate, find_records
    from projects.report.render import markdown

    found = find_records(args.runs)
    wanted = [table for number, table in TABLES.items() if args.table in (None, number)]
    tables = [measured for table in wanted for measured in aggregate(table, found)]
    if not tables:
        raise InputError(_no_results(args, len(found)))
    unused = _unused([item for item in found if not any(table.find(item.record) for table in TABLES.values())], found)
    print(markdown(tables, unused))
    if args.out is not None:
        args.out.mkdir(exist_ok=True)
        print("wrote", ", ".join(str(path) for path in _write(args.out, tables, unused)))


def _no_results(args: argparse.Namespace, records: int) -> str:
    runs = " ".join(map(str, args.runs))
    if args.table is not None:
        return (
            f"--table {args.table}: none of the {records} results in {runs} belongs to it; leave --table out to see all"
        )
    return (
        f"{runs}: none of the {records} results belongs to a table of the paper; evaluate image encoders (tables 1 to "
        "5) with pcrq evaluate images, classify shapes (table 6) with pcrq classify, segment parts (table 7) with pcrq "
        "segment, or evaluate sound encoders (table 9) with pcrq evaluate sounds"
    )


def _unused(others: list[FoundRecord], found: list[FoundRecord]) -> str:
    if not others:
        return ""
    kinds = Counter(f"{item.record.protocol}, {item.record.metric}" for item in others)
    listed = "; ".join(f"{kind}: {count}" for kind, count in kinds.most_common())
    return f"{len(others)} of {len(found)} results belong to none of the tables ({listed})."


def _write(folder: Path, tables: list[MeasuredTable], unused: str) -> list[Path]:
    """Write all files; the report comes last, as it links to the others."""
    from pcrq.files import write_text
    from projects.report.plot import save_png
    from projects.report.render import markdown, save_csv

    paths, pictures = [], []
    for number in dict.fromkeys(measured.table.number for measured in tables):
        same = [measured for measured in tables if measured.table.number == number]
        paths.append(folder / f"table{number}.csv")
        save_csv(same, paths[-1])
        for index, measured in enumerate(same):
            paths.append(folder / f"table{number}{f'-{index + 1}' if index else ''}.png")
            save_png(measured, paths[-1])
            pictures.append(paths[-1].name)
    write_text(folder / "report.md", markdown(tables, unused, pictures))
    return [folder / "report.md", *paths]
