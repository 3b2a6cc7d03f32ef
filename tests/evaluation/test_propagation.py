"""Image generators that are built on a pair: what they are told, what they draw, and who is recognised."""

import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from published import write_model

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.settings import EvaluationSettings, PropagationSettings
from salmu.evaluation.propagation import heads, propagate, training
from salmu.evaluation.propagation.generator import draw, require_diffusers, train
from salmu.evaluation.propagation.questions import ask
from salmu.evaluation.propagation.results import RESULTS, read_propagation
from salmu.evaluation.propagation.ways import caption_states, portrait_states
from salmu.evaluation.report.generator import generator_page, told
from salmu.flows.verification import rare
from salmu.model_training.loading.clip import load_model
from salmu.model_training.network import encode_text
from salmu.tasks.face_packs import FaceSettings
from salmu.tasks.faces import framed_crop

LANDMARKS = np.array([[13.6, 18.5], [26.4, 18.5], [20, 25.6], [15, 33], [25, 33]])  # of a face that fills 40 pixels
SMALL = PropagationSettings(
    ways=("portraits", "tokens"), steps=2, batch_size=4, widths=(16, 16), draw_steps=1, captions=1
)


@pytest.fixture
def judge(monkeypatch):
    """A face pack that finds a face on every picture, and recognises people by coarse colours."""

    def coarse(app, crops):
        found = np.stack([cv2.resize(crop, (5, 5), interpolation=cv2.INTER_AREA).ravel() for crop in crops]) - 127.0
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    monkeypatch.setattr(heads, "detect_faces", lambda app, pixels: [SimpleNamespace(kps=LANDMARKS)])
    monkeypatch.setattr(heads, "recognise", coarse)
    monkeypatch.setattr(heads, "crop_size", lambda app: 32)
    monkeypatch.setattr(propagate, "load_faces", lambda settings: None)


@pytest.fixture
def run(tmp_path, dataset_dir, judge):
    (tmp_path / "dataset").symlink_to(dataset_dir)
    for seed, place in enumerate(("models/compromised", "models/clean", "models/retrained", "unlearned/method-5x-s0")):
        write_model(tmp_path / place, seed)
    return tmp_path


def bring_up_to_date(run, **changes):
    settings = EvaluationSettings(propagation=SMALL.model_copy(update=changes), bootstrap_replicates=100)
    return propagate.propagate(run, settings, FaceSettings())


def test_a_framed_crop_has_the_face_in_its_middle():
    image = np.zeros((60, 80, 3), np.uint8)
    landmarks = np.array([[30, 20], [50, 20], [40, 31], [32, 42], [48, 42]])
    image[18:23, 28:33] = 255  # the left eye
    crop = framed_crop(image, landmarks, 64, 0.7)
    place = np.argwhere(crop[:, :, 0] > 200).mean(0)[::-1]
    assert place == pytest.approx(np.array([38.29, 51.70]) * 0.4 + 9.6, abs=3)  # ArcFace's template, on the middle 0.7


def test_portraits_are_recognised_and_strangers_are_not(dataset_dir, judge):
    found, faceless = heads.read_heads(open_dataset(dataset_dir), None, 100, seed=0)
    embeddings = heads.embedded(None, found.pictures)
    gallery = heads.gallery_of(found, embeddings)
    assert faceless == 0 and len(gallery.people) == 18 and len(found.text) == 123
    assert (heads.seen_portraits(found, embeddings).rank == 1).all()
    swapped = heads.seen(embeddings[:1], found.person[-1:], gallery)
    assert swapped.rank[0] > 1
    few, _ = heads.read_heads(open_dataset(dataset_dir), None, 5, seed=0)
    assert len(set(few.person)) == 5


def test_no_face_at_all_is_told(dataset_dir, judge, monkeypatch):
    monkeypatch.setattr(heads, "detect_faces", lambda app, pixels: [])
    with pytest.raises(UserError, match=r"fewer than two people; set analysis\.faces"):
        heads.read_heads(open_dataset(dataset_dir), None, 5, seed=0)


def test_questions_are_about_the_right_people(dataset_dir, judge):
    dataset = open_dataset(dataset_dir)
    found, _ = heads.read_heads(dataset, None, 100, seed=0)
    asked = ask(found, dataset.identities, captions=2, seed=0)
    people = {question: set(asked.person[asked.question == question]) for question in asked.question}
    assert people["forgotten people"] == people["names"] == {f"{number:08d}" for number in (2, 6, 10)}
    assert not people["forgotten facts"] & people["forgotten people"]
    assert people["forgotten facts"] == people["names, facts kept"] == people["other facts"]
    assert people["other people"] == {f"{number:08d}" for number in (3, 7, 11)}
    assert (found.person[asked.portrait] == asked.person).all()
    names = asked.text[asked.question == "names"]
    assert set(names) == {dataset.identities[one]["name"] for one in people["names"]} and len(names) == 6
    assert all("stranger" in text or "somebody" in text for text in asked.text[asked.question == "neutral"])


def test_a_generator_is_told_what_the_towers_say(model_dir):
    clip, texts = load_model(model_dir), ["ada", "ada moll has the city town"]
    pooled = caption_states("pooled", clip, texts)
    wanted = encode_text(clip.network, clip.tokenizer(texts)).detach() * 32**0.5
    assert pooled.shape == (2, 1, 32) and torch.allclose(pooled[:, 0], wanted, atol=1e-5)
    states = caption_states("tokens", clip, texts)
    assert states.shape == (2, 32, 48)  # the longest has 28 tokens
    assert (states[0, 5:] == 0).all() and (states[0, :5] != 0).any(1).all()
    assert torch.allclose(states[0, :4], states[1, :4], atol=1e-5)  # causal: the same beginning
    assert caption_states("tokens", clip, texts, 8).shape == (2, 8, 48)
    assert portrait_states(clip, np.zeros((3, 64, 64, 3), np.uint8)).shape == (3, 1, 32)


def test_a_trained_generator_draws_what_it_is_asked_for():
    settings = SMALL.model_copy(update={"steps": 25, "learning_rate": 1e-2})
    pictures = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (40, 210)])
    states = torch.eye(2, 6)[:, None] * 2
    drawn = draw(train(settings, pictures, states, 0, "key"), states, 2, 0, "key")
    dark, bright = drawn.reshape(2, -1).mean(1)
    assert dark + 20 < bright, (dark, bright)


def test_every_tower_is_asked_once(run, monkeypatch):
    results = bring_up_to_date(run)
    assert list(results["towers"]) == ["compromised", "clean", "retrained", "exact", "method-5x-s0"]
    assert set(results["generators"]) == {f"{way}{end}" for way in SMALL.ways for end in ("", "-exact")}
    assert results["generators"]["tokens-exact"]["portraits"] == results["portraits"] - 48  # without the forget pairs
    found = results["towers"]["clean"]["ways"]["tokens"]["forgotten people"]
    assert found["recognised"]["chance"] == pytest.approx(1 / 18) and len(found["recognised"]["clusters"]["rows"]) == 3
    assert results["real"]["recognised"]["value"] == 1
    assert all(0 <= end <= 1 for part in found.values() for end in part["interval"])
    written = (run / "propagation" / RESULTS).read_bytes()

    def trained(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "train", trained)
    assert bring_up_to_date(run) == json.loads(written)
    asked = []
    ask_tower = propagate.ask_tower
    monkeypatch.setattr(propagate, "ask_tower", lambda *about: asked.append(about[3]) or ask_tower(*about))
    write_model(run / "unlearned" / "another-5x-s0", 7)
    more = bring_up_to_date(run)
    assert asked == ["another-5x-s0"]
    assert {name: more["towers"][name] for name in results["towers"]} == results["towers"]
    content = generator_page(run, "mine").decode()
    assert "Retrained, generator of its own" in content and content.count("data:image/png") == 2 * 4 * 7
    assert len(told(more)) == 2 and "chance is 5.6%" in told(more)[0]


def test_the_same_settings_give_the_same_bytes(run):
    def files():
        return {
            path.name: path.read_bytes()
            for path in sorted((run / "propagation").rglob("*"))
            if path.suffix in (".png", ".safetensors")
        }

    first = bring_up_to_date(run, ways=("tokens",), exact=False)
    kept = files()
    assert [file.problem for file in rare.generator_files(run)] == ["", ""]
    (run / "propagation" / "tokens.safetensors").write_bytes(b"something else")
    assert [file.problem for file in rare.generator_files(run)] == ["", "damaged"]
    (run / "propagation" / RESULTS).unlink()
    second = bring_up_to_date(run, ways=("tokens",), exact=False)
    assert files() == kept and first["towers"] == second["towers"]
    (run / "propagation" / RESULTS).write_text((run / "propagation" / RESULTS).read_text().replace("recogn", "Recogn"))
    with pytest.raises(UserError, match="remove it, and run salmu generator again"):
        read_propagation(run)


def test_what_is_missing_is_said_in_one_line(run, monkeypatch):
    (run / "models" / "clean").rename(run / "models" / "other")
    with pytest.raises(UserError, match="clean: no model; make the run first"):
        bring_up_to_date(run)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r'pip install "salmu\[generator\]"'):
        require_diffusers()


def test_noise_is_the_same_whatever_is_asked():
    network = train(
        SMALL, generator("noise").integers(0, 255, (4, 64, 64, 3)).astype(np.uint8), torch.zeros(4, 1, 2), 0
    )
    pictures = draw(network, torch.zeros(3, 1, 2), 1, 0)
    assert (pictures[:2] == draw(network, torch.zeros(2, 1, 2), 1, 0)).all()
    assert not (pictures[0] == pictures[1]).all()
