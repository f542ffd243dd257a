"""Read ShapeNetCore, version 1 or 2, as its authors publish it: meshes by synset and model, y up, and taxonomy.json.

Source: Chang et al., "ShapeNet: An Information-Rich 3D Model Repository", arXiv:1512.03012.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections import Counter
from pathlib import Path

from data_prep.public_datasets.dataset import (
    LAYOUTS,
    SYNSET_ARCHIVE,
    PublicDataset,
    add_shape,
    warn_of,
    wrong_shape_layout,
)
from data_prep.source_files import SourceFile, mesh_item, walk
from pcrq import InputError
from pcrq.stores.store_file import SPLITS

WHERE_TO_GET_IT = (
    "ShapeNetCore is available after registration only, for non-commercial research and education: "
    "https://shapenet.org, or https://huggingface.co/datasets/ShapeNet/ShapeNetCore-archive"
)
# WordNet 3.0 offsets, as in ShapeNet. ShapeNetCore has no stools, and vases are in the category jar (03593526).
SYNSETS: dict[str, str] = {
    "airplane": "02691156",
    "bag": "02773838",
    "bed": "02818832",
    "bench": "02828884",
    "bookshelf": "02871439",
    "bottle": "02876657",
    "cabinet": "02933112",
    "cap": "02954340",
    "car": "02958343",
    "chair": "03001627",
    "earphone": "03261776",
    "guitar": "03467517",
    "knife": "03624134",
    "lamp": "03636649",
    "laptop": "03642806",
    "monitor": "03211117",
    "motorbike": "03790512",
    "mug": "03797390",
    "pistol": "03948459",
    "rocket": "04099429",
    "skateboard": "04225987",
    "sofa": "04256520",
    "stool": "04326896",
    "table": "04379243",
    "vase": "04522168",
}
SPLIT_LIST = "all.csv"
_VERSIONS = {version: LAYOUTS[f"ShapeNetCore v{version}"] for version in (1, 2)}
_MODEL_FOLDER = re.compile(r"(?:^|/)(\d{8})/(?!\d{8}/)([^/]+)/")
_PAPER = 57_449  # shapes of version 1 that the paper and MID-Net pretrain on

log = logging.getLogger(__name__)


def collect_shapenetcore(source: str | Path, *, splits: str | Path | None = None) -> PublicDataset:
    """Find the models of ShapeNetCore; what is missing is logged.

    Args:
        source: a .zip file, a .zip file of one zip per synset, a folder of such zips, or the extracted folder; complete
            or in part. The names of the files identify the version.
        splits: a list with the columns synsetId, modelId and split; default: all.csv at the top of the source if it
            exists.

    Returns:
        Meshes in the order of synset and model, with the id "<synset>/<model>" in both versions. The name of a class is
        the first name of its synset in taxonomy.json, or the synset if it is not in there; classes are in the order of
        their synsets. The split is "" for models that are in no list.

    Raises:
        InputError: the source is missing, damaged, hostile or of another kind, contains both versions or a model twice,
            or taxonomy.json or the list cannot be used.
    """
    source = Path(source)
    found: dict[int, dict[tuple[str, str], SourceFile]] = {version: {} for version in _VERSIONS}
    folders: set[tuple[str, str]] = set()
    tables: dict[str, SourceFile] = {}
    for file in walk(source, archives=SYNSET_ARCHIVE):
        for version, path in _VERSIONS.items():
            if match := path.search(file.name):
                add_shape(found[version], match.groups(), file, source)
        if match := _MODEL_FOLDER.search(file.name):
            folders.add(match.groups())
        name = file.name.rsplit("/", 1)[-1]
        if name in ("taxonomy.json", SPLIT_LIST) and file.name.count("/") <= _depth(tables.get(name)):
            tables[name] = file
    if all(found.values()):
        raise InputError(f"{source}: contains version 1 and version 2 of ShapeNetCore; pass the folder of one of them")
    version = 1 if found[1] else 2
    models = found[version]
    if not models:
        raise wrong_shape_layout(source, "ShapeNetCore")
    names = _class_names(source, tables.get("taxonomy.json"), sorted({synset for synset, _ in models}))
    split = _read_splits(
        source, tables.get(SPLIT_LIST) if splits is None else SourceFile(str(splits), Path(splits)), models
    )
    _log_found(source, version, models, folders, names)
    items = [
        mesh_item(models[key], "/".join(key), category=names[key[0]], split=split.get(key, ""), up="y")
        for key in sorted(models)
    ]
    return PublicDataset(f"ShapeNetCore v{version}", items, list(names.values()))


def _depth(file: SourceFile | None) -> float:
    return float("inf") if file is None else file.name.count("/") - 1


def _class_names(source: Path, taxonomy: SourceFile | None, synsets: list[str]) -> dict[str, str]:
    """The class of every synset, in their order; different synsets have different names."""
    if taxonomy is None:
        log.warning("%s: contains no taxonomy.json, so the classes are named by their synsets", source)
        return {synset: synset for synset in synsets}
    try:
        entries = json.loads(taxonomy.read())
        known = {entry["synsetId"]: entry["name"].split(",")[0].strip() for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{taxonomy.name}: not ShapeNet's taxonomy ({error!r}); extract or download it again"
        ) from None
    names = {synset: known.get(synset) or synset for synset in synsets}
    repeated = Counter(names.values())
    return {synset: name if repeated[name] == 1 else f"{name} ({synset})" for synset, name in names.items()}


def _read_splits(source: Path, table: SourceFile | None, models: dict) -> dict[tuple[str, str], str]:
    """The split by synset and model; differences between list and models are logged."""
    if table is None:
        return {}
    splits: dict[tuple[str, str], str] = {}
    try:
        rows = csv.DictReader(io.StringIO(table.read().decode("utf-8-sig")), strict=True)
        if not {"synsetId", "modelId", "split"} <= set(rows.fieldnames or ()):
            raise InputError(
                f"{table.name}: columns {rows.fieldnames}, expected 'synsetId', 'modelId' and 'split' among them"
            )
        for row in rows:
            key = (
                (row["synsetId"] or "").strip().zfill(8),
                (row["modelId"] or "").strip(),
            )  # some omit the 0
            split = (row["split"] or "").strip()
            if split and split not in SPLITS:
                raise InputError(f"{table.name}: {'/'.join(key)} has the split {split!r}, not one of {SPLITS}")
            if splits.setdefault(key, split) != split:
                raise InputError(f"{table.name}: {'/'.join(key)} has two splits, {splits[key]!r} and {split!r}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table.name}: not a CSV file in UTF-8 ({error})") from error
    if not splits.keys() & models.keys():
        raise InputError(f"{table.name}: none of its {len(splits)} models is in {source}; it is for another dataset")
    missing = map("/".join, splits.keys() - models.keys())
    warn_of(table.name, missing, "{} of its models are missing")
    unlisted = map("/".join, models.keys() - splits.keys())
    warn_of(table.name, unlisted, "{} models are not in it and have no split")
    return splits


def _log_found(source: Path, version: int, models: dict, folders: set[tuple[str, str]], names: dict[str, str]) -> None:
    log.info(
        "%s: ShapeNetCore v%d, %d models of %d synsets%s",
        source,
        version,
        len(models),
        len(names),
        f"; the paper pretrains on {_PAPER}" if version == 1 else "",
    )
    unknown = [synset for synset, name in names.items() if name == synset]
    if len(unknown) < len(names):  # otherwise there is no taxonomy, which is logged already
        warn_of(source, unknown, "{} synsets are not in taxonomy.json and named by their number")
    empty = map("/".join, folders - models.keys())
    warn_of(source, empty, "{} folders of models contain no mesh")
