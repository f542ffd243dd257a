"""``pcrq prep meshes``: a folder or zip archive of mesh files to a shape store."""

from __future__ import annotations

import argparse
from pathlib import Path

from projects.cli import prep_options

DESCRIPTION = """\
Prepare every mesh below a folder or in a zip archive: obj, off, ply, stl, glb, gltf.

Categories come from labels.csv (columns file,label) at the top of SRC or from --labels, else from the names of the
top folders. A column split (train, val or test) is kept for probes. Meshes that cannot be used are listed with the
reason in STORE.h5.refused.csv and do not stop the run. An interrupted run goes on where it stopped when the same
command is given again.
"""
EPILOG = """\
example:
  pcrq prep meshes furniture.zip --out furniture.h5
  pcrq prep meshes ModelNet10 --up z --out modelnet10.h5
"""


def register(commands) -> None:
    parser = commands.add_parser(
        "meshes",
        help="any folder or zip archive of meshes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="a folder or zip archive of meshes")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="categories: a CSV file with columns file,label")
    parser.add_argument("--up", choices=("x", "y", "z"), default="y", help="the axis that is up in SRC (default y)")
    prep_options.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from data_prep.labelled_folder import collect_meshes

    pipeline = prep_options.pipeline(args)
    source = args.source.absolute()  # a worker of a cluster may run in another folder
    meshes = collect_meshes(source, labels=args.labels, up=args.up)
    description = f"meshes of {source.resolve().name}"
    prep_options.run(args, meshes.items, pipeline=pipeline, classes=meshes.classes, source=description)
