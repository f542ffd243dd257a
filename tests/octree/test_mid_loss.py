"""Banks and losses against loops over shapes and patches."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from octree import MIDFeatures, MIDLoss, PointBatch
from octree.mid_loss import PatchMemory, ShapeMemory, majority_patch
from pcrq import InputError

ORDER = torch.tensor([3, 0, 4, 1, 2, 11, 5, 9, 10, 6, 8, 7])  # of the points of example(), within its clouds


def unit(*size, seed=0):
    return F.normalize(torch.randn(*size, generator=torch.Generator().manual_seed(seed)), dim=-1)


def normalised(vector):
    return vector / np.linalg.norm(vector)


def example(index=(7, 2, 4)):
    """Three shapes of 5, 0 and 7 points, four patches; the shape without points was clipped away."""
    batch_id = torch.tensor([0] * 5 + [2] * 7)
    patch = torch.tensor([0, 0, 1, 3, 3] + [2, 2, 2, 0, 0, 1, 1])
    batch = PointBatch.from_points(torch.zeros(12, 3), batch_id, index=index, patches=patch)
    return MIDFeatures(unit(3, 6), unit(12, 5, seed=1)), batch


def test_banks_start_as_unit_vectors_equal_on_every_device():
    first, second = PatchMemory(4, 3, 8).memory, PatchMemory(4, 3, 8).memory
    assert torch.equal(first, second)
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(4, 3))


def test_the_shape_bank_moves_half_way_to_the_feature():
    bank, (features, batch) = ShapeMemory(10, 6), example()
    before = bank.memory.clone()
    bank.update(features.global_feature, batch.index)
    for row in range(10):
        expected = before[row].numpy()
        if row in (7, 2, 4):
            place = [7, 2, 4].index(row)
            expected = normalised(0.5 * features.global_feature[place].numpy() + 0.5 * expected)
        np.testing.assert_allclose(bank.memory[row].numpy(), expected, atol=1e-6)


def test_a_shape_that_comes_twice_counts_with_its_mean_in_any_order():
    feature, banks = unit(3, 6), []
    for order in ([0, 1, 2], [1, 2, 0]):
        bank = ShapeMemory(10, 6)
        bank.update(feature[order], torch.tensor([5, 5, 8])[order])
        banks.append(bank.memory)
    torch.testing.assert_close(*banks)
    old = ShapeMemory(10, 6).memory[5].numpy()
    mean = normalised(feature[0].numpy() + feature[1].numpy())
    np.testing.assert_allclose(banks[0][5].numpy(), normalised(mean + old), atol=1e-6)


def test_the_patch_bank_moves_to_the_mean_of_the_leaves_of_each_patch():
    bank, (features, batch) = PatchMemory(10, 4, 5), example()
    before = bank.memory.clone().numpy()
    bank.update(features.local_feature, batch.batch_id, batch.patches, batch.index)
    expected = before.copy()
    for place, row in enumerate(batch.index.tolist()):
        for patch in range(4):
            mine = (batch.batch_id == place) & (batch.patches == patch)
            if mine.any():
                mean = normalised(features.local_feature[mine].numpy().mean(axis=0))
                expected[row, patch] = normalised(0.5 * mean + 0.5 * before[row, patch])
    np.testing.assert_allclose(bank.memory.numpy(), expected, atol=1e-6)
    assert np.array_equal(bank.memory[2].numpy(), before[2])  # its shape had no leaf


def test_the_patches_of_a_shape_that_comes_twice_count_with_the_mean_of_both():
    features, batch = example(index=(7, 2, 7))
    bank, before = PatchMemory(10, 4, 5), PatchMemory(10, 4, 5).memory.numpy()
    bank.update(features.local_feature, batch.batch_id, batch.patches, batch.index)
    for patch in range(4):
        mean = normalised(features.local_feature[batch.patches == patch].numpy().mean(axis=0))
        np.testing.assert_allclose(bank.memory[7, patch].numpy(), normalised(mean + before[7, patch]), atol=1e-6)
    assert np.array_equal(np.delete(bank.memory.numpy(), 7, axis=0), np.delete(before, 7, axis=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_features_that_are_not_finite_leave_the_banks_alone(dtype):
    loss, (features, batch) = MIDLoss(10, 4, 6, 5, memory_dtype=dtype), example()
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    loss.update(MIDFeatures(features.global_feature * float("nan"), features.local_feature * float("inf")), batch)
    assert all(torch.equal(before[name], tensor) for name, tensor in loss.state_dict().items())


def test_similarities_are_to_the_patches_of_the_own_shape_for_shapes_of_any_size():
    counts = torch.tensor([1, 0, 300, 128, 129])
    bank, index = PatchMemory(9, 4, 5), torch.tensor([3, 1, 8, 0, 5])
    batch_id, feature = torch.arange(5).repeat_interleave(counts), unit(int(counts.sum()), 5)
    expected = torch.stack([bank.memory[index[shape]] @ f for shape, f in zip(batch_id, feature, strict=True)])
    torch.testing.assert_close(bank.similarity(feature, batch_id, index), expected)


def test_losses_are_cross_entropies_over_the_banks():
    loss, (features, batch) = MIDLoss(10, 4, 6, 5), example()
    result = loss(features, batch)
    shape_terms, point_terms, shape_hits, point_hits = [], [], [], []
    for place, row in enumerate(batch.index.tolist()):
        logits = loss.shape_memory.memory.numpy() @ features.global_feature[place].numpy() / 0.1
        shape_terms.append(np.log(np.exp(logits).sum()) - logits[row])
        shape_hits.append(logits.argmax() == row)
    for leaf, (place, patch) in enumerate(zip(batch.batch_id.tolist(), batch.patches.tolist(), strict=True)):
        logits = loss.patch_memory.memory[batch.index[place]].numpy() @ features.local_feature[leaf].numpy() / 0.1
        point_terms.append(np.log(np.exp(logits).sum()) - logits[patch])
        point_hits.append(logits.argmax() == patch)
    np.testing.assert_allclose(float(result.shape_loss), np.mean(shape_terms), rtol=1e-5)
    np.testing.assert_allclose(float(result.point_loss), np.mean(point_terms), rtol=1e-5)
    np.testing.assert_allclose(float(result.shape_accuracy), np.mean(shape_hits), rtol=1e-6)
    np.testing.assert_allclose(float(result.point_accuracy), np.mean(point_hits), rtol=1e-6)
    np.testing.assert_allclose(float(result.total), np.mean(shape_terms) + np.mean(point_terms), rtol=1e-5)


def test_repeated_updates_let_the_bank_recognise_its_shapes():
    loss, (features, batch) = MIDLoss(10, 4, 6, 5), example()
    first = float(loss(features, batch).total)
    for _ in range(8):
        loss.update(features, batch)
    result = loss(features, batch)
    assert float(result.total) < 0.5 * first
    assert float(result.shape_accuracy) == 1


@pytest.mark.parametrize("limit", [7, 100, 2**27])  # the last one needs 64-bit integers
def test_a_leaf_takes_the_patch_of_most_of_its_points(limit):
    leaf_of_point = torch.randint(0, 40, (2000,), generator=torch.Generator().manual_seed(0))
    patches = torch.randint(0, 7, (2000,), generator=torch.Generator().manual_seed(1))
    for leaf, patch in enumerate(majority_patch(leaf_of_point, patches, 40, limit).tolist()):
        votes = Counter(patches[leaf_of_point == leaf].tolist())
        most = max(votes.values())
        assert patch == min(p for p, count in votes.items() if count == most)


def test_features_of_voxels_get_the_cloud_and_patch_of_their_points():
    """The same as one local feature per point, where every voxel has one point; the order of the points is free."""
    loss, (features, batch) = MIDLoss(10, 4, 6, 5), example()
    expected = loss(features, batch)
    shuffled = PointBatch.from_points(
        batch.points, batch.batch_id, batch_size=3, index=batch.index, patches=batch.patches[ORDER]
    )
    found = loss(MIDFeatures(features.global_feature, features.local_feature, ORDER), shuffled)
    assert (found.point_loss, found.point_accuracy) == (expected.point_loss, expected.point_accuracy)


def test_names_of_the_banks_in_a_checkpoint():
    assert list(MIDLoss(3, 4).state_dict()) == ["shape_memory.memory", "patch_memory.memory"]


def test_banks_in_half_precision_have_nearly_the_same_similarities():
    full, half = (MIDLoss(200, 20, memory_dtype=dtype) for dtype in (torch.float32, torch.float16))
    batch_id, index = torch.arange(3).repeat_interleave(100), torch.tensor([7, 150, 2])
    for found, expected in [
        (half.shape_memory.similarity(unit(3, 128)), full.shape_memory.similarity(unit(3, 128))),
        *[tuple(loss.patch_memory.similarity(unit(300, 64), batch_id, index) for loss in (half, full))],
    ]:
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_banks_in_half_precision_are_updated_in_full_precision_and_rounded():
    (features, batch), full = example(), MIDLoss(10, 4, 6, 5)
    half = MIDLoss(10, 4, 6, 5, memory_dtype=torch.float16)
    full.load_state_dict(half.state_dict())
    for loss in (full, half):
        loss.update(features, batch)
    for name, memory in half.state_dict().items():
        assert memory.dtype == torch.float16 and torch.equal(memory, full.state_dict()[name].half())


def test_banks_load_into_banks_of_another_dtype():
    full, half = MIDLoss(10, 4, 6, 5), MIDLoss(10, 4, 6, 5, memory_dtype=torch.float16)
    full.update(*example())
    half.load_state_dict(full.state_dict())
    for name, memory in half.state_dict().items():
        assert torch.equal(memory, full.state_dict()[name].half())
    full.load_state_dict(half.state_dict())
    assert all(memory.dtype == torch.float32 for memory in full.state_dict().values())


def test_banks_must_be_floating_point():
    with pytest.raises(InputError, match=r"memory_dtype torch\.int8"):
        MIDLoss(10, memory_dtype=torch.int8)


def step_on(device: str, features: MIDFeatures, batch: PointBatch, backward: bool) -> list[torch.Tensor]:
    """Loss, gradients and banks of a step on a device; no two points share a voxel."""
    batch, loss = batch.to(device), MIDLoss(10, 4, 6, 5).to(device)
    leaves = [features.global_feature.to(device), features.local_feature.to(device)]
    features = MIDFeatures(*(leaf.requires_grad_() for leaf in leaves), ORDER.to(device))
    total = loss(features, batch).total
    if backward:
        total.backward()
    loss.update(features.detach(), batch)
    return [total.detach(), *(leaf.grad for leaf in leaves if backward), *loss.state_dict().values()]


def test_nothing_waits_for_a_gpu():
    data = example()
    with FakeTensorMode(allow_non_fake_inputs=True):  # refuses operations that transfer a result to the host
        assert {result.device.type for result in step_on("cuda", *data, backward=False)} == {"cuda"}


@pytest.mark.parametrize("shapes", [3, 10])
@pytest.mark.parametrize("index", [[2, 0, 1], [-1, -1, -1], [0, -1, 1], [0, 10, 1]])
@pytest.mark.parametrize(("patch", "row"), [(3, 11), (-1, 0), (4, 0), (0, -1), (0, 12)])
def test_the_checks_of_the_gpu_accept_what_those_of_the_cpu_accept(shapes, index, patch, row):
    features, batch = example(index)
    batch.patches[0] = patch
    features = replace(features, local_of_point=ORDER.index_fill(0, torch.tensor(5), row))
    loss = MIDLoss(shapes, 4, 6, 5)
    try:
        loss._check_values(features, batch)
    except InputError:
        assert not loss._values_in_range(features, batch)
    else:
        assert loss._values_in_range(features, batch)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_numbers():
    results = (step_on(device, *example(), backward=True) for device in ("cuda", "cpu"))
    for on_gpu, on_cpu in zip(*results, strict=True):
        torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_no_step_synchronizes():
    features, batch = example()
    batch, loss = batch.to("cuda"), MIDLoss(10, 4, 6, 5).to("cuda")
    leaves = [features.global_feature.cuda().requires_grad_(), features.local_feature.cuda().requires_grad_()]
    features = MIDFeatures(*leaves, ORDER.cuda())
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(features, batch).total.backward()
        loss.update(features.detach(), replace(batch, index=batch.index.flip(0)))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", ["index=[5]", "index=[0], patches=[0, 4]", "index=[0], patches=[0, -1]"])
def test_values_out_of_range_fail_on_a_gpu(options):
    program = (
        "import octree, torch\n"
        f"options = {{'patches': [0, 1], **dict({options})}}\n"
        "batch = octree.PointBatch.from_points(torch.zeros(2, 3), **options).to('cuda')\n"
        "features = octree.MIDFeatures(torch.rand(1, 6).cuda(), torch.rand(2, 5).cuda())\n"
        "print(octree.MIDLoss(5, 4, 6, 5).cuda()(features, batch).total.item())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode != 0 and "assert" in run.stderr


@pytest.mark.parametrize("scale", [1, 300])
def test_the_loss_of_patches_is_the_cross_entropy_of_their_similarities(scale):
    generator = torch.Generator().manual_seed(0)
    loss = MIDLoss(shapes=5, patches=7, point_channels=6)
    index, batch_id = torch.tensor([3, 1, 4]), torch.tensor([0, 0, 0, 1, 2, 2])
    patch = torch.randint(7, (6,), generator=generator)
    feature = (scale * torch.randn(6, 6, generator=generator)).requires_grad_()
    logits = torch.stack([loss.patch_memory.memory[index[b]] @ x for b, x in zip(batch_id, feature, strict=True)]) / 0.1
    expected = torch.nn.functional.cross_entropy(logits, patch)
    found, accuracy = loss.patch_memory.classify(feature, batch_id, index, patch)
    torch.testing.assert_close(found, expected)
    assert accuracy == (logits.argmax(1) == patch).float().mean()
    gradients = [torch.autograd.grad(value * 3, feature, retain_graph=True)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_the_loss_works_in_inference_mode():
    expected = MIDLoss(10, 4, 6, 5)(*example()).total
    with torch.inference_mode():
        assert MIDLoss(10, 4, 6, 5)(*example()).total == expected
