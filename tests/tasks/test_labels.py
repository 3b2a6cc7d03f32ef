"""Zero-shot questions: what open_clip itself would answer, from both question files; and wrong files and models."""

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from salmu.data.errors import UserError
from salmu.model_training.loading.pixels import normalised, sized
from salmu.prompts.loader import load
from salmu.tasks import labels
from salmu.tasks.labels import WELL, Questions, answer, clip_revision, load_zero_shot


@pytest.fixture(scope="module", params=["labels", "labels_photographs"])
def asked(request):
    return labels.load_zero_shot("embedded", "cpu", request.param)


def pictures(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (90, 60, 3), np.uint8)) for _ in range(count)]


def test_scores_are_those_of_open_clip(asked):
    """Each text encoded alone: the mean of a label's phrases, each the mean of its templates, all of unit length."""
    tokenizer = open_clip.get_tokenizer(f"local-dir:{labels.EMBEDDED_CLIP}")
    picture = pictures(1)[0]
    unit = torch.nn.functional.normalize
    for view in ("face", "image"):
        (found,) = answer(asked, [picture], view, 8)
        assert set(found) == {name for name, question in asked.questions.items() if question.view == view}
        for name, scores in found.items():
            question, rows = asked.questions[name], []
            with torch.no_grad():
                for phrases in question.phrases():
                    texts = [[template.format(phrase) for template in question.templates] for phrase in phrases]
                    means = [
                        unit(asked.model.encode_text(tokenizer(some), normalize=True).mean(0), dim=0) for some in texts
                    ]
                    rows.append(unit(torch.stack(means).mean(0), dim=0))
                features = asked.model.encode_image(asked.preprocess(picture)[None], normalize=True)
                expected = (asked.model.logit_scale.exp() * features @ torch.stack(rows).T).softmax(dim=1)[0]
            assert list(scores) == list(question.labels)
            assert list(scores.values()) == pytest.approx(expected.tolist(), abs=2e-4)


def test_a_batch_is_preprocessed_as_each_picture_to_the_bit(asked):
    shown = [Image.new("RGB", (90, 60), (200, 120, 40)), *pictures(3)]
    together = normalised(asked.preprocess, [sized(asked.preprocess, picture) for picture in shown])
    assert torch.equal(together, torch.stack([asked.preprocess(picture) for picture in shown]))


def test_batches_change_nothing(asked):
    shown = pictures(5)
    together, alone = answer(asked, shown, "face", 5), answer(asked, shown, "face", 1)
    for one, other in zip(together, alone, strict=True):
        for name, scores in one.items():
            assert list(scores.values()) == pytest.approx(list(other[name].values()), abs=2e-4)


def test_the_questions_for_photographs_are_all_that_curation_judges_by():
    questions = load("labels_photographs", Questions).root
    assert set(questions) == {"gender", "age_group", "region", *WELL}
    for name, question in questions.items():
        texts = [
            template.format(phrase) for some in question.phrases() for phrase in some for template in question.templates
        ]
        assert len(set(texts)) == len(texts) >= 6 and all("{" not in text for text in texts), name


def test_the_revision_follows_the_questions():
    assert clip_revision("embedded") != clip_revision("embedded", "labels_photographs")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("local-dir:/nowhere", "no such folder"),
        ("RN50/no-such-tag", "cannot be loaded"),
        ("no-such-model/tag", "neither a folder"),
        ("ViT-B-32", "names no weights"),
    ],
)
def test_a_missing_clip_is_one_line(name, problem):
    with pytest.raises(UserError, match=problem):
        load_zero_shot(name, "cpu")


def test_missing_questions_are_one_line():
    with pytest.raises(UserError, match=r"prompts/no-such-questions\.yaml: no such file"):
        load_zero_shot("embedded", "cpu", "no-such-questions")


def test_questions_must_hold_the_fixed_labels():
    known = load("labels_photographs", Questions).model_dump()
    for name, labels_of, problem in (
        ("gender", {"man": "man", "woman": "woman"}, "'gender' must be there, with the labels female, male"),
        ("region", {"White": "x", "Black": "y"}, "'region' must be there, with the labels White, Black, Latino"),
        ("medium", {"drawing": "x", "photograph": "y"}, "'medium' must have the label 'photo'"),
    ):
        with pytest.raises(ValueError, match=problem):
            Questions.model_validate(known | {name: known[name] | {"labels": labels_of}})
    with pytest.raises(ValueError, match="age_group"):
        Questions.model_validate({name: question for name, question in known.items() if name != "age_group"})
