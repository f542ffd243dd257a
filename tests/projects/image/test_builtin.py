"""Built-in images: reproducible, and classes that shape tells apart and colour does not."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from pcrq import InputError
from projects.image.builtin_images import BuiltinImages
from projects.image.sources import open_source


def arrays(source, count: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = [source[index] for index in range(count)]
    return np.stack([np.asarray(image) for image, _ in pairs]), np.array([label for _, label in pairs])


@pytest.fixture(scope="module")
def data():
    """Training and test images (N, 32, 32, 3) uint8 with labels."""
    return arrays(BuiltinImages("train"), 2400), arrays(BuiltinImages("test"), 480)


def edge_feature(images: np.ndarray) -> np.ndarray:
    """How much edge there is in the whole image and around its middle, fine and coarse: blind to colour and place."""
    features = []
    for step in (1, 2, 4):
        coarse = images[:, : 32 // step * step, : 32 // step * step].astype(float)
        coarse = coarse.reshape(len(images), 32 // step, step, 32 // step, step, 3).mean((2, 4))
        down, across = np.gradient(coarse, axis=1), np.gradient(coarse, axis=2)
        strength = np.sqrt((down**2 + across**2).sum(3))
        angle = np.arctan2((2 * down * across).sum(3), (across**2 - down**2).sum(3))
        bins = np.floor((angle + np.pi) / (2 * np.pi) * 12).astype(int) % 12
        histogram = np.stack([(strength * (bins == b)).sum((1, 2)) for b in range(12)], 1)
        total = histogram.sum(1, keepdims=True)
        directions = np.abs(np.fft.rfft(histogram / total, axis=1))[:, 1:]  # the same for a turned image
        sharp = np.sort((strength / strength.mean((1, 2), keepdims=True)).reshape(len(images), -1), 1)
        quantiles = sharp[:, np.linspace(0, sharp.shape[1] - 1, 12).astype(int)]
        features.append(np.concatenate([directions * 3, quantiles], 1))
    return np.concatenate(features, 1)


def knn_accuracy(feature, data) -> float:
    (train, train_labels), (test, test_labels) = data
    fit, measured = feature(train), feature(test)
    mean, deviation = fit.mean(0), fit.std(0) + 1e-9
    knn = KNeighborsClassifier(10, weights="distance").fit((fit - mean) / deviation, train_labels)
    return knn.score((measured - mean) / deviation, test_labels)


def test_shape_tells_classes_apart(data):
    assert knn_accuracy(edge_feature, data) > 0.6  # chance is 0.06


def test_colour_does_not(data):
    assert knn_accuracy(lambda images: images.mean((1, 2)), data) < 0.13


def test_an_image_is_a_function_of_seed_split_and_index():
    first, again = BuiltinImages("train", 64), BuiltinImages("train", 128)
    assert all(first[index][0].tobytes() == again[index][0].tobytes() for index in (0, 5, 63))
    for other in (BuiltinImages("test", 64), BuiltinImages("train", 64, seed=1)):
        assert first[5][0].tobytes() != other[5][0].tobytes()
        assert first.digest != other.digest


def test_train_and_test_have_no_image_in_common(data):
    (train, _), (test, _) = data
    assert len(np.unique(np.concatenate([train, test]), axis=0)) == len(train) + len(test)


def test_classes_are_balanced(data):
    (_, labels), _ = data
    classes = BuiltinImages("train").classes
    np.testing.assert_array_equal(np.bincount(labels), [2400 // len(classes)] * len(classes))
    assert len(classes) == len(set(classes)) >= 10


def test_pretraining_images_are_the_training_images():
    assert BuiltinImages("pretrain").digest == BuiltinImages("train").digest


@pytest.mark.parametrize("size", [8, 33, 96])
def test_any_size(size):
    image, label = BuiltinImages("train", 16, size)[7]
    assert (image.size, image.mode, label) == ((size, size), "RGB", 7)


def test_statistics_are_those_of_the_images(data):
    (train, _), _ = data
    source = BuiltinImages("train")
    np.testing.assert_allclose(train.mean((0, 1, 2)) / 255, source.mean, atol=0.02)
    np.testing.assert_allclose(train.std((0, 1, 2)) / 255, source.std, atol=0.02)


@pytest.mark.parametrize("options", [{"count": 0}, {"size": 7}, {"seed": -1}])
def test_bad_options(options):
    with pytest.raises(InputError, match="built-in images"):
        BuiltinImages("train", **options)


def test_an_image_beyond_the_last_does_not_exist():
    with pytest.raises(IndexError):
        BuiltinImages("train", 16)[16]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("imagenot", "train"), "unknown source 'imagenot'; available: builtin, folder, CIFAR10"),
        (("builtin", "valid"), "unknown split 'valid'; available: pretrain, train, test"),
        (("builtin", "train", "somewhere"), "need no folder"),
        (("folder", "train"), "root is missing"),
        (("CIFAR10", "train"), "root is missing"),
    ],
)
def test_bad_sources(arguments, message):
    with pytest.raises(InputError, match=message):
        open_source(*arguments)
