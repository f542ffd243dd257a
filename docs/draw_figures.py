"""Draw the README's picture: ``python docs/draw_figures.py``."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from data_prep.builtin_shapes import generate
from data_prep.pipeline import prepare_shape
from projects.point_cloud.view.figure import figure_quantized

SHAPES = {"chair": 7, "airplane": 5, "motorbike": 1}


def main() -> None:
    shapes = [replace(prepare_shape(generate(name, index), name), labels=None) for name, index in SHAPES.items()]
    path = Path(__file__).parent / "images" / "quantized_shapes.png"
    figure_quantized(shapes, path, bins=(60, 30, 30, 10))
    picture = Image.open(path).convert("RGB")
    picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    picture.quantize(128).save(path, optimize=True)  # a fifth of the bytes


if __name__ == "__main__":
    main()
