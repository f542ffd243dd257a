"""The pcrq distribution: four import packages, their dependencies and extras, and the console script."""

from pathlib import Path

from setuptools import find_packages, setup

DASK = ["dask[distributed]>=2024.8"]
TEST = ["pytest>=8", "hypothesis>=6.100", "pytest-xdist>=3.5", "ruff>=0.17,<0.18", "import-linter>=2.1", *DASK]

EXTRAS = {
    "test": TEST,
    "tensorboard": ["tensorboard>=2.16"],
    "dask": DASK,
    "ray": ["ray[client]>=2.35; python_version < '3.14'"],
}
EXTRAS["all"] = EXTRAS["tensorboard"] + TEST

setup(
    name="pcrq",
    version="0.1.0",
    description="Self-supervised learning by randomized quantization, above all on 3D shapes",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["pcrq*", "octree*", "data_prep*", "projects*"]),
    package_data={"projects": ["**/*.yaml", "**/*.html", "**/*.js"]},
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
        "lightly>=1.6",  # earlier ones ask a server for their latest version when they are imported
        "pyyaml>=6",
        "librosa>=0.10",
        "soundfile>=0.12",
        "soxr>=0.3.2",
        "matplotlib>=3.8",
        "pillow>=10.1",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["pcrq = projects.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
