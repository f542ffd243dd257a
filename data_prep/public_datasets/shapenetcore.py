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

from data_prep.public_datasets.dataset import PublicDataset, add_once, mesh_item, warn_of
from data_prep.public_datasets.recognise import LAYOUTS, SYNSET_ARCHIVE, wrong_layout
from data_prep.public_datasets.source_files import SourceFile, walk
from pcrq.errors import InputError
from pcrq.stores.store_file import SPLITS

WHERE_TO_GET_IT = (
    "ShapeNetCore is given out after registration only, for non-commercial research and education: "
    "https://shapenet.org, or https://huggingface.co/datasets/ShapeNet/ShapeNetCore-archive"
)
SPLIT_LIST = "all.csv"
_VERSIONS = {version: LAYOUTS[f"ShapeNetCore v{version}"] for version in (1, 2)}
_MODEL_FOLDER = re.compile(r"(?:^|/)(\d{8})/(?!\d{8}/)([^/]+)/")
_PAPER = 57_449  # shapes of version 1 that the paper and MID-Net pretrain on

log = logging.getLogger(__name__)


def collect_shapenetcore(source: str | Path, *, splits: str | Path | None = None) -> PublicDataset:
    """Find the models of ShapeNetCore; says in the log what is missing.

    Args:
        source: a .zip file, one that holds a zip of every synset, a folder of such zips, or the unpacked folder;
            whole or in part. The version is told by the names of the files.
        splits: a list with the columns synsetId, modelId and split; None takes all.csv at the top of the source where
            there is one.

    Returns:
        Meshes in the order of synset and model, with the id "<synset>/<model>" in both versions. A class is called by
        the first name of its synset in taxonomy.json, or by the synset where that does not list it; classes are in
        the order of their synsets. The split is "" for models that are in no list.

    Raises:
        InputError: the source is missing, damaged, hostile or of another kind, holds both versions or a model twice,
            or taxonomy.json or the list cannot be used.
    """
    source = Path(source)
    found: dict[int, dict[tuple[str, str], SourceFile]] = {version: {} for version in _VERSIONS}
    folders: set[tuple[str, str]] = set()
    tables: dict[str, SourceFile] = {}
    for file in walk(source, archives=SYNSET_ARCHIVE):
        for version, path in _VERSIONS.items():
            if match := path.search(file.name):
                add_once(found[version], match.groups(), file, source)
        if match := _MODEL_FOLDER.search(file.name):
            folders.add(match.groups())
        name = file.name.rsplit("/", 1)[-1]
        if name in ("taxonomy.json", SPLIT_LIST) and file.name.count("/") <= _depth(tables.get(name)):
            tables[name] = file
    if all(found.values()):
        raise InputError(f"{source}: holds version 1 and version 2 of ShapeNetCore; name the folder of one of them")
    version = 1 if found[1] else 2
    models = found[version]
    if not models:
        raise wrong_layout(source, "ShapeNetCore")
    names = _class_names(source, tables.get("taxonomy.json"), sorted({synset for synset, _ in models}))
    split = _read_splits(source, tables.get(SPLIT_LIST) if splits is None else _named(Path(splits)), models)
    _tell(source, version, models, folders, names)
    items = [
        mesh_item(models[key], "/".join(key), category=names[key[0]], split=split.get(key, ""), up="y")
        for key in sorted(models)
    ]
    return PublicDataset(f"ShapeNetCore v{version}", items, list(names.values()))


def _depth(file: SourceFile | None) -> float:
    return float("inf") if file is None else file.name.count("/") - 1


def _named(path: Path) -> SourceFile:
    return SourceFile(str(path), path)


def _class_names(source: Path, taxonomy: SourceFile | None, synsets: list[str]) -> dict[str, str]:
    """The class of every synset, in their order; different synsets have different names."""
    if taxonomy is None:
        log.warning("%s: no taxonomy.json in it, so the classes are called by their synsets", source)
        return {synset: synset for synset in synsets}
    try:
        entries = json.loads(taxonomy.read())
        known = {entry["synsetId"]: entry["name"].split(",")[0].strip() for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{taxonomy.name}: not ShapeNet's taxonomy ({error!r}); unpack or download it again") from None
    names = {synset: known.get(synset) or synset for synset in synsets}
    repeated = Counter(names.values())
    return {synset: name if repeated[name] == 1 else f"{name} ({synset})" for synset, name in names.items()}


def _read_splits(source: Path, table: SourceFile | None, models: dict) -> dict[tuple[str, str], str]:
    """The split by synset and model; says in the log how list and models differ."""
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
            key = (row["synsetId"] or "").strip().zfill(8), (row["modelId"] or "").strip()  # some lists drop the zero
            split = (row["split"] or "").strip()
            if split and split not in SPLITS:
                raise InputError(f"{table.name}: {'/'.join(key)} has the split {split!r}, not one of {SPLITS}")
            if splits.setdefault(key, split) != split:
                raise InputError(f"{table.name}: {'/'.join(key)} has two splits, {splits[key]!r} and {split!r}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table.name}: not a CSV file in UTF-8 ({error})") from error
    if not splits.keys() & models.keys():
        raise InputError(f"{table.name}: none of its {len(splits)} models is in {source}; it belongs to other data")
    missing = map("/".join, splits.keys() - models.keys())
    warn_of(table.name, missing, "{} of its models are not there")
    unlisted = map("/".join, models.keys() - splits.keys())
    warn_of(table.name, unlisted, "{} models are not in it, they have no split")
    return splits


def _tell(source: Path, version: int, models: dict, folders: set[tuple[str, str]], names: dict[str, str]) -> None:
    log.info(
        "%s: ShapeNetCore v%d, %d models of %d synsets%s",
        source,
        version,
        len(models),
        len(names),
        f"; the paper pretrains on {_PAPER}" if version == 1 else "",
    )
    unknown = [synset for synset, name in names.items() if name == synset]
    if len(unknown) < len(names):  # else there is no taxonomy, which has been said
        warn_of(source, unknown, "{} synsets are not in taxonomy.json and keep their number as name")
    empty = map("/".join, folders - models.keys())
    warn_of(source, empty, "{} folders of models hold no mesh")
