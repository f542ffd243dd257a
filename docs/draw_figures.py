"""Draw the pictures of the README and of projects/image: ``python docs/draw_figures.py``."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from data_prep.builtin_shapes import generate
from data_prep.pipeline import make_shape
from projects.image.builtin_images import BuiltinImages
from projects.image.figures import figure_views
from projects.point_cloud.view.figure import figure_quantized

IMAGES = Path(__file__).parent / "images"
SHAPES = {"chair": 7, "airplane": 5, "motorbike": 1}
PICTURES = (1, 9, 29)  # a ring, stripes, a spiral


def main() -> None:
    shapes = [replace(make_shape(generate(name, index), name), labels=None) for name, index in SHAPES.items()]
    figure_quantized(shapes, IMAGES / "quantized_shapes.png", bins=(60, 30, 30, 10))
    shrink(IMAGES / "quantized_shapes.png")
    source = BuiltinImages(size=224)
    figure_views([source[index][0] for index in PICTURES], IMAGES / "image_views.png")
    shrink(IMAGES / "image_views.png")


def shrink(path: Path) -> None:
    """Half the width, 128 colours: a fifth of the bytes."""
    picture = Image.open(path).convert("RGB")
    picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    picture.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
