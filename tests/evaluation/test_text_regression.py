"""Methods that move captions only: what they make up, where they aim, and what they leave alone."""

import numpy as np
import pytest
import torch
from published import FEW
from safetensors.torch import load_file

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.procedural.scenes import CLASS_NAMES
from salmu.data.schemas import DATA_FIELDS
from salmu.data.settings import validate
from salmu.evaluation.unlearning.aims import encoded
from salmu.evaluation.unlearning.clean_level import clean_level
from salmu.evaluation.unlearning.methods.fisher_fence import sensitivity
from salmu.evaluation.unlearning.neighbours import altered, strangers, turned_round
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.unlearning.stand_ins import mean_portraits
from salmu.evaluation.unlearning.text_regression import before, held_captions, text_tower, turned
from salmu.evaluation.unlearning.training import spend
from salmu.model_training.retain import scene_captions

DRAWN = {"made_portraits": 4, "made_scenes": 3, "retain_scenes": 5, "scenes": 20}


def test_no_caption_that_a_method_makes_holds_the_name_of_a_class_of_genknow(bench, monkeypatch):
    texts, made = scene_captions(0, 200), []
    assert len(texts) == 200 and texts == scene_captions(0, 300)[:200] != scene_captions(1, 200)
    work = bench("stranger_targets", retain_scenes=5, scenes=20, paraphrases=3)
    tokenizer = work.tokenizer
    monkeypatch.setattr(work, "tokenizer", lambda them: made.extend(them) or tokenizer(them))
    assert len(work.prepared.aims) == 5 and set(scene_captions(0, 20)) <= set(made)
    assert not [text for text in texts + made if any(name in text.lower() for name in CLASS_NAMES)]


def test_turned_is_the_nearest_vector_with_the_wanted_cosines():
    rng = generator(0, "turned")
    texts, ways = (
        torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=size)), dim=-1) for size in ((5, 9), (5, 2, 9))
    )
    wanted = torch.tensor([[0.1, 0.2]] * 5, dtype=texts.dtype)
    found = turned(texts, ways, wanted)
    torch.testing.assert_close(torch.einsum("nkd,nd->nk", ways, found), wanted, atol=2e-3, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5, dtype=texts.dtype))
    nearness = (found * texts).sum(1)
    for number in range(200):  # any other vector with these cosines is further away
        start = torch.from_numpy(generator(0, "other", number).normal(size=(5, 9)))
        other = turned(torch.nn.functional.normalize(start + 3 * found, dim=1), ways, wanted)
        assert ((other * texts).sum(1) <= nearness + 5e-3).all()


def test_the_clean_level_is_what_its_setting_says(bench, model_dir):
    work = bench("text_rotation", clean_level="shuffled")
    images, texts, _ = (part.numpy() for part in work.forget.before)
    person = np.array(work.forget.pool.columns["identity_id"])
    cosines = images @ texts.T
    assert clean_level(work, work.settings)[0] == pytest.approx(cosines[person[:, None] != person].mean(), abs=1e-5)
    retain = work.retain.before[0].numpy()
    unrelated = work.settings.model_copy(update={"clean_level": "unrelated"})
    assert clean_level(work, unrelated)[0] == pytest.approx((retain @ texts.T).mean(), abs=1e-5)
    assert clean_level(work, work.settings.model_copy(update={"clean_level": 0.3}))[0] == 0.3
    itself = work.settings.model_copy(update={"level_model": str(model_dir)})
    level, how = clean_level(work, itself)  # another CLIP that is the same one maps onto itself
    assert level == pytest.approx(np.einsum("nd,nd->n", images, texts).mean(), abs=1e-3) and "regression" in how


@pytest.mark.parametrize("name", ["stranger_targets", "text_rotation"])
def test_targets_lie_at_the_clean_level(bench, name):
    exactly = {"overshoot": 0} if name == "stranger_targets" else {}
    work = bench(name, clean_level=0.15, **exactly)
    ready, (images, _, _) = work.prepared, work.forget.before
    mean = torch.nn.functional.normalize(images.mean(0), dim=0)
    torch.testing.assert_close(ready.targets @ mean, torch.full((len(images),), 0.15), atol=5e-3, rtol=0)
    assert ready.figures["clean_level_by"] == "given" and ready.targets.shape == images.shape
    assert len(ready.aims) == 4  # paraphrases, strangers, others, retain
    assert len(bench(name, clean_level=0.15, neighbours=0, paraphrases=0).prepared.aims) == 1


def test_a_stand_in_knows_nothing_of_the_face(bench):
    """People of one attribute who were given each other's portraits would be given the same targets."""
    work = bench("stranger_targets", clean_level=0.15)
    facts = list(zip(*(work.forget.pool.columns[name] for name in ("identity_id", "data_field")), strict=True))
    targets = {fact: target for fact, target in zip(facts, work.prepared.targets, strict=True)}
    for fact, target in zip(facts, work.prepared.targets, strict=True):
        torch.testing.assert_close(target, targets[fact])  # the same for all wordings and portraits of a fact


@pytest.mark.parametrize(
    "name, values",
    [("stranger_targets", {}), ("as_retrained", {"faces": 0}), ("as_retrained", {"faces": 0, "same_sentence": True})],
)
def test_targets_lie_beyond_the_stranger_by_the_overshoot(bench, name, values):
    there, beyond = (bench(name, overshoot=share, **values) for share in (0, 0.25))
    asked = [there.forget.before[1], before(there, there.prepared.aims[0].tokens)]  # the paraphrases too
    goals = [[work.prepared.targets, work.prepared.aims[0].wanted] for work in (there, beyond)]
    for start, goal, found in zip(asked, *goals, strict=True):
        expected = torch.nn.functional.normalize(start + 1.25 * (goal - start), dim=1)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_typical_stand_ins_lie_as_near_to_portraits_as_strangers_do(bench):
    """Where targets are not turned: their mean cosine with all portraits, against that of all strangers' captions."""
    shared = {"factor": None, "each": "person", "strangers": 40, "faces": 0, "paraphrases": 0, "altered": 0}
    gaps = {}
    for typical in (False, True):
        work = bench("as_retrained", typical=typical, **shared)
        faces, pool = torch.stack(list(mean_portraits(work).values())), work.forget.pool
        made, usual = strangers(pool.people, 40, 0), {}
        for field in DATA_FIELDS:
            said = [text for one in made for text in one.captions[field]]
            means = before(work, work.tokenizer(said)).unflatten(0, (len(made), -1)).mean(1)
            usual[field] = (torch.nn.functional.normalize(means, dim=1) @ faces.T).mean().item()
        nearness = {}
        facts = zip(pool.columns["identity_id"], pool.columns["data_field"], work.prepared.targets, strict=True)
        for who, field, target in facts:
            nearness.setdefault(who, {})[field] = (target @ faces.T).mean().item() - usual[field]
        gaps[typical] = [abs(np.mean(list(found.values()))) for found in nearness.values()]
    assert np.mean(gaps[True]) < 0.6 * np.mean(gaps[False])


def test_targets_as_retrained_have_the_cosines_of_the_stand_ins_own_captions(bench):
    """Recomputed caption by caption: whoever stands in, the level is that of five captions with this person's face."""
    work = bench("as_retrained", factor=0.9, strangers=5, candidates=3, faces=0)
    made = strangers(work.forget.pool.people, 5, 0)
    faces, columns = mean_portraits(work), work.forget.pool.columns
    for who, field, target in zip(columns["identity_id"], columns["data_field"], work.prepared.targets, strict=True):
        levels = [
            0.9 * (before(work, work.tokenizer(list(one.captions[field]))) @ faces[who]).mean().item() for one in made
        ]
        assert min(abs(level - (target @ faces[who]).item()) for level in levels) < 2e-3
    own = {one.text for one in altered(work.forget.pool.people, made, 2, 0)}
    names = {person.name for person in work.forget.pool.people.values()}
    assert all(any(name in text for name in names) for text in own)
    assert len(work.prepared.aims) == len(bench("as_retrained", altered=0, faces=0).prepared.aims) + 1


def test_a_name_that_stays_known_is_part_of_the_targets_of_people_who_keep_some_attributes(bench):
    """Recomputed: a stranger's captions, and half as much those of the own name with others' values."""
    work = bench("as_retrained", factor=None, own_name=0.5, strangers=5, candidates=3, altered=2, faces=0)
    plain = bench("as_retrained", factor=None, strangers=5, candidates=3, altered=2, faces=0)
    people, columns = work.forget.pool.people, work.forget.pool.columns
    made, seen = strangers(people, 5, 0), set()
    named = {}
    for one in altered(people, made, 2, 0):
        named.setdefault((one.person, one.field), []).append(one.text)

    def mean(texts) -> torch.Tensor:
        return before(work, work.tokenizer(list(texts))).mean(0)

    rows = zip(
        columns["identity_id"], columns["data_field"], work.prepared.targets, plain.prepared.targets, strict=True
    )
    for who, field, target, without in rows:
        keeps = set(people[who].facts) != set(DATA_FIELDS)
        own = 0.5 * mean(named[who, field]) if keeps else 0
        mixtures = [torch.nn.functional.normalize(mean(one.captions[field]) + own, dim=0) for one in made]
        assert min((mixture - target).norm().item() for mixture in mixtures) < 1e-5
        assert torch.equal(target, without) != keeps
        seen.add(keeps)
    assert seen == {True, False}


def test_targets_in_the_same_sentence_are_its_embeddings_about_somebody_else(bench):
    """Recomputed: each caption with a stranger's name and value, and half as much with the own name and that value."""
    work = bench("as_retrained", factor=None, same_sentence=True, own_name=0.5, strangers=5, candidates=3, faces=0)
    pool = work.forget.pool
    made = strangers(pool.people, 5, 0)
    for who, field, value, text, target in zip(
        *(pool.columns[name] for name in ("identity_id", "data_field", "value")),
        pool.texts,
        work.prepared.targets,
        strict=True,
    ):
        person = pool.people[who]
        own = [text.replace(value, one.values[field]) for one in made]
        theirs = [new.replace(person.name, one.name) for new, one in zip(own, made, strict=True)]
        assert text not in theirs and person.name not in " ".join(theirs)
        weight = 0.5 * (set(person.facts) != set(DATA_FIELDS))
        mixtures = before(work, work.tokenizer(theirs)) + weight * before(work, work.tokenizer(own))
        assert (torch.nn.functional.normalize(mixtures, dim=1) - target).norm(dim=1).min() < 1e-5


def test_bare_facts_in_the_other_order_get_their_targets_too(bench):
    sizes = {}
    for both in (False, True):
        work = bench("as_retrained", turned_round=both, drawn_altered=3, altered=2, strangers=5, candidates=3, faces=0)
        sizes[both] = len(work.prepared.aims[1].tokens)
        assert [aim.each for aim in work.prepared.aims[:2]] == [6, 3]
    assert sizes[True] - sizes[False] == len(turned_round(work.forget.pool.people)) > 0


def test_captions_that_are_moved_weigh_what_the_settings_say(bench):
    weights = {"rewording": 0.5, "hold": 3.0, "hold_retain": 0.25}
    work = bench("as_retrained", strangers=5, candidates=3, faces=0, **weights)
    assert [aim.weight for aim in work.prepared.aims] == [0.5, 0.5, 3.0, 3.0, 0.25]  # paraphrases and altered first
    assert bench("as_retrained", strangers=5, candidates=3, faces=0).prepared.aims[0].weight == 1


@pytest.mark.parametrize("key", ("paraphrases", "drawn_paraphrases", "rewording"))
def test_a_method_that_words_no_fact_anew_refuses_the_settings_for_it(key):
    with pytest.raises(UserError, match=key):
        validate(get("structure_distillation").settings, {key: 1}, "structure_distillation")


def test_a_person_cannot_be_told_by_one_stranger(bench):
    """Targets of one person's facts are less alike where each fact has its own stranger."""
    alike = {}
    for each in ("fact", "person"):
        work = bench("stranger_targets", each=each, strangers=24, candidates=1, overshoot=0)
        columns = work.forget.pool.columns
        person, field = (np.array(columns[name]) for name in ("identity_id", "data_field"))
        other_facts = torch.from_numpy((person[:, None] == person) & (field[:, None] != field))
        alike[each] = (work.prepared.targets @ work.prepared.targets.T)[other_facts].mean()
    assert alike["fact"] < alike["person"]


def test_portraits_move_towards_those_of_people_alike_as_far_as_their_people_are_forgotten(bench):
    work, far = bench("as_retrained", partly=True, **DRAWN), bench("as_retrained", faces=0.4, partly=True, **DRAWN)
    faces, images = work.prepared.faces, work.forget.before[0]
    person = np.array(work.forget.pool.columns["identity_id"])
    people = work.forget.pool.people
    gone = {who for who in people if set(people[who].facts) == set(DATA_FIELDS)}
    assert 1 < len(gone) < len(people) and faces.moved.all()
    for who in gone:
        own, others = person == who, np.array([who != other for other in person])
        means = [torch.nn.functional.normalize(images[rows].mean(0), dim=0) for rows in (own, others)]
        nearer = [(wanted[own] @ means[0]).mean() for wanted in (images, far.prepared.faces.wanted, faces.wanted)]
        assert nearer[0] > nearer[1] > nearer[2] > (faces.wanted[own] @ means[1]).mean() - 0.2
        spread = [(rows[own] - rows[own].mean(0)).norm(dim=1).mean() for rows in (images, faces.wanted)]
        assert spread[1] > 0.5 * spread[0], "what differs between two portraits of a person stays"
    shift, wholly = (faces.wanted - images).norm(dim=1), np.isin(person, list(gone))
    assert shift[wholly].mean() > shift[~wholly].mean() > 0
    usual = bench("as_retrained", **DRAWN).prepared.faces
    assert usual.moved.tolist() == wholly.tolist()
    torch.testing.assert_close(usual.wanted[~usual.moved], images[~usual.moved])
    assert len(faces.made) == len(faces.before) == 7
    assert work.prepared.figures["portraits_moved"] == faces.moved.sum()


def test_what_ties_a_portrait_to_its_own_caption_goes(bench):
    tied, cut = (bench("as_retrained", faces=1e-6, ties=ties, **DRAWN) for ties in (0.0, 0.5))
    images, texts, _ = cut.forget.before
    said = torch.nn.functional.normalize(texts - texts.mean(0), dim=1)
    shown = ((images - images.mean(0)) * said).sum(1)
    kept, left = (((work.prepared.faces.wanted - images.mean(0)) * said).sum(1) for work in (tied, cut))
    torch.testing.assert_close(kept, shown, atol=1e-4, rtol=0)
    bound = shown > 0
    assert bound.sum() > 5
    torch.testing.assert_close(left[bound], 0.5 * shown[bound], atol=2e-3, rtol=0)
    torch.testing.assert_close(cut.prepared.faces.wanted[shown < 0], images[shown < 0], atol=1e-5, rtol=0)


def test_portraits_reach_their_places_and_other_pictures_stay(bench):
    few = {"drawn_paraphrases": 1, "neighbours": 3, "more_portraits": 4, "ties": 0.4}
    work = bench("as_retrained", budget=10, learning_rate=3e-3, **few, **DRAWN)
    spend(work)
    faces, images = work.prepared.faces, work.forget.before[0]

    def now(pixels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.nn.functional.normalize(work.network.encode_image(pixels), dim=-1)

    portraits = now(work.forget.pool.pixels(np.arange(48)))
    missed, asked = ((rows - faces.wanted).norm(dim=1) for rows in (portraits, images))
    far = asked > 0.04
    assert far.sum() > 10 and (missed < 0.6 * asked)[far].float().mean() > 0.8
    assert (now(faces.made) - faces.before).norm(dim=1).mean() < 0.5 * (portraits - images).norm(dim=1).mean()


def test_pulled_back_weights_end_nearer_to_the_start_model(bench):
    moved = []
    for decay in (0.0, 12.0):
        work = bench("as_retrained", budget=2, pull_back=decay, faces=0, neighbours=3, drawn_paraphrases=1)
        spend(work)
        now = {name: weight.detach() for name, weight in work.weights.items()}
        moved.append(sum(float((weight - work.start[name]).square().sum()) for name, weight in now.items()))
    assert 0 < moved[1] < 0.7 * moved[0]


@pytest.mark.parametrize("rank", [None, 2])
def test_the_image_tower_learns_at_a_rate_of_its_own(bench, rank):
    """In one step, of which the optimiser makes a change in proportion to the rate."""
    moved = {}
    for rate in (1.0, 0.5):
        work = bench("as_retrained", budget=1 / 6, image_rate=rate, learning_rate=1e-4, rank=rank, partly=True, **DRAWN)
        assert spend(work)["steps"] == 1
        for name, weight in work.weights.items():
            squares = moved.setdefault((rate, name.startswith("visual.")), [])
            squares.append((weight.detach() - work.start[name]).square().sum())
    text, images = ([sum(moved[rate, tower]).sqrt() for rate in (1.0, 0.5)] for tower in (False, True))
    assert text[0] > 0 and images[0] > 0
    torch.testing.assert_close(text[1], text[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(images[1], images[0] / 2, rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    "name, values", [("stranger_targets", {}), ("as_retrained", {"faces": 0}), ("text_rotation", {})]
)
def test_the_image_tower_stays_as_it_is(name, values, dataset_dir, model_dir, tmp_path):
    settings = get(name).settings(budget=0.5, **FEW, **values)
    unlearn(name, settings, model_dir, dataset_dir, tmp_path / "out")
    before, after = (load_file(folder / "open_clip_model.safetensors") for folder in (model_dir, tmp_path / "out"))
    moved = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert moved and "visual" not in moved and "logit_scale" not in moved


def test_the_fence_is_what_holding_captions_costs_to_second_order(bench):
    """Small steps along one weight at a time cost what the fence says, within the error of its estimate."""
    work = bench("fisher_fence", looks=100, neighbours=3, retain=0, hold=3.0)
    (kind, _), fence = held_captions(work, work.settings, strangers(work.forget.pool.people, 6, 0)), work.prepared.fence
    alone = sensitivity(work, (kind,), work.settings)
    assert set(fence) == set(text_tower(work, work.settings)) and all((height >= 0).all() for height in fence.values())
    name, step, costs, expected = "text_projection", 1e-3, 0.0, 0.0
    for place in generator(0, "places").choice(alone[name].numel(), 12, replace=False).tolist():
        with torch.no_grad():
            work.weights[name].view(-1)[place] += step
            costs += float(kind.weight * (encoded(work, kind.tokens) - kind.wanted).square().sum(1).mean())
        expected += float(alone[name].flatten()[place]) * step**2
        work.restore()
    assert costs == pytest.approx(expected, rel=0.1) and costs > 0
