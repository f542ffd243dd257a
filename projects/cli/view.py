"""``pcrq view``: a shape, image or sound beside its quantized versions: a window, a picture, a page, or to hear."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pcrq.errors import InputError
from projects.cli.output_file import check_output_file

EXAMPLES = """\
SHAPE is a mesh (obj off ply stl glb gltf), a point cloud (ply npz xyz pts txt), or a shape of a store: STORE.h5:0 is
the first, STORE.h5:-1 the last, STORE.h5:chair-003 the one of that name. A mesh is scanned and a point cloud averaged
as 'pcrq prep' does it; normals that a cloud lacks are estimated. Points are coloured by part where the store knows
parts, else by normal. Of an image (jpg png webp bmp gif tif ppm) the central square is shown. Of a sound (wav flac ogg
mp3, or one of a store) the log-mel spectrogram of the first 10 seconds is shown; as a .wav file, the original and the
draws are inverted from their spectrograms and follow one another.

examples:
  a window with the original and 5, 10, 30 and 60 bins:   pcrq view chair.obj
  a picture of three draws with the paper's 30 bins:      pcrq view shapes.h5:0 --bins 30 30 30 --save draws.png
  a page to share, for any number of bins and any draw:   pcrq view shapes.h5:0 --save chair.html
  a photo and three draws with 8 bins, as a picture:      pcrq view photo.jpg --save photo_draws.png
  a sound's spectrogram and three draws with 5 bins:      pcrq view sound.wav --save sound_draws.png
  the same to hear:                                       pcrq view sound.wav --save sound_draws.wav
"""
DEFAULT_BINS = (5, 10, 30, 60)
DEFAULT_IMAGE_BINS = (8, 8, 8)
DEFAULT_SOUND_BINS = (5, 5, 5)
DEFAULT_POINTS = 20_000
MOST_SECONDS = 10
"""Of a sound; as long as AudioSet's clips."""
KINDS = {
    "shape": {".png": "a picture", ".html": "a page"},
    "image": {".png": "a picture"},
    "sound": {".png": "a picture", ".wav": "to hear"},
}
"""What can be saved of each."""
OPTIONS_OF_ONE = {"--points": "shape", "--title": "shape", "--per_frequency": "sound"}


def register(commands) -> None:
    parser = commands.add_parser(
        "view",
        help="look at a shape, image or sound beside its quantized versions",
        usage="pcrq view SHAPE [--bins N ...] [--save FILE] [--seed N] [--points N] [--title TEXT] [--per_frequency]",
        description="Look at a shape, an image or a sound beside its quantized versions, or listen to them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shape", metavar="SHAPE", help="a mesh, point-cloud, image or sound file, or STORE.h5:INDEX")
    parser.add_argument(
        "--bins",
        metavar="N",
        type=int,
        nargs="+",
        help="bins along each axis, one cloud for each N (default: 5 10 30 60), of each colour of an image (default: "
        "8 8 8) or of the spectrogram of a sound (default: 5 5 5); a number that comes again is drawn again; in a page "
        "they are buttons beside a slider",
    )
    parser.add_argument(
        "--save",
        metavar="FILE",
        type=Path,
        help="write a .png picture, of a shape also a .html page, of a sound also a .wav file to hear; no window",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="another number, another draw (default: 0)")
    parser.add_argument(
        "--points",
        metavar="N",
        type=int,
        help="show at most N points, a random subset of a larger cloud (default: 20000)",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading (default: the name of the shape)")
    parser.add_argument("--per_frequency", action="store_true", help="a quantizer for every frequency of a sound")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Show or save one shape, image or sound; options are checked before any of it is read."""
    _check_numbers(args)
    kind = _kind(args.shape)
    _check_use(args, kind)
    {"shape": _view_shape, "image": _view_image, "sound": _view_sound}[kind](args)


def _kind(name: str) -> str:
    """What is to be viewed, by suffix or by what the store holds; what is neither image nor sound is left to shapes."""
    from data_prep.sound_loading import SOUND_FORMATS
    from pcrq.stores.store_file import split_store_name, stored_kind
    from projects.image.sources.decoding import SUFFIXES

    named = split_store_name(name)
    if named is not None:
        return stored_kind(named[0]) or "shape"
    suffix = Path(name).suffix.lower()
    return "image" if suffix in SUFFIXES else "sound" if suffix in SOUND_FORMATS else "shape"


def _view_shape(args: argparse.Namespace) -> None:
    from projects.point_cloud.view.cloud import random_subset
    from projects.point_cloud.view.figure import quantized_rows, save_png
    from projects.point_cloud.view.page import save_html
    from projects.point_cloud.view.shape_source import load_shape
    from projects.point_cloud.view.window import require_screen, show_window

    if args.save is None:
        require_screen()
    bins = DEFAULT_BINS if args.bins is None else args.bins
    whole, parts = load_shape(args.shape)
    shape = random_subset(whole, DEFAULT_POINTS if args.points is None else args.points, args.seed)
    if shape is not whole:
        print(f"{args.shape}: showing {args.points:,} of {len(whole.points):,} points; --points shows more")
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
    from projects.image.figures import figure_draws
    from projects.image.sources.decoding import read_image

    _require_screen_to_show(args, "--save picture.png")
    image = read_image(Path(args.shape), args.shape)
    bins = DEFAULT_IMAGE_BINS if args.bins is None else args.bins
    _picture(partial(figure_draws, [image], bins=bins, seed=args.seed), args.save)


def _view_sound(args: argparse.Namespace) -> None:
    from projects.audio.figures import quantized_spectrograms, save_spectrograms, save_wav
    from projects.audio.log_mel import SAMPLE_RATE
    from projects.audio.sound_source import load_waveform

    _require_screen_to_show(args, "--save picture.png or --save sound.wav")
    waveform = load_waveform(args.shape)
    if len(waveform) > MOST_SECONDS * SAMPLE_RATE:
        print(f"{args.shape}: taking the first {MOST_SECONDS} of {len(waveform) / SAMPLE_RATE:.1f} seconds")
        waveform = waveform[: MOST_SECONDS * SAMPLE_RATE]
    bins = DEFAULT_SOUND_BINS if args.bins is None else args.bins
    titles = ["original", *(f"{count} bins" for count in bins)]
    draws = quantized_spectrograms(waveform, bins=bins, seed=args.seed, per_frequency=args.per_frequency)
    if args.save is not None and args.save.suffix.lower() == ".wav":
        starts = save_wav(draws, waveform, args.save, args.seed)
        print(f"wrote {args.save}, inverted from spectrograms, one after another:")
        for title, start in zip(titles, starts, strict=True):
            print(f"{title:>10}: from {start:.1f} s")
        return
    _picture(partial(save_spectrograms, draws, titles), args.save)


def _require_screen_to_show(args: argparse.Namespace, instead: str) -> None:
    from projects.point_cloud.view.window import require_screen

    if args.save is None:
        require_screen(instead)


def _picture(draw: Callable[[Path], None], save: Path | None) -> None:
    """Draw into a file, or into one that a program of this machine shows."""
    if save is not None:
        draw(save)
        print(f"wrote {save}")
        return
    from PIL import Image, ImageShow

    with TemporaryDirectory() as folder:
        picture = Path(folder) / "draws.png"
        draw(picture)
        with Image.open(picture) as drawn:
            if not ImageShow.show(drawn):
                raise InputError("no program that shows pictures was found here; add --save picture.png")


def _check_numbers(args: argparse.Namespace) -> None:
    for bins in args.bins or ():
        if not 1 <= bins <= 1000:
            paper = "the paper uses 30 for clouds, 8 for images and 5 for sounds"
            raise InputError(f"--bins {bins}: choose a number of bins from 1 to 1000; {paper}")
    if not 0 <= args.seed < 2**32:
        raise InputError(f"--seed {args.seed}: choose a whole number from 0 to {2**32 - 1}")
    if args.points is not None and args.points < 1:
        raise InputError(f"--points {args.points}: show at least one point")


def _check_use(args: argparse.Namespace, kind: str) -> None:
    """Raise where an option, or the file to save, does not fit what is viewed."""
    for option, owner in OPTIONS_OF_ONE.items():
        given = getattr(args, option.removeprefix("--")) not in (None, False)
        if given and kind != owner:
            raise InputError(f"{option}: is for {owner}s, and {args.shape} is not one; leave it out")
    if args.save is not None:
        check_output_file(args.save, KINDS[kind])
        if args.save.exists() and Path(args.shape).exists() and args.save.samefile(args.shape):
            raise InputError(f"--save {args.save}: this would overwrite what is viewed; name another file")
