"""The pcrq distribution: four import packages, their dependencies and extras, and the console script."""

import platform
import re
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

REPOSITORY = ""
"""Address of the public repository, such as https://github.com/OWNER/pcrq; empty while there is none."""


def long_description() -> str:
    """The README with absolute links, as a package index shows it; local pictures only if they have an address."""
    text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    if REPOSITORY:
        text = re.sub(r"!\[([^\]]*)\]\((?!http)([^)]+)\)", rf"![\1]({REPOSITORY}/raw/main/\2)", text)
        return re.sub(r"(?<!!)\[([^\]]*)\]\((?!http|#)([^)]+)\)", rf"[\1]({REPOSITORY}/blob/main/\2)", text)
    text = re.sub(r"!\[[^\]]*\]\((?!http)[^)]+\)\n+(\*[^*]+\*\n+)?", "", text)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!http|#)[^)]+\)", r"\1", text)


KERNELS = (
    Extension(  # of plain C functions, loaded by ctypes; if it cannot be compiled, pcrq/cpu_kernels.py does without
        "pcrq._cpu_kernels",
        ["pcrq/cpu_kernels.cpp"],
        extra_compile_args=[
            *("-O3", "-std=c++17", "-g0"),
            *(["-mavx2", "-mfma"] if platform.machine() in ("x86_64", "AMD64") else []),
            *(["-fopenmp"] if sys.platform == "linux" else []),
        ],
        optional=True,
    )
)

RASTERIZER = Extension(  # without it Open3D casts the rays
    "data_prep._rasterizer",
    ["data_prep/rasterizer.cpp"],
    extra_compile_args=["-O3", "-std=c++17", "-g0"],
    optional=True,
)

IMAGE = ["lightly>=1.6"]  # earlier versions ask a server for their latest version when they are imported
AUDIO = [*IMAGE, "librosa>=0.10", "soundfile>=0.12", "soxr>=0.3.2"]
LOGGING = ["tensorboard>=2.16"]
DASK = ["dask[distributed]>=2024.8"]

EXTRAS = {
    "image": IMAGE,
    "audio": AUDIO,
    "tensorboard": LOGGING,
    "wandb": ["wandb>=0.17"],
    "dask": DASK,
    "ray": ["ray[client]>=2.35; python_version < '3.14'"],
    "dev": [
        *("pytest>=8", "pytest-xdist>=3.5", "pytest-cov>=5", "hypothesis>=6.100", "ruff>=0.17,<0.18"),
        *("import-linter>=2.1", "mypy>=1.13", "pre-commit>=3.7", *DASK),
    ],
}
EXTRAS["all"] = [*AUDIO, *LOGGING]

setup(
    name="pcrq",
    version="0.1.0",
    description="Self-supervised learning by randomized quantization, above all on 3D shapes",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    url=REPOSITORY or None,
    project_urls={
        "Paper": "https://openaccess.thecvf.com/content/ICCV2023/html/"
        "Wu_Randomized_Quantization_A_Generic_Augmentation_for_Data_Agnostic_Self-supervised_Learning_ICCV_2023_paper.html"
    },
    keywords="self-supervised learning, contrastive learning, data augmentation, quantization, point cloud, octree, 3D",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["pcrq*", "octree*", "data_prep*", "projects*"]),
    package_data={
        "pcrq": ["py.typed"],
        "octree": ["py.typed"],
        "projects": ["**/*.yaml", "**/*.html", "**/*.txt"],
    },
    ext_modules=[KERNELS, RASTERIZER],
    install_requires=[
        "torch>=2.8",
        "torchvision",
        "ocnn>=2.3",
        "open3d>=0.19",
        "trimesh>=4.4",
        "h5py>=3.10",
        "safetensors>=0.5",
        "numpy>=1.26",
        "scipy>=1.11",
        "scikit-learn>=1.4",
        "joblib>=1.5",
        "threadpoolctl>=3.1",
        "tqdm>=4.66",
        "pooch>=1.8",
        "lightning>=2.4",
        "jsonargparse[signatures]>=4.49",
        "pyyaml>=6",
        "matplotlib>=3.8",
        "pillow>=10.1",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["pcrq = projects.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
