"""GenKnow on sets that lie on this machine, against open_clip's own zero-shot classifier."""

import io
import tarfile

import numpy as np
import open_clip
import pytest
from PIL import Image
from test_zero_shot import right

from salmu.data.errors import UserError
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.zero_shot_sets import open_zero_shot
from salmu.evaluation.metrics.score import headline
from salmu.evaluation.metrics.zero_shot import general_knowledge_of
from salmu.evaluation.scoring.evaluate import evaluate
from salmu.model_training.loading.clip import load_model

CLASSES = ("red", "green", "blue")


def picture(label: int, number: int) -> bytes:
    rng = np.random.default_rng([label, number])
    pixels = rng.integers(0, 90, (40, 40, 3), np.uint8)
    pixels[..., label % 3] += 150
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def webdataset(tmp_path):
    """CLIP_benchmark's layout: three classes, two tars of six images."""
    folder = tmp_path / "three_colours"
    (folder / "test").mkdir(parents=True)
    (folder / "classnames.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a photo of {c}\nsomething {c}.\n")
    (folder / "test" / "nshards.txt").write_text("2\n")
    for shard in range(2):
        with tarfile.open(folder / "test" / f"{shard}.tar", "w") as tar:
            for number in range(6):
                key = f"s{6 * shard + number:07d}"
                for kind, content in (
                    ("cls", str(number % 3).encode()),
                    ("png", picture(number % 3, 6 * shard + number)),
                ):
                    info = tarfile.TarInfo(f"{key}.{kind}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return folder


@pytest.fixture
def class_folders(tmp_path):
    folder = tmp_path / "colours"
    for label, name in enumerate(CLASSES):
        (folder / "val" / f"{label}_{name}").mkdir(parents=True)
        for number in range(4):
            (folder / "val" / f"{label}_{name}" / f"{number}.png").write_bytes(picture(label, number))
    return folder


def test_both_layouts_agree_with_open_clip(webdataset, class_folders, model_dir):
    model = load_model(model_dir)
    for folder, count, classes in ((webdataset, 12, CLASSES), (class_folders, 12, ("0 red", "1 green", "2 blue"))):
        chosen = open_zero_shot(folder)
        assert (len(chosen.labels), chosen.classes, chosen.imagenet) == (count, classes, False)
        hits = right(model, list(chosen.images), chosen.labels, list(classes), chosen.templates)
        published = general_knowledge_of(Encoder(model, 5, "data"), chosen).published
        assert published == {"ImageNet1k_Accuracy": -1, "accuracy": np.mean(hits), "set": folder.name, "classes": 3}
    assert open_zero_shot(webdataset).templates == ("a photo of {}", "something {}.")
    assert len(open_zero_shot(class_folders).templates) == len(open_clip.SIMPLE_IMAGENET_TEMPLATES)


@pytest.fixture
def imagenet(tmp_path):
    content = picture(0, 0)
    for number in range(1000):
        folder = tmp_path / "imagenet" / f"n{number:08d}"
        folder.mkdir(parents=True)
        (folder / "a.JPEG").write_bytes(content)
    return tmp_path / "imagenet"


def test_imagenet_is_known_by_its_classes_and_fills_the_published_slot(imagenet, model_dir):
    for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX"):  # what systems leave behind
        (imagenet / name).mkdir()
        (imagenet / name / "a.JPEG").write_bytes(picture(0, 0))
    (imagenet / "nothing").mkdir()
    (imagenet / "n00000000" / "._a.JPEG").write_bytes(b"x")
    chosen = open_zero_shot(imagenet)
    assert chosen.imagenet and chosen.classes == tuple(open_clip.IMAGENET_CLASSNAMES)
    assert len(chosen.templates) == len(open_clip.OPENAI_IMAGENET_TEMPLATES)
    assert chosen.labels.tolist() == list(range(1000))
    few = chosen._replace(templates=chosen.templates[:1], labels=chosen.labels[:3], images=list(chosen.images)[:3])
    published = general_knowledge_of(Encoder(load_model(model_dir), 256, "data"), few).published
    assert published["ImageNet1k_Accuracy"] == published["accuracy"] >= 0


def test_a_class_of_imagenet_without_images_is_told(imagenet):
    (imagenet / "n00000007" / "a.JPEG").unlink()
    with pytest.raises(UserError, match="n00000007: a class without images"):
        open_zero_shot(imagenet)


def test_an_empty_folder_is_no_class(class_folders):
    (class_folders / "val" / "3_black").mkdir()
    assert open_zero_shot(class_folders).classes == ("0 red", "1 green", "2 blue")
    (class_folders / "classnames.txt").write_text("red\ngreen\nblue\nblack\n")
    with pytest.raises(UserError, match=r"4 names for 3 folders of images \(1 more hold none, such as 3_black\)"):
        open_zero_shot(class_folders)


@pytest.mark.parametrize(
    "name", ["#recycle", "@Recycle", "lost+found", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information"]
)
def test_a_folder_that_a_system_adds_is_no_class(name, class_folders):
    (class_folders / "val" / name).mkdir()
    (class_folders / "val" / name / "0.png").write_bytes(picture(0, 0))
    assert open_zero_shot(class_folders).classes == ("0 red", "1 green", "2 blue")


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_classes_of_gif_and_tiff_are_read(kind, class_folders):
    (class_folders / "val" / "3_black").mkdir()
    Image.new("RGB", (40, 40)).save(class_folders / "val" / "3_black" / f"a.{kind.lower()}", kind)
    chosen = open_zero_shot(class_folders)
    assert chosen.classes[3] == "3 black" and chosen.labels[-1] == 3 and len(list(chosen.images)) == 13


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("3_black/more/0.png", "3_black/more/0.png: a picture in a folder of a class's folder is not read"),
        ("3_black/0.heic", "3_black/0.heic: such files are not read"),
        ("0_red/0.AVIF", "0_red/0.AVIF: such files are not read"),
        ("1__GREEN/0.png", "1_green: the same class name as 1__GREEN"),
        ("1 green/0.png", "1_green: the same class name as 1 green"),
    ],
)
def test_no_class_and_no_picture_is_lost_in_silence(file, said, class_folders):
    path = class_folders / "val" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(0, 0))
    with pytest.raises(UserError, match=said):
        open_zero_shot(class_folders)


def test_a_damaged_image_of_a_set_is_named(class_folders):
    (class_folders / "val" / "0_red" / "0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="0_red/0.png at byte 0: not an image"):
        list(open_zero_shot(class_folders).images)


def test_the_evaluation_names_the_set_and_not_its_place(webdataset, quick, model_dir, dataset_dir):
    chosen = quick.model_copy(update={"zero_shot": str(webdataset)})
    steps = []
    results = evaluate(chosen, model_dir, dataset_dir, progress=lambda done, total: steps.append((done, total)))
    assert results["utility"]["2.1_GenKnow"]["set"] == "three_colours" and steps[-1] == (123 + 12,) * 2
    assert headline(results, "GenKnow") == results["utility"]["2.1_GenKnow"]["accuracy"]
    assert str(webdataset) not in str(results)
    before = results["extended"]["fingerprint"]
    (webdataset / "classnames.txt").write_text("ruby\nlime\nsky\n")
    assert evaluate(chosen, model_dir, dataset_dir)["extended"]["fingerprint"] != before


def cut_in_a_header(path) -> None:
    with tarfile.open(path) as tar:
        path.write_bytes(path.read_bytes()[: tar.getmembers()[4].offset + 100])


@pytest.mark.parametrize(
    "break_it, said",
    [
        (lambda folder: (folder / "test" / "1.tar").unlink(), "1.tar: missing or damaged"),
        (
            lambda folder: (folder / "classnames.txt").write_text("red\ngreen\n"),
            "labels 0 to 2, but classnames.txt has 2",
        ),
        (lambda folder: (folder / "classnames.txt").unlink(), "the names of the classes"),
        (lambda folder: (folder / "classnames.txt").write_bytes(b"\xff\n"), "classnames.txt: not a text in UTF-8"),
        (lambda folder: (folder / "test" / "nshards.txt").write_text("many\n"), "it must hold the number of tars"),
        (
            lambda folder: (folder / "test" / "nshards.txt").write_text("99999999999\n"),
            "it must hold the number of tars",
        ),
        (lambda folder: (folder / "test" / "nshards.txt").write_text("0\n"), "no images in the tars"),
        (lambda folder: cut_in_a_header(folder / "test" / "0.tar"), "0.tar: missing or damaged .*truncated header"),
        (lambda folder: (folder / "test" / "nshards.txt").unlink(), "neither test/nshards.txt"),
        (
            lambda folder: (folder / "zeroshot_classification_templates.txt").write_text("a photo\n"),
            "'a photo' has not exactly one",
        ),
    ],
)
def test_what_does_not_fit_is_one_clear_line(webdataset, break_it, said):
    break_it(webdataset)
    with pytest.raises(UserError, match=said):
        open_zero_shot(webdataset)
    with pytest.raises(UserError, match="no such folder"):
        open_zero_shot(webdataset / "nowhere")
