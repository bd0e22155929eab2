"""Fréchet distances of the bench, each against the formula or another library."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import sqrtm

from colorize.runtime.errors import InputError
from colorize.runtime.files import photo_files
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo

torch = pytest.importorskip("torch")
torchmetrics = pytest.importorskip("torchmetrics")

from torchvision.models import squeezenet1_1  # noqa: E402

from colorize.bench.quality import evaluate, frechet  # noqa: E402
from colorize.bench.quality.candidates import without_colors  # noqa: E402
from colorize.bench.quality.dataset import PROTOCOLS, open_data, read_rgb  # noqa: E402
from colorize.bench.quality.perceptual import Weights  # noqa: E402
from colorize.bench.quality.scoring import ScoringConfig  # noqa: E402


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))


def by_hand(pictures: NDArray[np.float32], truths: NDArray[np.float32]) -> float:
    """Dowson & Landau 1982 for two Gaussians, by scipy's root of a matrix, in double precision."""
    (mean, cov), (true_mean, true_cov) = (
        (side.mean(0), np.cov(side, rowvar=False)) for side in (pictures, truths)
    )
    ridge = 1e-12 * np.eye(len(cov))
    root = sqrtm(cov @ true_cov + ridge).real
    return float(((mean - true_mean) ** 2).sum() + np.trace(cov + true_cov - 2 * root))


@pytest.mark.parametrize("size", [64, pytest.param(2048, marks=pytest.mark.slow)])
def test_the_distance_is_that_of_two_gaussians(size: int) -> None:
    rng = np.random.default_rng(5)
    truths = rng.normal(0, 1, (300, size)).astype(np.float32)
    others = (truths[::-1] * 1.2 + rng.normal(0.3, 0.2, truths.shape)).astype(np.float32)
    distance = frechet.Frechet(size)
    for other, truth in zip(others, truths, strict=True):
        distance.add(other, truth)
    assert distance.value() == pytest.approx(by_hand(others, truths), rel=1e-3)


def test_squeezenet_features_are_what_its_classifier_averages(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = squeezenet1_1(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "squeezenet.pth")
    seen = []
    network.features.register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    picture = read_photo(photo_files(SAMPLES / "test")[0]).rgb[:200, :144]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = ((picture / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    with torch.inference_mode():
        network(torch.from_numpy(pixels))
    features = frechet.SqueezeNet(Weights(tmp_path / "squeezenet.pth", ""))(picture)
    np.testing.assert_allclose(features, seen[0][0].mean((1, 2)).numpy(), rtol=1e-4, atol=1e-5)


def test_a_row_has_the_distance_of_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "LEAST_PHOTOS", 16)
    torch.manual_seed(3)
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeezenet.pth")
    data = open_data(SAMPLES / "test")
    config = ScoringConfig(
        data=data,
        candidates=(),
        protocol="imagenet256",
        distances=(("fd_squeeze", Weights(tmp_path / "squeezenet.pth", "abc")),),
    )
    measured = evaluate.measure_quality(config, data, {}, lambda found: found)
    gray, truth = measured.rows
    assert isinstance(gray, evaluate.QualityRow)
    assert isinstance(truth, evaluate.QualityRow)
    assert truth.means["fd_squeeze"] is None  # it is what the others are held against
    assert measured.weights == {"fd_squeeze": "abc"}
    squeeze = frechet.SqueezeNet(Weights(tmp_path / "squeezenet.pth", ""))
    truths = [PROTOCOLS["imagenet256"](read_rgb(photo)) for photo in data.photos]
    sides = [[squeeze(p) for p in side] for side in (map(without_colors, truths), truths)]
    expected = by_hand(np.stack(sides[0]), np.stack(sides[1]))
    assert gray.means["fd_squeeze"] == pytest.approx(expected, rel=0.02)


@pytest.mark.usefixtures("empty_cache")
def test_fid_takes_the_standard_inception_alone(tmp_path: Path) -> None:
    assert str(frechet.find_inception(None)).startswith("no Inception weights here")
    other = tmp_path / "other.pth"
    torch.save({"w": torch.zeros(1)}, other)
    assert "does not hold the standard Inception weights" in str(frechet.find_inception(other))
    with pytest.raises(InputError, match="no such file"):
        frechet.find_inception(tmp_path / "none.pth")


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_inception_features_are_torch_fidelitys(tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    from torch_fidelity import feature_extractor_inceptionv3 as module

    class Bare(module.FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: object, **__: object) -> None:
            torch.save(self.state_dict(), path)

    torch.manual_seed(1)
    torch.save({}, path)
    network = Bare("inception-v3-compat", ["2048"], str(path))
    inception = frechet.Inception(Weights(path, ""))
    picture = read_photo(photo_files(SAMPLES / "test")[0]).rgb
    resized = np.asarray(Image.fromarray(picture).resize((299, 299)))
    pixels = torch.from_numpy(resized.transpose(2, 0, 1)[None].copy())
    expected = network(pixels)[0].numpy().reshape(-1)
    np.testing.assert_allclose(inception(resized), expected, rtol=1e-3, atol=1e-4)
