"""Linear evaluation of encoders of sounds: what is trained on what, when it stops, and what is recorded."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pcrq import InputError
from pcrq.evaluation import linear_accuracy
from pcrq.stores.sound_store import SoundStore
from projects.audio import evaluate as evaluation
from projects.audio.embedding import embed_sounds
from projects.audio.encoder import KEY, AudioNTT2020, describe
from projects.audio.evaluate import held_out, main, partitions, standardize_, train_classifier
from projects.audio.log_mel import LogMel, LogMelStatistics
from projects.audio.waveforms import Clips, waveform_statistics
from projects.training.records import read_records

pytestmark = pytest.mark.medium

STATISTICS = LogMelStatistics(-6.0, 4.0)


@pytest.fixture(scope="module")
def encoder() -> AudioNTT2020:
    torch.manual_seed(0)
    return AudioNTT2020(16).eval()


@pytest.fixture(scope="module")
def checkpoint(encoder, tmp_path_factory) -> Path:
    """As a pretraining with quantization leaves it."""
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    state = {f"framework.encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    about = describe(encoder, STATISTICS, {"augmentation": {"bins": 5}, "epochs": 3, "seed": 4})
    torch.save({KEY: about, "state_dict": {**state, "framework.predictor.weight": torch.zeros(2)}}, path)
    return path


@pytest.fixture(scope="module")
def published(encoder, tmp_path_factory) -> Path:
    """As nttcslab publishes its own."""
    path = tmp_path_factory.mktemp("published") / "AudioNTT2020-BYOLA-64x96d16.pth"
    torch.save(encoder.state_dict(), path)
    return path


def evaluate(store: Path, run: Path, *options: str) -> int:
    words = [
        f"--store={store}",
        f"--out={run}",
        "--workers=0",
        "--device=cpu",
        "--dimension=16",
        "--channels=8",
        "--repeats=2",
    ]
    return main([*words, *options])


# --- embeddings -------------------------------------------------------------------------------------------------------


def naive_embedding(encoder, samples: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return encoder((LogMel()(torch.from_numpy(samples)[None]) + 6.0) / 4.0)[0]


def test_clips_are_cut_or_centred_to_the_length_of_the_task(sounds, encoder):
    store = SoundStore(sounds)
    embedded = embed_sounds(encoder, STATISTICS, store, np.array([0, 2, 1]), seconds=1.0, batch_size=2)
    for row, index in zip(embedded, (0, 2, 1), strict=True):  # 0.6, 1.4 and 1.0 s
        whole = store.samples(index)
        if len(whole) < 16_000:
            whole = np.pad(whole, (16_000 - len(whole)) // 2)
        cut = (len(whole) - 16_000) // 2
        torch.testing.assert_close(row, naive_embedding(encoder, whole[cut : cut + 16_000]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_whole_clips_are_embedded_at_their_own_lengths_in_their_order(sounds, encoder, batch_size):
    store, indices = SoundStore(sounds), np.array([9, 2, 1, 4, 23])
    encoder.train()
    embedded = embed_sounds(encoder, STATISTICS, store, indices, batch_size=batch_size)
    assert encoder.training and not embedded.requires_grad
    encoder.eval()
    for row, index in zip(embedded, indices, strict=True):
        samples = store.samples(index)
        short = max(0, 15_200 - len(samples))
        expected = naive_embedding(encoder, np.pad(samples, (short // 2, short - short // 2)))
        torch.testing.assert_close(row, expected, atol=1e-4, rtol=1e-4)


def test_a_long_clip_passes_in_pieces_and_is_the_same_but_for_their_seams(sounds, encoder, monkeypatch):
    from projects.audio import embedding

    store = SoundStore(sounds)
    whole = embed_sounds(encoder, STATISTICS, store, np.array([2]))
    monkeypatch.setattr(embedding, "_FRAMES_AT_ONCE", 48)  # 141 frames: 48, 48 and 45
    pieces = embed_sounds(encoder, STATISTICS, store, np.array([2]))
    assert not torch.equal(whole, pieces)
    torch.testing.assert_close(whole, pieces, atol=0.05, rtol=0.2)


def test_pieces_are_pooled_together(sounds, encoder, monkeypatch):
    """Maximum plus mean of the features of all pieces, the last of which is too short for one."""
    from projects.audio import embedding

    store, clip = SoundStore(sounds), np.array([2])
    monkeypatch.setattr(embedding, "_FRAMES_AT_ONCE", 45)  # 141 frames: 45, 45, 45 and 6
    log_mel = (LogMel()(torch.from_numpy(store.samples(2))[None]) + 6.0) / 4.0
    with torch.no_grad():
        frames = torch.cat([encoder.frames(log_mel[..., start : start + 45]) for start in (0, 45, 90)], dim=1)
    expected = encoder.pool(frames)
    torch.testing.assert_close(embed_sounds(encoder, STATISTICS, store, clip), expected, atol=1e-6, rtol=1e-6)


def test_a_batch_has_fewer_clips_where_they_are_long(sounds, encoder, monkeypatch):
    from projects.audio import waveforms as store_waveforms

    store, indices, shapes, frames = SoundStore(sounds), np.arange(24), [], encoder.frames
    expected = embed_sounds(encoder, STATISTICS, store, indices)
    monkeypatch.setattr(store_waveforms, "FRAMES_IN_A_BATCH", 300)
    monkeypatch.setattr(encoder, "frames", lambda log_mel: shapes.append(tuple(log_mel.shape[::3])) or frames(log_mel))
    found = embed_sounds(encoder, STATISTICS, store, indices)
    assert set(shapes) == {(3, 96), (2, 96), (2, 101), (2, 141)} and sum(count for count, _ in shapes) == 24
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(store_waveforms, "FRAMES_IN_A_BATCH", 50)
    embed_sounds(encoder, STATISTICS, store, indices[:4])
    assert [count for count, _ in shapes[-4:]] == [1, 1, 1, 1]
    statistics = waveform_statistics(Clips(store, indices, 1.4))
    monkeypatch.undo()
    whole = waveform_statistics(Clips(store, indices, 1.4))
    assert (statistics.mean, statistics.std) == pytest.approx((whole.mean, whole.std), rel=1e-5)


def test_statistics_of_a_task_are_those_of_its_training_sounds(sounds):
    store, indices = SoundStore(sounds), np.arange(16)
    measured = waveform_statistics(Clips(store, indices, 1.0))
    values = torch.cat([LogMel()(Clips(store, indices, 1.0)[i][None]) for i in range(16)])
    assert (measured.mean, measured.std) == pytest.approx((values.mean().item(), values.std().item()), abs=1e-3)


# --- the classifier ---------------------------------------------------------------------------------------------------


def test_features_are_standardised_as_by_scikit_learn_and_constant_ones_centred():
    features = torch.randn(40, 6) * torch.tensor([1, 5, 0.01, 300, 1, 0]) + torch.tensor([0, 3, -1, 1000, 7, 0.1])
    train = torch.arange(0, 40, 3)
    expected = StandardScaler().fit(features[train].double().numpy()).transform(features.double().numpy())
    found = standardize_(features.clone(), train)
    np.testing.assert_allclose(found[:, :5], expected[:, :5], atol=1e-3)
    assert torch.isfinite(found).all() and found[:, 5].abs().max() < 1e-6


def blobs(classes: int = 3, count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    category = torch.arange(count) % classes
    return F.one_hot(category, classes).float() + torch.randn(count, classes, generator=generator), category


def test_training_stops_after_ten_worse_epochs_and_takes_the_last_of_the_best(monkeypatch):
    features, category = blobs()
    train, validation = torch.arange(40), torch.arange(40, 60)
    told, seen = iter([0.5, 0.7, 0.6, 0.7, *[0.69] * 100]), []

    def scripted(layer, features, category):
        seen.append(layer.weight.detach().clone())
        return next(told)

    monkeypatch.setattr(evaluation, "linear_accuracy", scripted)
    layer = train_classifier(features, category, train, validation, 3, seed=1)
    assert len(seen) == 4 + 10
    assert torch.equal(layer.weight, seen[3]) and not torch.equal(layer.weight, seen[1])


def test_no_more_epochs_than_asked_for(monkeypatch):
    features, category = blobs()
    seen = []
    monkeypatch.setattr(evaluation, "linear_accuracy", lambda *_: seen.append(0) or len(seen) / 100)
    train_classifier(features, category, torch.arange(40), torch.arange(40, 60), 3, seed=1, epochs=7)
    assert len(seen) == 7


def test_the_layer_is_trained_by_adam_on_shuffled_batches_of_200():
    """The first epochs once more, with the gradient of the softmax by hand."""
    features, category = blobs(count=500)
    layer = train_classifier(features, category, torch.arange(450), torch.arange(450, 500), 3, seed=2, epochs=1)
    generator = torch.Generator().manual_seed(2)
    bound = 3**-0.5
    weight = torch.empty(3, 3).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(3).uniform_(-bound, bound, generator=generator)
    mean, square = torch.zeros(3, 4), torch.zeros(3, 4)
    batches = torch.randperm(450, generator=generator).split(200)
    for step, batch in enumerate(batches, 1):
        error = (features[batch] @ weight.t() + bias).softmax(dim=1) - F.one_hot(category[batch], 3)
        gradient = torch.cat([error.t() @ features[batch], error.sum(dim=0)[:, None]], dim=1) / len(batch)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        change = 0.001 * mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
        weight, bias = weight - change[:, :3], bias - change[:, 3]
    assert [len(batch) for batch in batches] == [200, 200, 50]
    torch.testing.assert_close(layer.weight, weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.bias, bias, atol=1e-5, rtol=0)


def test_the_classifier_learns_what_logistic_regression_learns():
    generator = torch.Generator().manual_seed(1)
    category = torch.arange(9000) % 3
    features = 1.5 * F.one_hot(category, 3).float() + torch.randn(9000, 3, generator=generator)
    layer = train_classifier(features, category, torch.arange(5000), torch.arange(5000, 6000), 3, seed=0)
    reference = LogisticRegression().fit(features[:5000], category[:5000])
    expected = reference.score(features[6000:], category[6000:])
    assert 0.7 < expected < 0.9
    assert linear_accuracy(layer, features[6000:], category[6000:]) == pytest.approx(expected, abs=0.01)


# --- partitions -------------------------------------------------------------------------------------------------------


def test_a_tenth_of_every_category_is_held_out():
    category = np.array([0] * 50 + [1] * 4 + [2])
    train = np.arange(100, 155)
    left, taken = held_out(train, category, [3, 0])
    assert sorted([*left, *taken]) == train.tolist()
    assert np.bincount(category[taken - 100], minlength=3).tolist() == [5, 1, 0]
    assert (
        held_out(train, category, [3, 0])[1].tolist() == taken.tolist() != held_out(train, category, [4, 0])[1].tolist()
    )
    with pytest.raises(InputError, match="one training sound"):
        held_out(np.arange(3), np.arange(3), [0])


def test_every_fold_is_the_test_set_once(write_sounds, tmp_path):
    folds = [10, 1, 2, 2, 1, 10, 10, 10]
    parts = partitions(SoundStore(write_sounds(tmp_path / "f.h5", ["train"] * 8, folds)))
    assert [(part.fold, part.test.tolist(), part.train.tolist()) for part in parts] == [
        (1, [1, 4], [0, 2, 3, 5, 6, 7]),
        (2, [2, 3], [0, 1, 4, 5, 6, 7]),
        (10, [0, 5, 6, 7], [1, 2, 3, 4]),
    ]


def test_folds_are_left_out_as_by_a_loop_with_scikit_learn(write_sounds, checkpoint, tmp_path, monkeypatch, capsys):
    """Of four folds of different sizes the smallest has wrong labels, so that it matters how the mean is taken."""
    folds, about = [0] * 6 + [1] * 10 + [2] * 14 + [3] * 2, {"task": "US8K", "seconds": 1.0}
    store = write_sounds(tmp_path / "folds.h5", [""] * 32, folds, mislabelled=(30, 31), parameters=about)
    opened, truth = SoundStore(store), torch.arange(32) % 2
    features = F.one_hot(truth, 2) + 0.1 * torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(evaluation, "embed_sounds", lambda *_, **options: features)
    category, scores = opened.category, []
    for train, test in LeaveOneGroupOut().split(features, category, folds):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(features[train], category[train])
        scores.append(accuracy_score(category[test], model.predict(features[test])))
    assert scores == [1, 1, 1, 0]  # of all clips 94 % would be right
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 4)  # of so few clips one batch an epoch would not get far
    monkeypatch.setattr(evaluation, "LEARNING_RATE", 0.01)
    assert evaluate(store, tmp_path / "run", f"--checkpoint={checkpoint}") == 0
    records = read_records(tmp_path / "run/results.json")
    assert [record.seed for record in records] == [0, 1]
    for record in records:
        assert record.value == pytest.approx(np.mean(scores), abs=1e-9)
        assert (record.train_samples, record.test_samples, record.config["folds"]) == (24, 32, 4)
        assert record.config["task"] == "US8K" and record.config["seconds"] == 1.0
    by_fold = ", ".join(f"{fold}: {100 * score:.1f}" for fold, score in enumerate(scores))
    assert f"accuracy by fold, %: {by_fold}" in capsys.readouterr().err


def test_every_fold_standardises_the_embeddings_once_by_its_own_clips(write_sounds, checkpoint, tmp_path, monkeypatch):
    """The values once more, from copies of the embeddings."""
    folds = np.array([0] * 8 + [1] * 12 + [2] * 20)
    store = SoundStore(write_sounds(tmp_path / "folds.h5", [""] * 40, folds.tolist(), mislabelled=range(12, 18)))
    truth, drawn = torch.arange(40) % 2, torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    features = torch.cat([3 * truth[:, None] + drawn, 7 + torch.from_numpy(folds)[:, None]], dim=1)
    category, standardise, times = torch.from_numpy(store.category.astype(np.int64)), evaluation.standardize_, []
    monkeypatch.setattr(evaluation, "embed_sounds", lambda *_, **options: features.clone())
    monkeypatch.setattr(evaluation, "standardize_", lambda *a: times.append(1) or standardise(*a))
    monkeypatch.setattr(evaluation, "LEARNING_RATE", 0.01)
    assert evaluate(store.path, tmp_path / "run", f"--checkpoint={checkpoint}", "--seconds=1", "--epochs=9") == 0
    assert len(times) == 3  # for both repeats
    for record in read_records(tmp_path / "run/results.json"):
        values = []
        for part in partitions(store):
            deviation, mean = torch.std_mean(features[part.train], dim=0, correction=0)
            standardised = (features - mean) / deviation
            train, validation = held_out(part.train, category[part.train].numpy(), [record.seed, part.fold])
            layer = train_classifier(
                standardised, category, *map(torch.from_numpy, (train, validation)), 2, record.seed, 9
            )
            values.append(linear_accuracy(layer, standardised[part.test], category[part.test]))
        assert record.value == np.mean(values) and len(set(values)) > 1


def test_the_mean_over_folds_counts_every_fold_alike(write_sounds, checkpoint, tmp_path, monkeypatch):
    store = write_sounds(tmp_path / "folds.h5", [""] * 12, [0] * 2 + [1] * 4 + [2] * 6)
    values = iter([1.0, 0.5, 0.0] * 2)
    monkeypatch.setattr(evaluation, "partition_accuracy", lambda *_: next(values))
    assert evaluate(store, tmp_path / "run", f"--checkpoint={checkpoint}", "--seconds=1") == 0
    assert [record.value for record in read_records(tmp_path / "run/results.json")] == [0.5, 0.5]


def test_a_validation_split_is_taken_where_there_is_one(write_sounds, checkpoint, tmp_path, monkeypatch):
    store = write_sounds(tmp_path / "s.h5", ["train"] * 8 + ["val"] * 4 + ["test"] * 4 + [""] * 2)
    seen, original = [], evaluation.train_classifier

    def watched(features, category, train, validation, *rest):
        seen.append((train.tolist(), validation.tolist()))
        return original(features, category, train, validation, *rest)

    monkeypatch.setattr(evaluation, "train_classifier", watched)
    assert evaluate(store, tmp_path / "run", f"--checkpoint={checkpoint}", "--seconds=1") == 0
    assert seen == [(list(range(8)), [8, 9, 10, 11])] * 2
    (record, _) = read_records(tmp_path / "run/results.json")
    assert (record.train_samples, record.test_samples) == (8, 4) and "folds" not in record.config


def test_held_out_clips_are_not_trained_on_and_differ_between_repeats(sounds, checkpoint, tmp_path, monkeypatch):
    seen, original = [], evaluation.train_classifier

    def watched(features, category, train, validation, *rest):
        seen.append((set(train.tolist()), set(validation.tolist())))
        return original(features, category, train, validation, *rest)

    monkeypatch.setattr(evaluation, "train_classifier", watched)
    evaluate(sounds, tmp_path / "run", f"--checkpoint={checkpoint}", "--seconds=1", "--repeats=4")
    assert all(train | validation == set(range(16)) and not train & validation for train, validation in seen)
    assert {len(validation) for _, validation in seen} == {2} and len({tuple(taken) for _, taken in seen}) > 1


# --- what is recorded -------------------------------------------------------------------------------------------------


def test_every_repeat_is_a_record_and_nothing_is_measured_twice(sounds, checkpoint, tmp_path, monkeypatch, capsys):
    embedded, original = [], evaluation.embed_sounds
    monkeypatch.setattr(evaluation, "embed_sounds", lambda *a, **k: embedded.append(len(a[3])) or original(*a, **k))
    options = (f"--checkpoint={checkpoint}", "--seconds=1")
    assert evaluate(sounds, tmp_path, *options) == 0
    assert embedded == [24]  # once for both repeats
    before = (tmp_path / "results.json").read_bytes()
    assert evaluate(sounds, tmp_path, *options) == 0
    assert embedded == [24] and (tmp_path / "results.json").read_bytes() == before
    assert evaluate(sounds, tmp_path, *options, "--repeats=3") == 0
    records = read_records(tmp_path / "results.json")
    assert [record.seed for record in records] == [0, 1, 2] and embedded == [24, 24]
    one = records[0]
    assert (one.task, one.protocol, one.metric) == ("sound classification", "linear evaluation", "accuracy")
    assert (one.method, one.train_samples, one.test_samples, one.ratio) == ("RRC+RQ", 16, 8, 1.0)
    assert one.config["pretraining"]["seed"] == 4 and one.config["task"] == "sounds.h5"
    assert 0.5 < one.value <= 1  # low and high tones
    assert "over 3 repeats" in capsys.readouterr().err


def test_python_m_runs_the_same_program(sounds, checkpoint, tmp_path):
    words = [f"--store={sounds}", f"--checkpoint={checkpoint}", f"--out={tmp_path}", "--seconds=1", "--repeats=1"]
    command = [sys.executable, "-m", "projects.audio.evaluate", *words, "--workers=0", "--device=cpu"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    first, *_, result, following = ended.stderr.splitlines()
    assert first.startswith(f"evaluate sounds: 24 sounds of {sounds}, RRC+RQ, on cpu; output: {tmp_path}")
    assert "RRC+RQ: accuracy" in result and following == f"next: pcrq report {tmp_path}"


def test_evaluation_is_reproducible(sounds, checkpoint, tmp_path):
    values = []
    for run in ("a", "b"):
        evaluate(sounds, tmp_path / run, f"--checkpoint={checkpoint}", "--seconds=1", "--epochs=2")
        values.append([record.value for record in read_records(tmp_path / run / "results.json")])
    assert values[0] == values[1]


def test_statistics_are_the_tasks_or_those_of_the_pretraining(sounds, checkpoint, tmp_path, monkeypatch):
    used, original = [], evaluation.embed_sounds
    monkeypatch.setattr(evaluation, "embed_sounds", lambda *a, **k: used.append(a[1]) or original(*a, **k))
    options = (f"--checkpoint={checkpoint}", "--seconds=1", "--repeats=1")
    evaluate(sounds, tmp_path, *options)
    evaluate(sounds, tmp_path, *options, "--statistics=pretraining")
    assert used == [waveform_statistics(Clips(SoundStore(sounds), np.arange(16), 1.0)), STATISTICS]
    assert [record.config["statistics"] for record in read_records(tmp_path / "results.json")] == [
        "task",
        "pretraining",
    ]


def test_a_random_encoder_is_scratch_and_drawn_by_the_seed(sounds, tmp_path):
    for seed in (0, 0, 5):
        assert evaluate(sounds, tmp_path, "--seconds=1", "--repeats=1", f"--seed={seed}") == 0
    records = read_records(tmp_path / "results.json")
    assert [(record.method, record.seed) for record in records] == [("scratch", 0), ("scratch", 5)]
    assert records[0].config["weights"] != records[1].config["weights"]
    assert records[0].config["pretraining"] == {} and records[0].config["encoder"] == {
        "dimension": 16,
        "mels": 64,
        "channels": 8,
    }


def test_published_weights_are_byol_a_and_equal_the_same_encoder_of_ours(sounds, checkpoint, published, tmp_path):
    assert evaluate(sounds, tmp_path / "a", f"--checkpoint={published}", "--seconds=1") == 0
    assert evaluate(sounds, tmp_path / "b", f"--checkpoint={checkpoint}", "--seconds=1") == 0
    theirs, ours = (read_records(tmp_path / run / "results.json") for run in ("a", "b"))
    assert {record.method for record in theirs} == {"BYOL-A"}
    assert [record.value for record in theirs] == [record.value for record in ours]
    assert theirs[0].config["weights"] == ours[0].config["weights"]
    assert theirs[0].config["pretraining"] == {"weights of": published.name}


def test_weights_of_another_name_need_one_for_the_results(sounds, published, tmp_path, capsys):
    other = shutil.copy(published, tmp_path / "mine.pth")
    options = (f"--checkpoint={other}", "--seconds=1", "--repeats=1")
    assert evaluate(sounds, tmp_path, *options) == 2
    assert (
        "mine.pth: does not contain how it was pretrained; set its name in the results: --method"
        in capsys.readouterr().err
    )
    assert evaluate(sounds, tmp_path, *options, "--method=mine") == 0
    assert read_records(tmp_path / "results.json")[0].method == "mine"


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--store=nowhere.h5"], "nowhere.h5: no such file"),
        (["--store=SHAPES"], "a shape store, but not a sound store"),
        (["--seconds=null"], "does not contain the clip length of its task; set --seconds"),
        (["--seconds=0"], "seconds 0.0"),
        (["--checkpoint=nowhere.ckpt"], "nowhere.ckpt: no such checkpoint file"),
        (["--checkpoint=SHAPES"], "not a checkpoint"),
        (["--checkpoint=OTHER"], "not of sounds"),
        (["--checkpoint=DAMAGED"], "its description of the encoder cannot be read"),
        (["--checkpoint=PUBLISHED", "--statistics=pretraining"], "does not contain the statistics of its pretraining"),
        (["--statistics=mine"], "statistics"),
        (["--repeats=0"], "repeats 0"),
        (["--epochs=0"], "epochs 0"),
        (["--seed=-1"], "seed -1"),
        (["--batch_size=0"], "batch_size 0"),
        (["--workers=-1"], "workers -1"),
        (["--device=cuda:9"], "cuda:9"),
        (["--dimension=0"], "dimension 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_one_line(
    sounds, store_path, pretrained_path, published, checkpoint, tmp_path, capsys, options, word
):
    damaged = torch.load(checkpoint, weights_only=True)
    damaged["state_dict"].pop("framework.encoder.fc.0.weight")
    torch.save(damaged, tmp_path / "damaged.ckpt")
    places = {
        "SHAPES": store_path,
        "OTHER": pretrained_path,
        "PUBLISHED": published,
        "DAMAGED": tmp_path / "damaged.ckpt",
    }
    for name, place in places.items():
        options = [option.replace(name, str(place)) for option in options]
    try:
        status = evaluate(sounds, tmp_path / "run", "--seconds=1", *options)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err.splitlines()
    assert status == 2 and error[-1].startswith("pcrq evaluate sounds: error: ") and word in error[-1]
    assert not (tmp_path / "run/results.json").exists()


@pytest.mark.parametrize(
    ("splits", "folds", "options", "word"),
    [
        (["train"] * 4, None, {}, "no labeled sound in the split 'test'"),
        (["test"] * 4, None, {}, "no labeled sound in the split 'train'"),
        (["train", "test"] * 4, None, {"labelled": False}, "no sound has a category"),
        (["train"] * 4 + ["test"] * 4, None, {"classes": 1}, "are of one category"),
        ([""] * 4, [1, 1, -1, 2], {}, "clip2 has no fold, but others have"),
        ([""] * 4, [3, 3, 3, 3], {}, "all sounds are in fold 3"),
        ([""] * 4, [1, 2, 1, 2], {}, "without fold 1 are of one category"),
        (["train", "train", "test"], None, {}, "one training sound"),
    ],
)
def test_stores_that_cannot_be_evaluated_say_why(
    write_sounds, checkpoint, tmp_path, capsys, splits, folds, options, word
):
    store = write_sounds(tmp_path / "s.h5", splits, folds, **options)
    assert evaluate(store, tmp_path / "run", f"--checkpoint={checkpoint}", "--seconds=1") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pcrq evaluate sounds: error: ") and word in error
