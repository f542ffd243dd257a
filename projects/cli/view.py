"""``pcrq view``: show a shape, image or sound beside its quantized versions."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pcrq import InputError
from projects.cli.output_file import check_output_file

DESCRIPTION = """\
Show a shape, image or sound beside its quantized versions, in a window or, with --save, as a file: a picture, for
shapes also an interactive HTML page, for sounds also a .wav file to listen to.
"""
EPILOG = """\
SRC is one of:
  a mesh           obj off ply stl glb gltf
  a point cloud    ply npz xyz pts txt; missing normals are estimated
  an image         jpg png webp bmp gif tif ppm; its central square
  a sound          wav flac ogg mp3; the log-mel spectrogram of the first 10 seconds
  an entry of a store, by index or id: STORE.h5:0, STORE.h5:-1, STORE.h5:chair-003

Meshes are scanned and point clouds simplified as by 'pcrq prep'. Points are colored by part if the store has part
labels, else by normal. A .wav file contains the original and the quantized versions one after another, all inverted
from their spectrograms.

examples:
  pcrq view chair.obj                                        a window with the original and 5, 10, 30 and 60 bins
  pcrq view shapes.h5:0 --bins 30 30 30 --save samples.png   a picture of three samples with the paper's 30 bins
  pcrq view shapes.h5:0 --save chair.html                    a page for any number of bins and any seed
  pcrq view photo.jpg --save photo_samples.png               a photo and three samples with 8 bins
  pcrq view sound.wav --save sound_samples.png               a spectrogram and three samples with 5 bins
  pcrq view sound.wav --save sound_samples.wav               the same as sound
"""
DEFAULT_BINS = (5, 10, 30, 60)
DEFAULT_IMAGE_BINS = (8, 8, 8)
DEFAULT_SOUND_BINS = (5, 5, 5)
DEFAULT_POINTS = 20_000
MAX_SECONDS = 10  # the length of AudioSet's clips
KINDS = {
    "shape": {".png": "picture", ".html": "page"},
    "image": {".png": "picture"},
    "sound": {".png": "picture", ".wav": "sound"},
}
"""Output files for each kind of input."""
ONLY_FOR = {"points": "shape", "title": "shape", "per_frequency": "sound"}
VIEWERS = ("xdg-open", "display", "gm", "eog", "xv")
"""Linux programs through which Pillow shows pictures."""


def register(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "view",
        help="show a shape, image or sound beside its quantized versions",
        usage="pcrq view SRC [--bins N ...] [--save FILE] [--seed N] [--points N] [--title TEXT] [--per_frequency]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="mesh, point-cloud, image or sound file, or STORE.h5:INDEX")
    parser.add_argument(
        "--bins",
        metavar="N",
        type=int,
        nargs="+",
        help="number of bins of each version; repeat a number to sample it again (default: 5 10 30 60 for shapes, "
        "8 8 8 for images, 5 5 5 for sounds)",
    )
    parser.add_argument(
        "--save", metavar="FILE", type=Path, help="file to write: .png, .html (shapes), .wav (sounds) (default: window)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="random seed (default: 0)")
    only = parser.add_argument_group("for one kind of input")
    only.add_argument(
        "--points", metavar="N", type=int, help="shapes: largest number of points, chosen at random (default: 20000)"
    )
    only.add_argument("--title", metavar="TEXT", help="shapes: heading (default: name of the shape)")
    only.add_argument("--per_frequency", action="store_true", help="sounds: one quantizer per frequency")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Show or save one shape, image or sound; options are checked before it is read."""
    _check_numbers(args)
    kind = _kind(args.source)
    _check_use(args, kind)
    {"shape": _view_shape, "image": _view_image, "sound": _view_sound}[kind](args)


def _kind(name: str) -> str:
    """Return the kind of an existing file by its suffix, or of a store by its content; shape for unknown suffixes."""
    from data_prep.sound_loading import SOUND_FORMATS
    from pcrq.stores import split_store_name, stored_kind
    from projects.image.image_source import SUFFIXES

    named = split_store_name(name)
    path = Path(name if named is None else named[0])
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if named is not None:
        return stored_kind(named[0]) or "shape"
    suffix = Path(name).suffix.lower()
    return "image" if suffix in SUFFIXES else "sound" if suffix in SOUND_FORMATS else "shape"


def _view_shape(args: argparse.Namespace) -> None:
    from projects.point_cloud.view.cloud import load_shape, random_subset
    from projects.point_cloud.view.figure import quantized_rows, save_png
    from projects.point_cloud.view.page import save_html
    from projects.point_cloud.view.render import require_screen, show_window

    if args.save is None:
        require_screen()
    bins = DEFAULT_BINS if args.bins is None else args.bins
    points = DEFAULT_POINTS if args.points is None else args.points
    whole, parts = load_shape(args.source)
    shape = random_subset(whole, points, args.seed)
    if shape is not whole:
        print(f"{args.source}: showing {points:,} of {len(whole.points):,} points; use --points to show more")
    title = args.title if args.title is not None else shape.id
    if args.save is not None and args.save.suffix.lower() == ".html":
        save_html([shape], args.save, title=title, bins=list(bins), seed=args.seed, parts=parts)
        print(f"wrote {args.save}: open it in a browser")
        return
    (clouds,) = quantized_rows([shape], bins=bins, seed=args.seed)
    for cloud in clouds:
        print(f"{cloud.title:>10}: {cloud.distinct:6,} distinct points, {cloud.leaves:6,} leaves at depth 6")
    if args.save is None:
        show_window(clouds, title=title)
    else:
        save_png([clouds], args.save, title=title)
        print(f"wrote {args.save}")


def _view_image(args: argparse.Namespace) -> None:
    from projects.image.figures import figure_samples
    from projects.image.image_source import read_image

    if args.save is None:
        _require_viewer("--save picture.png")
    image = read_image(Path(args.source), args.source)
    bins = DEFAULT_IMAGE_BINS if args.bins is None else args.bins
    _picture(partial(figure_samples, [image], bins=bins, seed=args.seed), args.save)


def _view_sound(args: argparse.Namespace) -> None:
    from projects.audio.figures import load_waveform, quantized_spectrograms, save_spectrograms, save_wav
    from projects.audio.log_mel import SAMPLE_RATE

    if args.save is None:
        _require_viewer("--save picture.png or --save sound.wav")
    waveform = load_waveform(args.source)
    if len(waveform) > MAX_SECONDS * SAMPLE_RATE:
        print(f"{args.source}: showing the first {MAX_SECONDS} of {len(waveform) / SAMPLE_RATE:.1f} seconds")
        waveform = waveform[: MAX_SECONDS * SAMPLE_RATE]
    bins = DEFAULT_SOUND_BINS if args.bins is None else args.bins
    titles = ["original", *(f"{count} bins" for count in bins)]
    spectrograms = quantized_spectrograms(waveform, bins=bins, seed=args.seed, per_frequency=args.per_frequency)
    if args.save is not None and args.save.suffix.lower() == ".wav":
        starts = save_wav(spectrograms, waveform, args.save, args.seed)
        print(f"wrote {args.save}, inverted from spectrograms:")
        for title, start in zip(titles, starts, strict=True):
            print(f"{title:>10}: at {start:.1f} s")
        return
    _picture(partial(save_spectrograms, spectrograms, titles), args.save)


def _require_viewer(instead: str) -> None:
    """Check that a screen and a program to show pictures are available.

    Without a program Pillow falls back to IPython's display, which prints the picture as a Python object.
    """
    from projects.point_cloud.view.render import require_screen

    require_screen(instead)
    if sys.platform.startswith("linux") and not any(map(shutil.which, VIEWERS)):
        raise InputError(f"no program to show pictures is installed ({', '.join(VIEWERS)}); add {instead}")


def _picture(draw: Callable[[Path], None], save: Path | None) -> None:
    """Write a picture to a file, or show it with a program of this machine."""
    if save is not None:
        draw(save)
        print(f"wrote {save}")
        return
    from PIL import Image, ImageShow

    with TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        draw(picture)
        with Image.open(picture) as opened:
            if not ImageShow.show(opened):
                raise InputError("the picture cannot be shown on this machine; add --save picture.png")


def _check_numbers(args: argparse.Namespace) -> None:
    for bins in args.bins or ():
        if not 1 <= bins <= 1000:
            paper = "the paper uses 30 for clouds, 8 for images and 5 for sounds"
            raise InputError(f"--bins {bins}: must be from 1 to 1000; {paper}")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: must be from 0 to {2**32 - 1}")
    if args.points is not None and args.points < 1:
        raise InputError(f"--points {args.points}: must be at least 1")


def _check_use(args: argparse.Namespace, kind: str) -> None:
    """Check that options and output file fit the kind of input."""
    article = "an" if kind == "image" else "a"
    for option, owner in ONLY_FOR.items():
        if getattr(args, option) not in (None, False) and kind != owner:
            raise InputError(
                f"--{option}: only for {owner}s, but {args.source} is read as {article} {kind}; leave it out"
            )
    if args.save is not None:
        check_output_file(args.save, KINDS[kind])
        if args.save.exists() and Path(args.source).exists() and args.save.samefile(args.source):
            raise InputError(f"--save {args.save}: this is the input file; choose another file")
