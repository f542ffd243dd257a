"""The examples for point clouds run on small data, and stay short."""

import ast
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

import octree

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ["midnet_meshes", "pointnet_midloss", "pyg_transform", "pointcept_transform"]


def run(monkeypatch, name: str, *arguments: object) -> dict:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_are_short(name):
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len(lines) < 40
    code = [line for line in lines[1:] if line.strip()]  # without the docstring
    if name in ("midnet_meshes", "pointnet_midloss"):
        assert len(code) <= 25


@pytest.mark.parametrize("name", ["midnet_meshes", "pointnet_midloss"])
def test_imports_come_from_at_most_three_places(name):
    nodes = list(ast.walk(ast.parse((EXAMPLES / f"{name}.py").read_text())))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    places = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names)
    assert len(places) <= 3 and places <= {"torch", "data_prep", "octree", "pcrq"}


def test_midnet_is_pretrained_on_a_folder_of_meshes(monkeypatch, tmp_path, capsys):
    (tmp_path / "meshes/more").mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "meshes/box.obj")
    trimesh.creation.icosphere(subdivisions=2).export(tmp_path / "meshes/more/ball.ply")
    (tmp_path / "meshes/readme.txt").write_text("no mesh")
    run(monkeypatch, "midnet_meshes", tmp_path / "meshes", 2, tmp_path / "out")
    assert "epoch 1: loss" in capsys.readouterr().out
    assert octree.load_pretrained(tmp_path / "out").config.width == 32


def test_a_pointnet_is_pretrained_with_midnets_loss(monkeypatch, store_path, capsys):
    torch.manual_seed(0)
    run(monkeypatch, "pointnet_midloss", store_path, 12)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 12 and losses[-1] < losses[0]


def values(points, of=slice(None)) -> list[int]:
    """The number of different values on each axis."""
    return [len(np.unique(axis)) for axis in np.asarray(points)[of].T]


def test_a_transform_for_pytorch_geometric():
    transform = runpy.run_path(str(EXAMPLES / "pyg_transform.py"))["QuantizePositions"](bins=4)
    pos, graph = torch.rand(90, 3), torch.arange(3).repeat_interleave(30)
    single = SimpleNamespace(pos=pos, batch=None, y=torch.tensor([2]))
    result = transform(single)
    assert single.pos is pos and result is not single and result.y is single.y
    assert max(values(result.pos)) <= 4
    batch = transform(SimpleNamespace(pos=pos, batch=graph))
    assert all(max(values(batch.pos, graph == i)) <= 4 for i in range(3))
    assert max(values(batch.pos)) > 4  # a quantizer per graph
    assert repr(transform) == "QuantizePositions(bins=4)"


def test_a_transform_for_pointcept(monkeypatch):
    registered = []
    module = ModuleType("pointcept.datasets.transform")
    module.TRANSFORMS = SimpleNamespace(register_module=lambda: registered.append)
    monkeypatch.setitem(sys.modules, "pointcept", ModuleType("pointcept"))
    monkeypatch.setitem(sys.modules, "pointcept.datasets", ModuleType("pointcept.datasets"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    transform = runpy.run_path(str(EXAMPLES / "pointcept_transform.py"))["QuantizeCoord"](bins=4)
    assert [kind.__name__ for kind in registered] == ["QuantizeCoord"]

    coord = np.random.default_rng(0).random((90, 3))
    cloud = transform({"coord": coord, "segment": np.zeros(90)})
    assert isinstance(cloud["coord"], np.ndarray) and max(values(cloud["coord"])) <= 4
    assert cloud["coord"].shape == coord.shape and "segment" in cloud
    clouds = transform({"coord": torch.from_numpy(coord).float(), "offset": torch.tensor([20, 90])})
    assert isinstance(clouds["coord"], torch.Tensor)
    assert max(values(clouds["coord"][:20]) + values(clouds["coord"][20:])) <= 4 < max(values(clouds["coord"]))


def test_the_pointcept_example_reads_a_scene(monkeypatch, tmp_path, capsys):
    np.save(tmp_path / "coord.npy", np.random.default_rng(0).random((500, 3)).astype(np.float32))
    run(monkeypatch, "pointcept_transform", tmp_path)
    assert "values per axis: [" in capsys.readouterr().out
