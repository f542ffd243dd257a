"""``pcrq prep SOURCE``: make a store of shapes or sounds. :data:`SOURCES` is the table of all sources.

A source has a function that prepares it, given the parsed options. Imports are inside these functions, so that
``--help`` is fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pcrq import InputError
from projects.cli.prep_run import add_run_options, add_shape_options, run_recipe, shape_pipeline

if TYPE_CHECKING:
    from data_prep.download import PublishedArchive
    from data_prep.pipeline import Pipeline
    from data_prep.public_datasets import PublicDataset

LABELS = ("--labels", {"type": Path, "metavar": "CSV", "help": "categories: CSV file with columns file,label"})
DOWNLOAD = ("--download", {"action": "store_true", "help": "download what is missing to SRC"})
SEED = ("--seed", {"type": int, "default": 0, "metavar": "N", "help": "random seed (default: 0)"})
LAYOUTS = ("shapenetcore-v1", "shapenetcore-v2", "modelnet40", "shapenet-part")


@dataclass(frozen=True)
class Source:
    """One source of ``pcrq prep``.

    Args:
        name: word on the command line.
        help: one line for the list of sources.
        description: what is prepared and how, with origin and license of public data.
        examples: options of example commands.
        run: prepares the source.
        src: help of the argument SRC; "" for built-in data.
        options: options besides those of every preparation: flag and arguments of ``add_argument``.
        shapes: whether the source has the options of surfaces, see :func:`add_shape_options`.
    """

    name: str
    help: str
    description: str
    examples: tuple[str, ...]
    run: Callable[[argparse.Namespace], None]
    src: str = ""
    options: tuple[tuple[str, dict], ...] = ()
    shapes: bool = False


def register(commands) -> None:
    """Add the command with all its sources to the parser."""
    parser = commands.add_parser(
        "prep",
        help="make a store of shapes or sounds from files, built-in or public data",
        description="Make a store of shapes or sounds. Run the same command again to resume an interrupted run.",
    )
    sources = parser.add_subparsers(title="sources", metavar="SOURCE", required=True)
    for source in SOURCES:
        examples = "".join(f"  pcrq prep {source.name} {options}\n" for options in source.examples)
        command = sources.add_parser(
            source.name,
            help=source.help,
            description=source.description,
            epilog=f"example{'s' * (len(source.examples) > 1)}:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        group = command.add_argument_group("input") if source.src or source.options else command
        if source.src:
            group.add_argument("source", type=Path, metavar="SRC", help=source.src)
        for flag, arguments in source.options:
            group.add_argument(flag, **arguments)
        if source.shapes:
            add_shape_options(command)
        add_run_options(command)
        command.set_defaults(run=source.run)


# Files


def _meshes(args: argparse.Namespace) -> None:
    from data_prep.labelled_folder import collect_meshes
    from data_prep.recipes import ShapeRecipe

    recipe = ShapeRecipe(shape_pipeline(args))
    source = args.source.absolute()  # workers of a cluster may run in another folder
    meshes = collect_meshes(source, labels=args.labels, up=args.up)
    run_recipe(args, meshes.items, recipe, classes=meshes.classes, source=f"meshes of {source.resolve().name}")


def _audio(args: argparse.Namespace) -> None:
    from data_prep.labelled_folder import collect_sounds
    from data_prep.recipes import SoundRecipe

    source = args.source.absolute()
    sounds = collect_sounds(source, labels=args.labels)
    run_recipe(args, sounds.items, SoundRecipe(), classes=sounds.classes, source=f"sounds of {source.resolve().name}")


# Built-in data


def _shapes(args: argparse.Namespace) -> None:
    if args.layout:
        _write_layout(args)
        return
    from data_prep.builtin_shapes import builtin_items, class_names, part_names
    from data_prep.recipes import ShapeRecipe

    recipe = ShapeRecipe(shape_pipeline(args), part_names(args.categories))
    items = builtin_items(args.count, args.categories, args.seed)
    run_recipe(args, items, recipe, classes=class_names(args.categories), source="built-in shapes")


def _write_layout(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from data_prep import layouts
    from data_prep.builtin_shapes import builtin_items, part_names

    options = (args.resolution, args.points, args.offset, args.jobs)
    if args.method != "scan" or any(option is not None for option in options):
        raise InputError("--layout: no store is prepared; leave --method, --resolution, --points, --offset, --jobs out")
    if args.scheduler is not None:
        raise InputError("--layout: no store is prepared; leave --scheduler out")
    if args.out.suffix.lower() == ".h5":
        raise InputError(f"--out {args.out}: --layout writes a folder; choose a name without .h5")
    known = {"modelnet40": layouts.MODELNET40_CLASSES, "shapenet-part": layouts.SHAPENET_PART_CLASSES}
    categories = args.categories or known.get(args.layout)
    items = builtin_items(args.count, categories, args.seed, validation=args.layout == "shapenet-part")
    write = {
        "shapenetcore-v1": partial(layouts.write_shapenetcore, version=1),
        "shapenetcore-v2": partial(layouts.write_shapenetcore, version=2),
        "modelnet40": layouts.write_modelnet40,
        "shapenet-part": partial(layouts.write_shapenet_part, parts=part_names(categories)),
    }[args.layout]
    write(args.out, items, force=args.force, progress=partial(tqdm, desc="writing", unit="shape"))
    print(f"{args.out}: {len(items)} shapes of {len({item.category for item in items})} categories as {args.layout}")


def _sounds(args: argparse.Namespace) -> None:
    from data_prep.builtin_sounds import CATEGORIES, builtin_items
    from data_prep.recipes import SoundRecipe

    items = builtin_items(args.count, args.seed)
    run_recipe(args, items, SoundRecipe(), classes=CATEGORIES, source="built-in sounds")


# Public datasets of shapes


def _shapenet(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.shapenetcore import WHERE_TO_GET_IT, collect_shapenetcore

    if args.download:
        raise InputError(f"--download: {WHERE_TO_GET_IT}")
    if not args.source.exists():
        raise InputError(f"{args.source}: no such file or folder; {WHERE_TO_GET_IT}")
    _run_dataset(args, collect_shapenetcore(args.source, splits=args.splits), shape_pipeline(args))


def _modelnet40(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.modelnet import ARCHIVE40, collect_modelnet40

    _obtain(args, ARCHIVE40)
    _run_dataset(args, collect_modelnet40(args.source), shape_pipeline(args))


def _modelnet10(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.modelnet import ARCHIVE10, collect_modelnet10

    _obtain(args, ARCHIVE10)
    _run_dataset(args, collect_modelnet10(args.source), shape_pipeline(args))


def _shapenet_part(args: argparse.Namespace) -> None:
    from data_prep.pipeline import Pipeline
    from data_prep.public_datasets.shapenet_part import ARCHIVE, collect_shapenet_part

    _obtain(args, ARCHIVE)
    pipeline = Pipeline(seed=args.seed, grid=None, offset=0)  # the evaluation counts every labeled point
    _run_dataset(args, collect_shapenet_part(args.source), pipeline)


def _obtain(args: argparse.Namespace, archive: PublishedArchive) -> None:
    if args.download:
        archive.fetch(args.source)
    elif not args.source.exists():
        raise InputError(f"{args.source}: no such file or folder; add --download to get {archive.name} as a .zip there")


def _run_dataset(args: argparse.Namespace, dataset: PublicDataset, pipeline: Pipeline) -> None:
    from data_prep.recipes import ShapeRecipe

    source = f"{dataset.name}, {args.source.resolve().name}"
    run_recipe(args, dataset.items, ShapeRecipe(pipeline, dataset.parts), classes=dataset.classes, source=source)


# Public datasets of sounds


def _nsynth(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.nsynth import collect_nsynth

    _run_task(args, collect_nsynth)


def _urbansound8k(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.urbansound8k import collect_urbansound8k

    _run_task(args, collect_urbansound8k)


def _voxceleb1(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.voxceleb1 import collect_voxceleb1

    _run_task(args, collect_voxceleb1)


def _voxforge(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.voxforge import collect_voxforge

    _run_task(args, partial(collect_voxforge, splits=args.splits))


def _speech_commands(args: argparse.Namespace) -> None:
    from data_prep.public_datasets.speech_commands import ARCHIVE, TEST_SET, collect_speech_commands

    def collect(source: Path, unpacked: Path) -> PublicDataset:
        if args.download:
            if source.is_file() or source.name.lower().endswith(".tar.gz"):
                raise InputError(f"{source}: --download writes archives into a folder; choose a folder")
            for archive in (ARCHIVE,) if args.classes == 35 else (ARCHIVE, TEST_SET):
                archive.fetch(source / archive.url.rpartition("/")[2])
        return collect_speech_commands(source, unpacked, classes=args.classes)

    _run_task(args, collect)


def _run_task(args: argparse.Namespace, collect: Callable[[Path, Path], PublicDataset]) -> None:
    """Prepare one of the six sound tasks of the paper.

    Compressed tar archives are decompressed to the folder STORE.h5.unpacked, which is removed at the end and kept when
    the run is interrupted.

    Args:
        args: parsed options.
        collect: returns the clips, given SRC and that folder.
    """
    from data_prep.recipes import SoundRecipe
    from data_prep.run import check_target
    from data_prep.working_folder import WorkingFolder

    check_target(args.out, SoundRecipe.kind)  # before decompressing gigabytes
    unpacked = WorkingFolder(args.out.absolute().with_name(f"{args.out.name}.unpacked"))
    with unpacked.locked():
        try:
            found = collect(args.source.absolute(), unpacked.path)  # workers of a cluster may run in another folder
            recipe = SoundRecipe(task=found.task, seconds=found.seconds)
            source = f"{found.name}, {args.source.resolve().name}"
            run_recipe(args, found.items, recipe, classes=found.classes, source=source)
        except InputError:
            unpacked.remove()
            raise
        unpacked.remove()


SOURCES = (
    Source(
        "meshes",
        "folder or zip archive of meshes",
        """\
Prepare all meshes in a folder or zip archive: obj, off, ply, stl, glb, gltf.

Categories are read from labels.csv (columns file,label) at the top of SRC or from --labels; without either, they are
the names of the top folders. The optional column split (train, val or test) is used by evaluations. Meshes that cannot
be used are listed with the reason in STORE.h5.refused.csv. Run the same command again to resume an interrupted run.
""",
        ("furniture.zip --out furniture.h5", "scans --up z --out scans.h5"),
        _meshes,
        "folder or zip archive of meshes",
        (LABELS, ("--up", {"choices": ("x", "y", "z"), "default": "y", "help": "upward axis of SRC (default: y)"})),
        shapes=True,
    ),
    Source(
        "shapes",
        "built-in shapes, no download needed",
        """\
Generate shapes of 25 categories (chairs, airplanes, mugs, ...) with part labels, and prepare them.

The same options always give the same shapes. One in five is a test shape. --layout writes a folder of files in the
layout of a public dataset instead of a store, to try the reader of that dataset.
""",
        (
            "--out shapes.h5",
            "--count 20 --categories chair,table,lamp --out furniture.h5",
            "--layout modelnet40 --count 20 --out ModelNet40",
        ),
        _shapes,
        options=(
            ("--count", {"type": int, "default": 100, "metavar": "N", "help": "shapes per category (default: 100)"}),
            (
                "--categories",
                {
                    "type": lambda text: [name.strip() for name in text.split(",")],
                    "metavar": "A,B,...",
                    "help": "categories, separated by commas (default: all, or all of the layout)",
                },
            ),
            ("--layout", {"choices": LAYOUTS, "help": "write the folder --out in this layout instead of a store"}),
        ),
        shapes=True,
    ),
    Source(
        "shapenet",
        "ShapeNetCore v1 or v2: meshes, for pretraining",
        """\
Prepare ShapeNetCore, version 1 (used for pretraining in the paper) or 2; the version is detected.

SRC is the archive as downloaded, with or without a zip per synset, a folder of such zips, or the unpacked folder;
nothing needs to be unpacked. Class names come from taxonomy.json. Splits are optional: they are read from all.csv at
the top of SRC or from --splits (columns synsetId,modelId,split).

ShapeNetCore requires a registration, and is for non-commercial research and education: https://shapenet.org, or
https://huggingface.co/datasets/ShapeNet/ShapeNetCore-archive
""",
        ("ShapeNetCore.v1.zip --out shapenet.h5",),
        _shapenet,
        "zip archive or unpacked folder",
        (
            ("--splits", {"type": Path, "metavar": "CSV", "help": "list of splits (default: all.csv in SRC, if any)"}),
            ("--download", {"action": "store_true", "help": "show where to get ShapeNetCore"}),
        ),
        shapes=True,
    ),
    Source(
        "modelnet40",
        "ModelNet40: meshes of 40 classes, for classification",
        """\
Prepare ModelNet40: 12,311 meshes <class>/train|test/<class>_0001.off with z upward.

Shapes are rotated so that y is upward; classes and splits are those of the folders. The shapes of each class and split
are sorted by name, so that the first few percent are the subsets of the published few-label results.

The archive ModelNet40.zip (2 GB) is at https://modelnet.cs.princeton.edu for academic use; the copyright of the models
belongs to their authors.
""",
        ("ModelNet40.zip --download --out modelnet40.h5",),
        _modelnet40,
        "zip archive or unpacked folder",
        (DOWNLOAD,),
        shapes=True,
    ),
    Source(
        "modelnet10",
        "ModelNet10: meshes of ten classes, for classification",
        """\
Prepare ModelNet10: 4,899 meshes <class>/train|test/<class>_0001.off with z upward.

Shapes are rotated so that y is upward; classes and splits are those of the folders. The shapes of each class and split
are sorted by name.

The archive ModelNet10.zip (0.5 GB) is at https://modelnet.cs.princeton.edu for academic use; the copyright of the
models belongs to their authors.
""",
        ("ModelNet10.zip --download --out modelnet10.h5",),
        _modelnet10,
        "zip archive or unpacked folder",
        (DOWNLOAD,),
        shapes=True,
    ),
    Source(
        "shapenet-part",
        "ShapeNet Part: point clouds with part labels, for segmentation",
        """\
Prepare ShapeNet Part, the version with normals (shapenetcore_partanno_segmentation_benchmark_v0_normal).

Its 16,881 clouds have labels of 50 parts in 16 categories. All points are kept, scaled to the unit ball. Shapes are in
the order of the official lists: training, validation, test.

The terms of ShapeNet apply (https://shapenet.org): non-commercial research and education only. --download gets the
archive (0.7 GB) from its authors' server; by using it you accept those terms.
""",
        ("shapenet_part.zip --download --out shapenet_part.h5",),
        _shapenet_part,
        "zip archive or unpacked folder",
        (DOWNLOAD, SEED),
    ),
    Source(
        "audio",
        "folder or zip archive of sound files",
        """\
Prepare all sound files in a folder or zip archive: wav, flac, ogg, mp3.

Sounds of any sampling rate and number of channels become 16 kHz mono with 16 bits, at full length. Categories are read
from labels.csv (columns file,label) at the top of SRC or from --labels; without either, they are the names of the top
folders. The optional columns split (train, val or test) and fold (a number) are used by evaluations. Files that cannot
be used are listed with the reason in STORE.h5.refused.csv. Run the same command again to resume an interrupted run.
""",
        ("recordings --out recordings.h5", "birds.zip --labels birds.csv --out birds.h5"),
        _audio,
        "folder or zip archive of sound files",
        (LABELS,),
    ),
    Source(
        "sounds",
        "built-in sounds, no download needed",
        """\
Generate sounds of 12 instruments (organ, violin, bell, ...) and prepare them: single notes of 1 to 2 seconds with
random pitch, loudness, noise and reverberation.

The same options always give the same sounds. One in five is a test sound.
""",
        ("--out sounds.h5",),
        _sounds,
        options=(
            ("--count", {"type": int, "default": 100, "metavar": "N", "help": "sounds per category (default: 100)"}),
            SEED,
        ),
    ),
    Source(
        "nsynth",
        "NSynth: notes of eleven instrument families",
        """\
Prepare NSynth: 305,979 notes of eleven instrument families (NS in the paper's table 9), with the published splits.

Put the three archives (25 GB, CC BY 4.0) into one folder:
https://storage.googleapis.com/magentadata/datasets/nsynth/nsynth-{train,valid,test}.jsonwav.tar.gz
They are decompressed next to the store first, which needs 40 GB until the store is complete.
""",
        ("nsynth --out ns.h5",),
        _nsynth,
        "folder with the three archives or their content",
    ),
    Source(
        "urbansound8k",
        "UrbanSound8K: ten classes of urban sounds in ten folds",
        """\
Prepare UrbanSound8K: 8,732 clips of ten classes of urban sounds in ten folds (US8K in the paper's table 9).

Folds are numbered as published, 1 to 10; each is the test set once. The archive (6 GB) is at
https://zenodo.org/records/1203745 for non-commercial use (CC BY-NC 3.0).
""",
        ("UrbanSound8K.tar.gz --out us8k.h5",),
        _urbansound8k,
        "archive, or folder with audio and metadata",
    ),
    Source(
        "voxceleb1",
        "VoxCeleb1: speech of 1,251 speakers",
        """\
Prepare VoxCeleb1: 153,516 clips of 1,251 speakers (VC1 in the paper's table 9), with the published splits for speaker
identification.

SRC is a folder with
  iden_split.txt                                https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/iden_split.txt
  vox1_dev_wav.zip and vox1_test_wav.zip,       https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html
  or their folder wav/<speaker>/<video>/
Zip archives are read in place. The first one (32 GB) is published in pieces: cat vox1_dev_wav_parta* > vox1_dev_wav.zip
""",
        ("voxceleb1 --out vc1.h5",),
        _voxceleb1,
        "folder with iden_split.txt and the archives or their content",
    ),
    Source(
        "voxforge",
        "VoxForge: speech in six languages",
        """\
Prepare VoxForge: speech in German, English, Spanish, French, Italian and Russian, labeled by language (VF in the
paper's table 9, there with 176,438 clips).

SRC is a folder with a folder for every language, de en es fr it ru, and in these the archives (GPL) of
http://www.repository.voxforge1.org/downloads/<language>/Trunk/Audio/Main/16kHz_16bit/
as downloaded by 'wget -r -np'. Archives that cannot be read are listed with the reason in STORE.h5.refused.csv.

The splits of the paper's task are published by the authors of BYOL-A; use --splits voxforge.csv with the file from
https://github.com/nttcslab/eval-audio-repr/blob/main/evar/metadata/voxforge.csv
There a speaker may be in several splits. Without this list the task is named "VF by speaker": 70 % of the speakers, by
name, are for training, 15 % for validation and 15 % for test.
""",
        ("voxforge --splits voxforge.csv --out vf.h5",),
        _voxforge,
        "folder with a folder of archives for every language",
        (("--splits", {"type": Path, "metavar": "CSV", "help": "published list of splits (default: by speaker)"}),),
    ),
    Source(
        "speech-commands",
        "Speech Commands v0.02: 35 words, or ten words, silence and unknown",
        """\
Prepare Speech Commands v0.02: 105,829 clips of 35 words of about one second, with the published splits.

--classes 35 is SPCV2 in the paper's table 9. --classes 12 is SPCV2/12: ten words, silence (background noise in clips of
one second) and unknown (the other words), as in TensorFlow Datasets; it needs the archive of the test set, too.

The archives (2.4 GB and 0.1 GB, CC BY 4.0) are
  https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz
  https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_test_set_v0.02.tar.gz
""",
        (
            "speech_commands --download --out spcv2.h5",
            "speech_commands --classes 12 --download --out spcv2_12.h5",
        ),
        _speech_commands,
        "folder with the archives or their content; for 35 classes also the archive",
        (
            ("--classes", {"type": int, "choices": (12, 35), "default": 35, "help": "number of classes (default: 35)"}),
            DOWNLOAD,
        ),
    ),
)
