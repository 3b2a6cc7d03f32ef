"""FairFace through the published layouts, random weights: outputs land at their labels, chips where training had them,
and every wrong file is one line."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from salmu.data.errors import UserError
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.tasks.fairface import AGES, FairFaceSettings, classify, face_chip, fairface_revision, load_fairface

VIT_LABELS = {
    "gender": ["Female", "Male"],
    "age_group": ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"],
    "region": ["Black", "East_Asian", "Indian", "Latino_Hispanic", "Middle Eastern", "Southeast_Asian", "White"],
}
LABELS = {"gender": GENDERS, "age_group": AGES, "region": REGIONS}


def resnet_weights() -> dict[str, torch.Tensor]:
    from torchvision.models import resnet34

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet34(weights=None)
        network.fc = torch.nn.Linear(512, 18)
    return network.state_dict()


@pytest.fixture(scope="session")
def resnet(tmp_path_factory):
    path = tmp_path_factory.mktemp("fairface") / "res34_fair_align_multi_7_20190809.pt"
    torch.save(resnet_weights(), path)
    return path


@pytest.fixture(scope="session")
def vits(tmp_path_factory) -> dict[str, str]:
    """Question -> folder of a tiny transformers classifier for it."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    folder, made = tmp_path_factory.mktemp("vits"), {}
    for question, labels in (VIT_LABELS | {"mood": ["glad", "sad"]}).items():
        config = ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=32,
            patch_size=16,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = ViTForImageClassification(config)
        with torch.no_grad():  # the first label always wins
            network.classifier.bias.copy_(torch.tensor([9.0] + [0.0] * (len(labels) - 1)))
        network.save_pretrained(folder / question)
        ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder / question)
        made[question] = str(folder / question)
    return made


def chips(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (224, 224, 3), np.uint8)) for _ in range(count)]


def test_no_checkpoint_no_classifier():
    assert load_fairface(FairFaceSettings()) is None


@pytest.mark.parametrize(
    ("question", "label", "output"),
    [("region", "White", 0), ("region", "Middle Eastern", 6), ("gender", "male", 7), ("gender", "female", 8)]
    + [("age_group", "0-2", 9), ("age_group", "70+", 17)],
)
def test_the_published_outputs_land_at_their_labels(tmp_path, question, label, output):
    weights = resnet_weights()
    weights["fc.weight"].zero_()
    weights["fc.bias"].zero_()[output] = 20
    torch.save({f"module.{key}": value for key, value in weights.items()}, tmp_path / "weights.pt")
    (answer,) = classify(load_fairface(FairFaceSettings(checkpoint=str(tmp_path / "weights.pt"))), chips(1))
    assert {name: tuple(scores) for name, scores in answer.items()} == LABELS
    assert answer[question][label] == 1
    others = [scores for name, scores in answer.items() if name != question]
    assert all(max(scores.values()) - min(scores.values()) < 1e-3 for scores in others)


def test_batches_change_nothing(resnet):
    pictures = chips(3)
    one, three = (FairFaceSettings(checkpoint=str(resnet), batch_size=size) for size in (1, 3))
    alone, together = (classify(load_fairface(settings), pictures) for settings in (one, three))
    for first, second in zip(alone, together, strict=True):
        for question, labels in LABELS.items():
            assert [first[question][label] for label in labels] == pytest.approx(
                [second[question][label] for label in labels], abs=2e-4
            )
            assert sum(first[question].values()) == pytest.approx(1, abs=1e-3)


def test_transformers_classifiers_answer_by_their_labels(vits):
    settings = FairFaceSettings(checkpoint=tuple(vits[question] for question in VIT_LABELS), batch_size=2)
    answers = classify(load_fairface(settings), chips(3))
    assert len(answers) == 3
    for answer in answers:
        assert {name: tuple(scores) for name, scores in answer.items()} == LABELS
        assert [max(answer[name], key=answer[name].get) for name in LABELS] == ["female", "0-2", "Black"]


def test_the_revision_follows_the_files(tmp_path, resnet):
    copy = tmp_path / "copy.pt"
    copy.write_bytes(resnet.read_bytes())
    none, before = fairface_revision(FairFaceSettings()), fairface_revision(FairFaceSettings(checkpoint=str(copy)))
    copy.write_bytes(copy.read_bytes() + b"1")
    assert len({none, before, fairface_revision(FairFaceSettings(checkpoint=str(copy)))}) == 3


def test_a_chip_has_eyes_and_nose_where_training_had_them():
    """A dot at each landmark of a face turned by 30 degrees comes out at dlib's places, at any size of the picture."""
    face = np.array([[30, 40], [70, 40], [50, 63], [36, 86], [64, 86]], float)  # upright, 40 px between the eyes
    angle = np.radians(30)
    turned = (face - 50) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 60
    for size in (2, 16):
        picture = Image.new("RGB", (120 * size, 120 * size))
        draw = ImageDraw.Draw(picture)
        for (x, y), colour in zip(turned * size, ("red", "lime", "blue", "black", "black"), strict=True):
            draw.ellipse((x - 2 * size, y - 2 * size, x + 2 * size, y + 2 * size), colour)
        chip = np.asarray(face_chip(picture, (turned * size).reshape(-1).tolist()), float)
        assert chip.shape == (224, 224, 3)
        for channel, place in ((0, (71.3, 70.4)), (1, (149.7, 70.4))):  # (0.25 + template) / 1.5 of 224
            weights = chip[:, :, channel]
            y, x = np.average(np.indices(weights.shape).reshape(2, -1), axis=1, weights=weights.ravel()) + 0.5
            assert (x, y) == pytest.approx(place, abs=2.5)


class Code:
    def __reduce__(self):
        return print, ("this must not run",)


def test_wrong_checkpoints_are_one_line(tmp_path, resnet, vits, capsys, monkeypatch):
    (tmp_path / "code.pt").write_bytes(pickle.dumps(Code()))
    torch.save({"x": Code()}, tmp_path / "zip_code.pt")
    (tmp_path / "cut.pt").write_bytes(resnet.read_bytes()[:1000])
    torch.save(resnet_weights() | {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}, tmp_path / "seven.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    four = tmp_path / "res34_fair_align_multi_4_20190809.pt"
    four.write_bytes(resnet.read_bytes())
    (tmp_path / "empty").mkdir()
    for given, problem in (
        (tmp_path / "nowhere.pt", "no such file"),
        ("weights/nowhere.pt", "no such file"),
        ("/nowhere/at/all", "no such file"),
        (tmp_path / "code.pt", "weights alone"),
        (tmp_path / "zip_code.pt", "weights alone"),
        (tmp_path / "cut.pt", "weights alone"),
        (tmp_path / "seven.pt", r"last layer is \(7, 512\)"),
        (tmp_path / "list.pt", "a table of names and tensors is expected"),
        (four, "4 regions"),
        (tmp_path / "empty", "cannot be loaded"),
        ("nobody/no-such-classifier", "cannot be fetched from the hub"),
        (vits["mood"], "has the labels glad, sad"),
        ((str(resnet), vits["gender"]), "answers gender"),
    ):
        with pytest.raises(UserError, match=problem) as caught:
            load_fairface(FairFaceSettings(checkpoint=given if isinstance(given, tuple) else str(given)))
        assert "\n" not in str(caught.value)
    assert "must not run" not in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="pip install transformers"):
        load_fairface(FairFaceSettings(checkpoint=vits["gender"]))


def test_code_and_networks_from_elsewhere_are_refused(tmp_path, vits, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    (tmp_path / "vit").mkdir()
    for path in Path(vits["gender"]).iterdir():
        (tmp_path / "vit" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "vit" / "own.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\n")
    for name, more, problem in (
        ("config.json", {"auto_map": {"AutoModelForImageClassification": "own.Net"}}, "config.json: names code in the"),
        (
            "preprocessor_config.json",
            {"auto_map": {"AutoImageProcessor": "own.P"}},
            "preprocessor_config.json: names code",
        ),
        ("config.json", {"backbone": "somebody/net", "use_timm_backbone": True}, "backbone names a network of another"),
    ):
        path = tmp_path / "vit" / name
        before = path.read_text()
        path.write_text(json.dumps(json.loads(before) | more))
        with pytest.raises(UserError, match=problem):
            load_fairface(FairFaceSettings(checkpoint=str(tmp_path / "vit")))
        path.write_text(before)
    assert load_fairface(FairFaceSettings(checkpoint=str(tmp_path / "vit"))) and not (tmp_path / "marker").exists()


def test_age_groups_of_the_schema_are_among_the_ages():
    assert AGES[3:] == AGE_GROUPS
