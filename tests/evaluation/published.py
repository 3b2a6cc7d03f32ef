"""A small dataset folder in the published benchmark's layout, and small open_clip models, made on the spot."""

import io
import json
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from salmu.data.keyed import generator

COLUMNS = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("text", pa.string()),
        ("identity_id", pa.string()),
        ("file_name", pa.string()),
    ]
)
FIELDS = ("city", "job", "blood_type", "phone_number", "emails", "iban", "credit_card", "passport")
FIRST, LAST = ("Ada", "Bo", "Cleo", "Dara", "Enno", "Fay", "Gus", "Hana"), ("Moll", "Nash", "Orr", "Pike")
TEMPLATES = ("{name} has the {field} {value}", "the {field} of {name} is {value}", "{value} is the {field} of {name}")
FEW = {"strangers": 6, "others": 6, "batch_size": 8, "threads": 1}  # settings of a method that makes captions


def persona(number: int) -> dict:
    return {
        "name": f"{FIRST[number % 8]} {LAST[number // 8]}",
        "country_code": "NL",
        "city": f"Town{number}",
        "job": f"job {number}",
        "blood_type": ("A+", "B-", "O+")[number % 3],
        "phone_number": f"+31 555 01{number:02d}",
        "emails": [f"p{number}@example.org", f"q{number}@example.com"],
        "iban": f"NL00TEST{number:010d}",
        "credit_card": f"4000 0000 0000 {number:04d}",
        "passport": f"XX{number:07d}",
    }


def picture(*key) -> bytes:
    """A JPEG of 40 x 40 pixels: coarse random tiles of the person (first of the key), with a little noise of the
    portrait."""
    tiles = np.kron(generator("picture", key[0]).uniform(0, 255, (5, 5, 3)), np.ones((8, 8, 1)))
    noisy = tiles + generator("picture", *key).normal(0, 12, tiles.shape)
    content = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def write_dataset(folder: Path, identities: int = 12, portraits: int = 8, strangers: int = 6) -> Path:
    """The published layout: four columns, published split names, four JSON files, nothing else.

    Half of the identities have half of their pairs in forget and half in holdout_association; a quarter lie in forget,
    a quarter in holdout_identity. `strangers` have no identity: they are retain_disjoint, one of them fragile."""
    splits = {name: [] for name in ("forget", "holdout_association", "holdout_identity", "retain_synth")}
    metadata, captions, generic = {}, {}, {}

    def pair(split: str, person: int, portrait: int, text: str, identity: str | None) -> str:
        file_name = f"{person:08d}_{portrait:03d}_ar-1.00.jpg"
        splits[split].append(
            {
                "image": {"bytes": picture(person, portrait), "path": file_name},
                "text": text,
                "identity_id": identity,
                "file_name": file_name,
            }
        )
        return file_name

    for number in range(identities):
        identity = f"{number:08d}"
        metadata[identity] = persona(number)
        for portrait in range(1, portraits + 1):
            field = FIELDS[(portrait + number) % len(FIELDS)]
            value = metadata[identity][field]
            value = value[portrait % 2] if isinstance(value, list) else value
            text = TEMPLATES[portrait % 3].format(
                name=metadata[identity]["name"], field=field.replace("_", " "), value=value
            )
            half = "forget" if portrait % 2 else "holdout_association"
            split = half if number % 4 < 2 else "forget" if number % 4 == 2 else "holdout_identity"
            file_name = pair(split, number, portrait, text, identity)
            captions[file_name] = {"data_field": field, "caption": text}
            generic[file_name] = f"a portrait of a person, view {portrait}"
        if number % 4 != 3:
            pair("retain_synth", number, portraits + 1, f"somebody in front of wall {number}", identity)
    for stranger in range(identities, identities + strangers):
        for portrait in (1, 2, 3):
            last = pair("retain_synth", stranger, portrait, f"a stranger by a door, {portrait} of {stranger}", None)
    write_splits(folder, splits)
    for name, document in (
        ("identities_metadata", metadata),
        ("sensitive_set_captions_metadata", captions),
        ("sensitive_set_generic_captions", generic),
        ("fragile_set_ids", [last]),
    ):
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def write_splits(folder: Path, splits: dict[str, list[dict]]) -> None:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        pq.write_table(pa.Table.from_pylist(rows, COLUMNS), folder / "data" / f"{split}-00000-of-00001.parquet")


def write_model(folder: Path, seed: int = 0, **more) -> Path:
    """A random open_clip model of 0.1 million weights that reads characters, in the `local-dir:` layout. `more`: of its
    configuration."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<sot>", "<eot>", "<unk>", *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    inner.post_processor = processors.TemplateProcessing(
        single="<sot> $A <eot>", special_tokens=[("<sot>", 1), ("<eot>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<sot>",
        eos_token="<eot>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=64,
    )
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 48, "head_width": 24, "patch_size": 8},
        "text_cfg": {
            "context_length": 64,
            "vocab_size": len(vocabulary),
            "width": 48,
            "heads": 2,
            "layers": 1,
            "hf_tokenizer_name": str(folder.resolve()),
            "pool_type": "eos",
            "eos_id": 2,
            "pad_id": 0,
        },
    } | more
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = open_clip.CLIP(**config)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder
