"""``pcrq report``: measured runs beside the paper's tables."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from pcrq.errors import InputError
from projects.report.tables import TABLES

DESCRIPTION = """\
Lay measured runs beside the paper's tables: Markdown on the terminal and, with --out, also as files, with a CSV file
and a picture of every table. What was not measured stays blank; results on different data get tables of their own.
"""
EPILOG = """\
RUN is a results.json, or a folder that is searched for them.

examples:
  pcrq report runs
  pcrq report runs/classify runs/segment --table 7 --out report
"""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="measured runs beside the paper's tables",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="results.json, or a folder with such files")
    titles = "; ".join(f"{number}, {table.title}" for number, table in TABLES.items())
    parser.add_argument("--table", choices=TABLES, help=f"only this table of the paper: {titles}")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write report.md, and tableN.csv and tableN.png of every table, here"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, print and write; nothing is written before everything is read."""
    if args.out is not None and not args.out.is_dir() and (args.out.exists() or not args.out.parent.is_dir()):
        raise InputError(f"--out {args.out}: not a folder, and none can be made there; choose another one")
    from projects.report.markdown import report
    from projects.report.measured import measure
    from projects.report.run_search import find_records

    found = find_records(args.runs)
    wanted = [table for number, table in TABLES.items() if args.table in (None, number)]
    sheets = [sheet for table in wanted for sheet in measure(table, found)]
    strangers = [item for item in found if not any(table.place(item.record) for table in TABLES.values())]
    if not sheets:
        raise InputError(_nothing(args, len(found)))
    unused = _unused(strangers, len(found))
    print(report(sheets, unused))
    if args.out is not None:
        args.out.mkdir(exist_ok=True)
        print("wrote", ", ".join(str(path) for path in _write(args.out, sheets, unused)))


def _nothing(args: argparse.Namespace, records: int) -> str:
    runs = " ".join(map(str, args.runs))
    if args.table is not None:
        return (
            f"--table {args.table}: none of the {records} results in {runs} belongs to it; leave --table out to see all"
        )
    return (
        f"{runs}: none of the {records} results belongs to a table of the paper; measure images (tables 1 to 5) with "
        "python -m projects.image.linear_probe, classification of shapes (table 6) with projects.point_cloud.classify, "
        "part segmentation (table 7) with projects.point_cloud.segment, or sounds (table 9) with "
        "projects.audio.pretrain evaluate"
    )


def _unused(strangers: list, records: int) -> str:
    if not strangers:
        return ""
    kinds = Counter(f"{item.record.protocol}, {item.record.metric}" for item in strangers)
    listed = "; ".join(f"{kind}: {count}" for kind, count in kinds.most_common())
    return f"{len(strangers)} of {records} results belong to none of the tables ({listed})."


def _write(folder: Path, sheets: list, unused: str) -> list[Path]:
    """Write all files; the report comes last, as it links the others."""
    from pcrq.files import write_text
    from projects.report.csv_file import save_csv
    from projects.report.markdown import report
    from projects.report.plot import save_png

    paths, pictures = [], []
    for number in dict.fromkeys(sheet.table.number for sheet in sheets):
        same = [sheet for sheet in sheets if sheet.table.number == number]
        paths.append(folder / f"table{number}.csv")
        save_csv(same, paths[-1])
        for index, sheet in enumerate(same):
            paths.append(folder / f"table{number}{f'-{index + 1}' if index else ''}.png")
            save_png(sheet, paths[-1])
            pictures.append(paths[-1].name)
    write_text(folder / "report.md", report(sheets, unused, pictures))
    return [folder / "report.md", *paths]
