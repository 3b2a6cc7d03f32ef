"""Models of others are read as data: the result is open_clip's to the byte, and what cannot be right is one line."""

import json
import shutil
import socket
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.model_training.configurations import create_model
from salmu.model_training.loading.clip import load_model
from salmu.tasks.labels import EMBEDDED_CLIP

CONFIGURATION, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
TEXTS = ["", "A photo of  Łukasz&amp;co, 0-9 🙂", "café\ncafe\u0301 <eot>", "word " * 60]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("builtins.input", refuse)


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(EMBEDDED_CLIP, tmp_path / "model"))


def edit(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def embeddings(network, preprocess, tokenizer) -> list[torch.Tensor]:
    pixels = generator("loading").integers(0, 255, (50, 70, 3), "uint8")
    tokens = tokenizer(TEXTS)
    with torch.no_grad():
        return [tokens, network.encode_text(tokens), network.encode_image(preprocess(Image.fromarray(pixels))[None])]


def test_it_gives_what_open_clip_gives(folder):
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{EMBEDDED_CLIP}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{EMBEDDED_CLIP}")
    own = load_model(EMBEDDED_CLIP)
    assert not own.network.training and str(own.preprocess) == str(preprocess)
    assert own.network.visual.preprocess_cfg == theirs.visual.preprocess_cfg
    for found, expected in zip(
        embeddings(own.network, own.preprocess, own.tokenizer),
        embeddings(theirs.eval(), preprocess, tokenizer),
        strict=True,
    ):
        assert torch.equal(found, expected)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in own.network.state_dict().items()}}, folder / "x.pth"
    )
    (folder / WEIGHTS).unlink()
    edit(folder / CONFIGURATION, lambda config: config["model_cfg"]["text_cfg"].pop("hf_tokenizer_name"))
    again = load_model(f"local-dir:{folder}")  # by the tokenizer that lies there, not CLIP's
    assert again.weights_digest == own.weights_digest
    assert torch.equal(again.tokenizer(TEXTS), own.tokenizer(TEXTS))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_cleaning_are_open_clips(folder, side):
    """A tokenizer of another kind, as SigLIP's: padded with its end token, texts without punctuation."""
    inner = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "word": 3, "eot": 4}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    inner.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "</s>", "padding_side": side}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    text = {"tokenizer_kwargs": {"clean": "canonicalize"}, "pool_type": "last"}
    edit(folder / CONFIGURATION, lambda config: config["model_cfg"]["text_cfg"].update(text))
    tokens = load_model(folder).tokenizer(TEXTS)
    assert torch.equal(tokens, open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS))
    assert tokens[1, -1 if side == "right" else 0] == 1


def test_a_repository_is_read_like_a_folder(tmp_path, monkeypatch):
    from huggingface_hub import constants

    repository = tmp_path / "models--salmu--tiny"
    snapshot = Path(shutil.copytree(EMBEDDED_CLIP, repository / "snapshots" / ("a" * 40)))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert load_model("hf-hub:salmu/tiny").weights_digest == load_model(EMBEDDED_CLIP).weights_digest
    edit(
        snapshot / "tokenizer_config.json",
        lambda about: about.update(auto_map={"AutoTokenizer": ["code.Tokens", None]}),
    )
    with pytest.raises(UserError, match="tokenizer_config.json: names code in the folder"):
        load_model("hf-hub:salmu/tiny")
    for name in ("hf-hub:salmu/other", "hf-hub:../../etc"):
        with pytest.raises(UserError, match="cannot be fetched from the hub|not the name of a repository"):
            load_model(name)


def model(key: str, value, part: str | None = None):
    """A change of the configuration, in model_cfg or in one of its towers."""

    def change(folder: Path) -> None:
        def put(config):
            (config["model_cfg"][part] if part else config["model_cfg"])[key] = value

        edit(folder / CONFIGURATION, put)

    return change


def flat(folder: Path) -> None:
    edit(folder / CONFIGURATION, lambda config: config.setdefault("preprocess_cfg", {}).update(std=[0.2, 0.0, 0.2]))


def weights(change):
    def changed(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return changed


def tokens(change):
    return lambda folder: edit(folder / "tokenizer.json", change)


def poisoned(tensors):
    tensors["text_projection"][0, 0] = float("nan")


def negative_variance(tensors):
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name] -= 1e6


def two_files(folder: Path) -> None:
    for name in ("one.bin", "two.bin"):
        torch.save({}, folder / name)
    (folder / WEIGHTS).unlink()


def repeated(folder: Path) -> None:
    """One number in the file, a billion in memory."""
    torch.save({"logit_scale": torch.zeros(1).expand(10**9)}, folder / "open_clip_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


class Code:
    def __reduce__(self):
        return print, ("this must not run",)


def pickled(folder: Path) -> None:
    torch.save({"logit_scale": Code()}, folder / "open_clip_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def raw(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def code_of_the_folder(folder: Path) -> None:
    (folder / "code.py").write_text("open('marker', 'w')")
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "code.Config"}, "model_type": "own"}))


def no_pad_token(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", lambda about: about.pop("pad_token"))


def nothing_that_names_a_tokenizer(folder: Path) -> None:
    edit(folder / CONFIGURATION, lambda config: config["model_cfg"]["text_cfg"].pop("hf_tokenizer_name"))
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (code_of_the_folder, "config.json: names code in the folder .auto_map."),
        (model("hf_model_name", "roberta-base", "text_cfg"), "hf_model_name names a text tower of another repository"),
        (model("timm_model_name", "hf-hub:somebody/net", "vision_cfg"), "timm_model_name .* is no model of timm"),
        (model("timm_model_name", "no_such_net", "vision_cfg"), "timm_model_name 'no_such_net' is no model of timm"),
        (model("trust_remote_code", True), "unknown key 'model_cfg.trust_remote_code'"),
        (model("bpe_path", "/etc/passwd", "text_cfg"), "unknown key 'model_cfg.text_cfg.bpe_path'"),
        (model("tokenizer_kwargs", {"trust_remote_code": True}, "text_cfg"), "unknown key .*trust_remote_code"),
        (model("width", 10**9, "text_cfg"), "model_cfg.text_cfg.width: input should be less than"),
        (model("width", 9000, "text_cfg"), "the weights do not fit the configuration.*of another shape"),
        (model("heads", 7, "text_cfg"), "no network can be built from it"),
        (model("context_length", 30, "text_cfg"), "positional_embedding .*wanted .30, 96"),
        (model("context_length", 2, "text_cfg"), "a context of 2 tokens has no room"),
        (model("vocab_size", 400, "text_cfg"), "has ids up to 511, but the network has embeddings for 400"),
        (model("layers", 3, "text_cfg"), "do not fit the configuration: 12 missing"),
        (model("layers", 1, "text_cfg"), "do not fit the configuration: 12 unexpected"),
        (model("eos_id", 5, "text_cfg"), "reads a text at its end token, id 5"),
        (flat, "preprocess_cfg.std.1: .*greater than 0, got 0"),
        (raw(CONFIGURATION, b"[" * 10**5), "nested too deep"),
        (raw(CONFIGURATION, b"[]"), "open_clip_config.json: .*valid dictionary"),
        (raw(CONFIGURATION, b" " * 2**21), "bytes are more than such a file has"),
        (raw(CONFIGURATION, b'{"model_cfg": {"embed_dim": NaN}}'), "NaN is not a number that JSON has"),
        (raw(CONFIGURATION, b'{"a": "\\ud800"}'), "damaged, or not JSON"),
        (raw("tokenizer.json", b"{}"), "tokenizer.json: not a tokenizer"),
        (raw("tokenizer_config.json", b'{"pad_token": 1}'), "tokenizer_config.json: pad_token"),
        (tokens(lambda document: document["model"].update(dropout=0.5)), "equal texts get random ids"),
        (no_pad_token, "no padding token"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "names a tokenizer, but there is no tokenizer.json"),
        (nothing_that_names_a_tokenizer, "CLIP's own vocabulary.* ids up to 49407, but .* embeddings for 512"),
        (weights(poisoned), "weight text_projection is not finite"),
        (weights(negative_variance), "its image embeddings are not finite"),
        (weights(lambda tensors: tensors["text_projection"].zero_()), "its text embeddings are zero; it is broken"),
        (weights(lambda tensors: tensors.pop("text_projection")), "1 missing, the first text_projection"),
        (weights(lambda tensors: tensors.update(more=torch.zeros(1))), "1 unexpected, the first more"),
        (raw(WEIGHTS, b"nothing"), "cannot be loaded, damaged or not weights alone"),
        (lambda folder: (folder / WEIGHTS).unlink(), "no weights here"),
        (two_files, "one.bin and two.bin may both be the weights"),
        (repeated, "1,000,000,000 weights in"),
        (pickled, "cannot be loaded, damaged or not weights alone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_right_is_one_line(folder, change, said, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    change(folder)
    with pytest.raises(UserError, match=said) as error:
        load_model(folder)
    assert len(str(error.value)) < 800 and "\n" not in str(error.value)
    assert not (folder / "marker").exists() and "must not run" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embed_dim": "512"}, "embed_dim: input should be a valid integer"),
        ({"trust_remote_code": True}, "unknown key 'trust_remote_code'"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, "hf_model_name names a text tower of another repository"),
        (
            {"text_cfg": {"hf_tokenizer_name": "somebody/tokens"}},
            "hf_tokenizer_name is '.', a tokenizer of the pair's own",
        ),
        ({"text_cfg": {"width": 100, "heads": 7}}, "no network can be built from"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_configuration_for_a_pair_is_checked_too(tmp_path, change, said):
    plain = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
        "text_cfg": {},
    }
    (tmp_path / "own.json").write_text(json.dumps(plain | change))
    with pytest.raises(UserError, match=said):
        create_model(str(tmp_path / "own.json"), 0)
