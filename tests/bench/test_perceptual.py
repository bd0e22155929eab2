"""LPIPS of the bench against the paper's formula, and where its weights are found."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from helpers.bench import near

from colorize.runtime.color import U8
from colorize.runtime.errors import InputError
from colorize.runtime.files import photo_files, sha256
from colorize.runtime.models.catalog import SAMPLES
from colorize.runtime.photo.reader import read_photo

torch = pytest.importorskip("torch")
torchmetrics = pytest.importorskip("torchmetrics")

from torchvision.models import get_model  # noqa: E402

from colorize.bench.quality import perceptual  # noqa: E402


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Torchvision's three networks with random weights, under names that say nothing."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for index, name in enumerate(perceptual.NETWORKS.values()):
        if name != "vgg16":  # 528 MB
            torch.save(get_model(name, weights=None).state_dict(), folder / f"{index}.pth")
    torch.save({"lin0.model.1.weight": torch.rand(1, 64, 1, 1)}, folder / "heads.pth")
    return folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))


# Layers behind which LPIPS v0.1 compares features, counted in torchvision's `features`.
TAPS = {"alex": [1, 4, 7, 9, 11], "vgg": [3, 8, 15, 22, 29], "squeeze": [1, 4, 7, 9, 10, 11, 12]}


def lpips_by_hand(net: str, weights: Path, picture: U8, truth: U8) -> float:
    """Zhang et al. 2018, equation 1, with the heads that torchmetrics ships."""
    import torchmetrics.functional.image.lpips as shipped

    features = get_model(perceptual.NETWORKS[net], weights=None).eval()
    features.load_state_dict(torch.load(weights, weights_only=True))
    heads = torch.load(
        Path(shipped.__file__).parent / "lpips_models" / f"{net}.pth", map_location="cpu"
    )
    shift, scale = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450])
    )
    sides = [
        (torch.from_numpy(side.transpose(2, 0, 1)[None] / 127.5 - 1).float() - shift) / scale
        for side in (picture, truth)
    ]
    total = 0.0
    for index, layer in enumerate(features.features):
        sides = [layer(side) for side in sides]
        if index in TAPS[net]:
            units = [side / side.norm(dim=1, keepdim=True) for side in sides]
            head = heads[f"lin{TAPS[net].index(index)}.model.1.weight"]
            total += float(((units[0] - units[1]) ** 2 * head.view(1, -1, 1, 1)).sum(1).mean())
    return total


@pytest.mark.parametrize("net", ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("empty_cache")
def test_lpips_is_the_papers(net: str, backbones: Path, tmp_path: Path) -> None:
    folder = backbones
    if net == "vgg":  # 528 MB
        folder = tmp_path
        torch.save(get_model("vgg16", weights=None).state_dict(), folder / "network.pth")
    weights = perceptual.find_lpips(net, [folder], download=False)
    assert isinstance(weights, perceptual.Weights)
    assert weights.sha256 == sha256(weights.path)
    lpips = perceptual.Lpips(net, weights)
    real = read_photo(photo_files(SAMPLES / "test")[0]).rgb[:128, :96]
    random = np.random.default_rng(6).integers(0, 256, (128, 96, 3), np.uint8)
    black = np.zeros_like(random)
    for truth in (real, random, black, real):  # nothing is left of the one before
        other = near(truth)
        with torch.inference_mode():
            expected = lpips_by_hand(net, weights.path, other, truth)
        assert lpips(other, truth) == pytest.approx(expected, rel=1e-3)
        assert lpips(truth, truth) == 0
    assert torch.hub.get_dir().endswith("hub")  # the user's cache is as it was


@pytest.mark.usefixtures("empty_cache")
def test_weights_that_are_not_here_are_a_reason_and_wrong_ones_an_error(
    backbones: Path, tmp_path: Path
) -> None:
    reason = perceptual.find_lpips("vgg", [backbones], download=False)
    assert reason == "no vgg16 weights here: give --lpips-weights or allow --download"
    with pytest.raises(InputError, match="not the weights of torchvision's"):
        perceptual.find_lpips("squeeze", [backbones / "heads.pth"], download=False)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="not a file of weights"):
        perceptual.find_lpips("squeeze", [tmp_path / "text.pth"], download=False)
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="not a file of weights"):
        perceptual.find_lpips("squeeze", [tmp_path / "list.pth"], download=False)
    with pytest.raises(InputError, match="no such file"):
        perceptual.find_lpips("squeeze", [tmp_path / "none.pth"], download=False)


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("invalid hash value")])
def test_weights_that_cannot_be_fetched_are_a_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    reason = perceptual.find_lpips("alex", [], download=True)
    assert reason == f"alexnet weights could not be fetched ({error})"


@pytest.mark.usefixtures("empty_cache")
def test_weights_in_torchs_cache_are_found(backbones: Path) -> None:
    cache = Path(torch.hub.get_dir(), "checkpoints", "squeezenet1_1-b8a52dc0.pth")
    cache.parent.mkdir(parents=True)
    cache.write_bytes((backbones / "2.pth").read_bytes())
    found = perceptual.find_lpips("squeeze", [], download=False)
    assert found == perceptual.Weights(cache, sha256(cache))
