import base64
import hashlib
import html
import io
import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from published import write_dataset
from small_run import small_run

from salmu.data.errors import UserError
from salmu.data.publish.publish import PublishSettings, publish
from salmu.data.readers import open_dataset
from salmu.data.summary import Summary, write_summary
from salmu.evaluation.encoding.settings import Margins
from salmu.evaluation.metrics.score import DEFINITIONS, METRICS, PUBLISHED, direction, target
from salmu.evaluation.report.build import build
from salmu.evaluation.report.plots import DPI, NARROW, WIDE, training_curves
from salmu.evaluation.report.rendering import upper_first
from salmu.evaluation.report.tradeoff import draw

VALUES = {  # the ten metrics, in the order of the published layout
    "clean": (0.0153, 0.43, 0.6, 0.02, 0.3, 0.71, 0.42, 0.42, 0.61, 0.6),
    "compromised": (0.4614, 0.91, 0.95, 0.31, 0.6, 0.7, 0.9, 0.9, 0.58, 0.57),
    "negative_gradient-5x-s0": (0.0342, 0.2, 0.7, 0.05, 0.2, 0.69, 0.22, 0.21, 0.5, 0.4),
}
KEYS = {
    "efficacy": ("1.1_RetFail", "1.2_AssocStr", "1.3_ACS", "1.4_IdZSC", "1.5_CoreAssoc"),
    "utility": ("2.1_GenKnow", "2.2_InterIdSim", "2.3_IntraIdSim", "2.4_VisIdInt", "2.5_FragSim"),
}
STATISTICS = {
    "1.1_RetFail": "MRR",
    "1.3_ACS": "acs_accuracy",
    "1.4_IdZSC": "identity_classification_accuracy",
    "2.1_GenKnow": "ImageNet1k_Accuracy",
}


def wanted(metric, reference):
    """The values that meet a target, in words."""
    margin = getattr(Margins(), metric)
    low, high = DEFINITIONS[metric].least, DEFINITIONS[metric].most
    return f"{max(low, reference - margin):.4f} to {min(high, reference + margin):.4f}"


def results_of(values):
    keys = [key for group in KEYS.values() for key in group]
    numbers = {key: {STATISTICS.get(key, "mean"): value} for key, value in zip(keys, values, strict=True)}
    return {group: {key: numbers[key] for key in own} for group, own in KEYS.items()} | {
        "extended": {
            "intervals": {
                "RetFail": [values[0] * 0.9, values[0] * 1.1],
                "InterIdSim": [values[6] - 0.02, values[6] + 0.02],
            },
            "chance": {"RetFail": 0.004},
            "ValueMRR": {"MRR": 0.123},
            "NameMRR": {"MRR": None},
            "per_attribute": [{"data_field": "iban", "rows": 12, "RetFail": values[0] / 3}],
        }
    }


def png():
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(sink, "PNG")
    return sink.getvalue()


def write_json(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    store = small_run(tmp_path_factory.mktemp("runs") / "my-run")
    publish(store, store.folder / "dataset", PublishSettings(), {"seed": 17})
    (store.folder / "settings.yaml").write_text("profile: tiny\nseed: 17\n")
    write_summary(
        store.folder / "captions",
        Summary(
            "**540** captions by <b>grammar</b>",
            {"By style": [{"style": "plain & short", "captions": 48123}]},
            {"Lengths": png()},
        ),
    )
    for name in ("clean", "compromised"):
        write_json(
            store.folder / "models" / name / "training.json",
            {"seconds": 78.4, "curve": [{"step": step, "loss": 5 / step} for step in range(1, 40)]},
        )
    for name, values in VALUES.items():
        write_json(store.folder / "results" / f"{name}.json", results_of(values))
    write_json(
        store.folder / "unlearned" / "negative_gradient-5x-s0" / "unlearning.json",
        {"method": "negative_gradient", "budget": 5, "seed": 0, "settings": {}, "pairs_seen": 4321, "seconds": 12.5},
    )
    return store.folder


@pytest.fixture(scope="module")
def page(run):
    path = build(run)
    assert path == run / "report" / "index.html"
    return path.read_text(encoding="utf-8")


def text_of(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_needs_nothing_from_outside(page):
    links = re.findall(r"""(?:src|href|srcset)=["']([^"']*)""", page)
    near = [link for link in links if not link.startswith(("data:", "#"))]
    pages = {"leaderboard.html", "precision.html", "glossary.html", "index.html"}
    pages |= {f"models/{name}.html" for name in VALUES}
    assert len(links) > len(near) and {link.partition("#")[0] for link in near} == pages
    assert not re.search(r"https?://|@import|url\(|<script", page) and len(page) < 5e6


def test_the_report_opens_with_what_was_tested_what_is_sound_and_what_came_nearest(page):
    text = text_of(page)
    words = (
        "Run my-run Tested: 1 unlearning method. It was asked to make a CLIP model forget",
        "The pair of reference models is sound: Compromised, which learned the personal data, gives it away (RetFail "
        "0.461), and Clean, which never saw it, does not (0.015). Both have general knowledge (GenKnow 0.71 and 0.70). "
        "There is no Retrained here, the exact answer. Methods are compared with Clean in what they should forget, and "
        "with Compromised in what they should keep.",
        "Negative gradient, budget 5, seed 0 came nearest to the goal (verdict: over-generalised). It removed 95.8% of "
        "the leakage and meets 1 of 4 targets of forgetting and 1 of 5 of keeping. It broke other people (InterIdSim "
        f"0.220, wanted {wanted('InterIdSim', 0.9)}), other facts of the same people (IntraIdSim 0.210, wanted "
        f"{wanted('IntraIdSim', 0.9)}), plain descriptions of the forgotten people (VisIdInt 0.500, wanted "
        f"{wanted('VisIdInt', 0.58)}) and fragile pairs (FragSim 0.400, wanted {wanted('FragSim', 0.57)}). It did not",
        "Results",
    )
    assert [text.find(part) >= 0 for part in words] == [True] * 4
    assert [text.index(part) for part in words] == sorted(text.index(part) for part in words)
    assert page.index("<picture>") < page.index("<table>") and page.count("<picture>") == 2


def test_results_table_has_every_number_its_target_and_its_cost(page):
    table = page[page.index("The ten published metrics") : page.index("Method by method")]
    rows = {
        re.sub("<small>.*|<[^>]*>", "", name).strip(): re.findall(r'<td class="n"[^>]*>([^\s<]+)', cells)
        for name, cells in re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table, re.DOTALL)
    }
    numbers = {name: [f"{value:.4f}" for value in values] for name, values in VALUES.items()}
    assert rows == {
        "target": [
            wanted(metric, VALUES[target(metric)][place]).partition(" ")[0] if metric != "ACS" else "–"
            for place, metric in enumerate(PUBLISHED)
        ],
        "Clean": ["–", *numbers["clean"]],
        "Compromised": ["–", *numbers["compromised"]],
        "negative gradient": ["12.5", *numbers["negative_gradient-5x-s0"]],
    }
    own = table[table.index('title="negative_gradient-5x-s0"') :]
    assert wanted("RetFail", 0.0153).replace("to", "…") in table
    assert "gone 1/4" in own and "kept 1/5" in own
    assert [own.count(f">{state}<") for state in ("met", "above", "below", "open")] == [2, 1, 6, 0]
    assert "budget 5, seed 0" in table and 'title="negative_gradient-5x-s0"' in table


def test_every_page_says_the_same_of_each_target(run, page):
    expected = dict.fromkeys(PUBLISHED, "below") | {"RetFail": "above", "IdZSC": "met", "GenKnow": "met"}
    del expected["ACS"]  # its mean of draws is the target, which published result files lack
    values = dict(zip(PUBLISHED, VALUES["negative_gradient-5x-s0"], strict=True))
    for name in ("index", "leaderboard", "precision"):
        text = (run / "report" / f"{name}.html").read_text(encoding="utf-8")
        rows = re.findall(r'title="negative_gradient-5x-s0"(.*?)</tr>', text, re.DOTALL)
        cells = dict(re.findall(r'data-value="(0\.\d+)">(.*?)</td>', "".join(rows), re.DOTALL))
        said = {
            metric: re.findall(">(met|above|below|open)<", cells.get(str(value), ""))
            for metric, value in values.items()
        }
        assert said == {metric: [expected[metric]] if metric in expected else [] for metric in PUBLISHED}, name


def test_every_metric_links_to_its_definition(run, page):
    glossary = (run / "report" / "glossary.html").read_text(encoding="utf-8")
    assert upper_first("within Clean's interval") == "Within Clean's interval", "names keep their letters"
    linked = set(re.findall(r'href="glossary.html#(\w+)"', page)) - {"verdicts", "targets"}
    assert linked >= set(PUBLISHED) and set(METRICS) == set(DEFINITIONS)
    for metric, definition in DEFINITIONS.items():
        assert f'<tr id="{metric}">' in glossary and definition.measures in html.unescape(glossary)
        assert metric not in linked or f"{definition.measures} {direction(metric)}" in html.unescape(page)


def test_long_sections_are_folded(page):
    folded = re.findall(r'<details class="fold"( open)?>\s*<summary><h2>(.*?)</h2>', page)
    assert [title for opened, title in folded if opened] == ["Method by method"]
    assert {"Stages of the dataset", "Settings", "Stage captions", "Samples"} <= {title for _, title in folded}
    assert all(f'id="{target}"' in page for target in re.findall(r'href="#([^"]+)"', page))


def test_diagnosis_names_the_failure_in_words(page):
    assert "over-generalised , not forgotten" in text_of(page) and "4,321 pairs seen, 12.5 s" in page


def test_pipeline_and_stage_summaries(page):
    text = text_of(page)
    assert "curation 0 80 72 0 1 1.5" in text  # items, rows, kept, rejects, shards, seconds
    assert "<strong>540</strong> captions by &lt;b&gt;grammar&lt;/b&gt;" in page
    assert "plain &amp; short" in page and "48,123" in page and 'alt="Lengths"' in page


def test_samples_show_one_pair_of_each_attribute_with_its_picture(page):
    items = re.findall(r"<li><img src=\"(data:image/jpeg[^\"]*)\".*?<p>(.*?)</p>\s*<small>(\S+)", page, re.DOTALL)
    assert len(items) == 12 and len({image for image, _, _ in items}) == 12
    fields = [field for _, _, field in items]
    assert len(set(fields[:8])) == 8 and {*fields[8:]} <= {"retain_joint", "retain_disjoint"}
    assert all(field.replace("_", " ") in caption for _, caption, field in items[:8])


def test_header_names_run_dataset_and_settings(page, run):
    digest = json.loads((run / "dataset" / "provenance.json").read_text())["dataset_digest"]
    assert "Run my-run" in page and digest in page and "profile: tiny" in page and "78.4" in page


def test_same_run_same_bytes(page, run):
    assert build(run).read_text(encoding="utf-8") == page


def test_a_run_without_pairs_shows_what_there_is(tmp_path):
    store = small_run(tmp_path / "early", assemble=False)
    page = build(store.folder).read_text(encoding="utf-8")
    assert "Samples" in page and "pipeline" in page and "Results" not in page and "Training" not in page
    assert "This run has no results yet." in page and "salmu run --run early" in page


def test_results_alone_are_enough(tmp_path):
    for name, values in VALUES.items():
        published = {group: part for group, part in results_of(values).items() if group != "extended"}
        write_json(tmp_path / "results" / f"{name}.json", published)
    text = text_of(build(tmp_path).read_text(encoding="utf-8"))
    assert "0.4614" in text and "Stages of the dataset" not in text


def test_other_folders_and_damaged_files_are_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match="is it the folder of a run"):
        build(tmp_path)
    write_json(tmp_path / "results" / "clean.json", results_of(VALUES["clean"]))
    (tmp_path / "models" / "clean").mkdir(parents=True)
    (tmp_path / "models" / "clean" / "training.json").write_text("{")
    with pytest.raises(UserError, match="training.json: damaged"):
        build(tmp_path)


DAMAGED = {
    "models/clean/training.json": [{"curve": [5]}, {"curve": [{"step": 1}]}, {"seconds": "x"}, {"monitored": {}}, []],
    "results/clean.json": [
        {"extended": {"attacks": {"few_shot_1": {"value": "x"}}}},
        {"extended": {"attacks": {"relearning": {"curves": [{"source": "retain", "points": []}]}}}},
        {"extended": {"per_attribute": [{"rows": 1}]}},
        {"efficacy": {"1.1_RetFail": {"outcomes": "x"}}},
    ],
    "unlearned/negative_gradient-5x-s0/unlearning.json": [{"curve": [{"loss": 1}]}, {"saw": 5}, "x"],
    "tuning/negative_gradient/trials.jsonl": [{"trial": 0}, {"trial": 0, "score": 1, "settings": 5}, []],
    "dataset/provenance.json": [{}, [], {"settings": 5}],
}


@pytest.mark.parametrize("name, document", [(name, one) for name, some in DAMAGED.items() for one in some])
def test_a_document_of_another_form_is_named_in_one_line(name, document, tmp_path):
    for model, values in VALUES.items():
        write_json(tmp_path / "results" / f"{model}.json", results_of(values))
    write_json(tmp_path / "unlearned" / "negative_gradient-5x-s0" / "unlearning.json", {"method": "negative_gradient"})
    write_json(tmp_path / name, document)
    with pytest.raises(UserError, match=f"{name}") as error:
        build(tmp_path)
    assert "\n" not in str(error.value)


def test_curves_differ_with_their_data_and_with_the_page(run, tmp_path):
    light, dark = (training_curves(run / "models", dark) for dark in (False, True))
    assert light != dark and Image.open(io.BytesIO(light)).size == Image.open(io.BytesIO(dark)).size
    assert len(light) < 100_000 and training_curves(run / "models") == light != training_curves(tmp_path)


def test_the_leaderboard_page_holds_all_it_needs_and_lets_no_other_script_run(run, page):
    text = (run / "report" / "leaderboard.html").read_text(encoding="utf-8")
    own, data = (
        re.findall(r"<script>(.*?)</script>", text, re.DOTALL),
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL),
    )
    digest = base64.b64encode(hashlib.sha256(own[0].encode()).digest()).decode()
    assert len(own) == 1 and f"script-src 'sha256-{digest}'" in text and text.count("<script") == 2
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)|@import|url\(", text)
    found = json.loads(data[1])
    assert [row["model"] for row in found["records"]] == list(VALUES)
    assert [row["reference"] for row in found["records"]] == [True, True, False]
    assert found["targets"]["RetFail"] == pytest.approx(0.0153) and found["targets"]["InterIdSim"] == 0.9
    links = {link.partition("#")[0] for link in re.findall(r'href="([^"]*)"', text) if not link.startswith("data:")}
    assert all((run / "report" / link).resolve().is_file() for link in links) and len(links) == 8 + len(VALUES)


def test_names_cannot_break_out_of_the_page(tmp_path):
    name = "<img src=x>&'\"|$\x1b \udcff-1x-s0"
    for model, values in ((name, VALUES["negative_gradient-5x-s0"]), *VALUES.items()):
        write_json(tmp_path / "results" / f"{model}.json", results_of(values))
    write_json(tmp_path / "unlearned" / name / "unlearning.json", {"method": name, "budget": 1, "seed": 0})
    build(tmp_path)
    for page in ("index", "leaderboard", "precision", "glossary", f"models/{name}"):
        text = (tmp_path / "report" / f"{page}.html").read_text(encoding="utf-8")
        assert "<img src=x" not in text
        assert page == "glossary" or "&lt;img src=x&gt;&amp;" in text
    links = set(re.findall(r'href="(models/[^"]*)"', (tmp_path / "report" / "index.html").read_text()))
    assert {unquote(link, errors="surrogateescape") for link in links} == {
        f"models/{model}.html" for model in (name, *VALUES)
    }
    text = (tmp_path / "report" / "leaderboard.html").read_text(encoding="utf-8")
    assert len(json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["records"]) == 4


def row(name, retfail, inter):
    """A row of the leaderboard with what the picture needs."""
    found = dict.fromkeys(METRICS) | {"model": name, "RetFail": retfail, "InterIdSim": inter}
    for metric, value in (("RetFail", retfail), ("InterIdSim", inter)):
        found |= {f"{metric}_low": 0.9 * value, f"{metric}_high": 1.1 * value}
    return found


@pytest.mark.parametrize("narrow, count", [(False, 16), (True, 8)])
def test_every_point_of_the_picture_has_a_label_and_no_two_overlap(narrow, count):
    rng = np.random.default_rng(0)
    rows = [row("clean", 0.002, 0.12), row("compromised", 0.215, 0.82)]
    rows += [
        row(f"method_{n}-5x-s{n % 2}", 0.004 + 0.2 * rng.random() ** 3, rng.uniform(0.5, 0.9)) for n in range(count)
    ]
    figure = Figure(figsize=NARROW if narrow else WIDE, dpi=DPI, layout="constrained")
    axes, labels = draw(figure, rows, narrow)
    figure.draw_without_rendering()
    assert [label.get_text().split("\n")[0] for label in labels] == [
        "Clean",
        "Compromised",
        *(f"method {n}" for n in range(count)),
    ]
    boxes = [Text.get_window_extent(label) for label in labels]
    points = axes.transData.transform([label.xy for label in labels])
    for place, box in enumerate(boxes):
        assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])
        assert not any(box.contains(*point) for point in points)


def test_a_models_page_has_its_numbers_curves_and_worst_leaks(tmp_path):
    """On a folder in the published layout, with a result file per model and one unlearning record."""
    write_dataset(tmp_path / "dataset")
    table = open_dataset(tmp_path / "dataset").table("forget", ["file_name", "text"])
    ranks = np.arange(1, 49)[::-1].astype(float)
    for name, values in VALUES.items():
        results = results_of(values)
        results["efficacy"]["1.1_RetFail"]["outcomes"] = ranks.tolist() if name.startswith("neg") else [7.0] * 48
        results["efficacy"]["1.2_AssocStr"]["scores"] = np.linspace(0, 0.9, 48).tolist()
        point = {"RetFail": 0.1, "RetFail_low": 0.05, "RetFail_high": 0.2, "AssocStr": 0.3}
        points = [point | {"step": step, "AssocStr_low": None, "AssocStr_high": None} for step in (0, 5)]
        curve = {"source": "facts", "learning_rate": 0.125, "rank": 4, "trained_on": 17, "points": points}
        results["extended"]["attacks"] = {
            "relearning": {"value": 0.2, "curves": [curve], "strongest": 0},
            "few_shot_3": {"value": 0.77 if name.startswith("neg") else 0.31},
            "reattachment": {"value": None, "reason": "no start model is known"},
        }
        results["extended"]["per_demographic"] = {"gender": [{"group": "female", "rows": 5, "RetFail": 0.125}]}
        write_json(tmp_path / "results" / f"{name}.json", results)
    curve = [{"step": 0, "loss": 1.0, "forget_cosine": 0.9}, {"step": 1, "loss": 0.5, "forget_cosine": 0.4}]
    write_json(
        tmp_path / "unlearned" / "negative_gradient-5x-s0" / "unlearning.json",
        {"method": "negative_gradient", "budget": 5, "seed": 0, "settings": {}, "pairs_seen": 4321, "curve": curve},
    )
    trial = {"trial": 0, "score": 0.75, "removed": 0.75, "settings": {"learning_rate": 0.0625}}
    (tmp_path / "tuning" / "negative_gradient").mkdir(parents=True)
    (tmp_path / "tuning" / "negative_gradient" / "trials.jsonl").write_text(json.dumps(trial) + "\n")
    build(tmp_path)
    precision = (tmp_path / "report" / "precision.html").read_text(encoding="utf-8")
    assert ">1/4<" in precision and ">1/5<" in precision and wanted("RetFail", 0.0153).replace("to", "…") in precision
    assert '<td class="miss">not forgotten</td>' in precision
    assert (
        "All trials of negative_gradient" in precision and "0.0625" in precision and '"pairs_seen": 4321' in precision
    )
    assert not re.search(r"https?://|@import|url\(|<script", precision)
    text = (tmp_path / "report" / "models" / "negative_gradient-5x-s0.html").read_text(encoding="utf-8")
    leaks = re.findall(
        r'<li><img src="data:image/jpeg[^"]*" alt="Portrait ([^"]*)"><p>(.*?)</p>\s*<small>rank (\d+)', text
    )
    expected = [(table["file_name"][row].as_py(), table["text"][row].as_py()) for row in range(47, 35, -1)]
    assert [leak[:2] for leak in leaks] == expected and [int(leak[2]) for leak in leaks] == list(range(1, 13))
    assert text.count("rank 7 in Clean") == 12 and "Over-generalised, not forgotten." in text and "0.0342" in text
    for heading in ("Unlearning, step by step", "Attacks", "The strongest relearning", "What leaks most", "By gender"):
        assert heading in text
    attack = re.search(r'<th scope="row">few shot 3</th>(.*?)</tr>', text, re.DOTALL)[1]
    assert re.findall(r"0\.\d+", attack) == ["0.7700", "0.3100", "0.3100", "0.4600"]
    assert ">above</span> a few labelled portraits find the rest" in attack and "no start model is known" in text
    assert "training on 17 pairs (facts)" in " ".join(text.split()) and "LoRA of rank 4" in text
    clean = (tmp_path / "report" / "models" / "clean.html").read_text(encoding="utf-8")
    assert "Unlearning, step by step" not in clean and "The strongest relearning" in clean
    assert not re.search(r"https?://|@import|url\(|<script", text)
