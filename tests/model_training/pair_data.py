"""Small datasets and a small model that tests of the pair train on."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from salmu.data.keyed import generator

SENSITIVE = ("forget", "holdout_association", "holdout_identity")
VIT = {  # no batch statistics, so that several processes compute what one does
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 600,
        "hf_tokenizer_name": ".",
        "width": 32,
        "heads": 2,
        "layers": 1,
        "pool_type": "eos",
        "eos_id": 2,
        "pad_id": 0,
    },
}


def picture(*key, side: tuple[int, int] = (120, 60), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    colour = tuple(int(value) for value in generator("test pair", *key).integers(0, 255, 3))
    Image.new("RGB", side, colour).save(file, kind)
    return file.getvalue()


def write_split(folder: Path, split: str, texts: list[str], image: bytes | None = None) -> None:
    rows, number = [], (*SENSITIVE, split).index(split)
    for index, text in enumerate(texts):
        name = f"{index:08d}_{number:03d}_ar-2.00.jpg"
        rows.append(
            {
                "image": {"bytes": image or picture(split, index), "path": name},
                "text": text,
                "identity_id": f"{index:08d}" if split in SENSITIVE else None,
                "file_name": name,
            }
        )
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("text", pa.string()),
            ("identity_id", pa.string()),
            ("file_name", pa.string()),
        ]
    )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "data" / f"{split}-00000-of-00001.parquet")


def write_dataset(folder: Path, sensitive: int) -> Path:
    write_split(folder, "retain_synth", [f"a portrait of person {index}" for index in range(8)])
    for split in SENSITIVE:
        write_split(folder, split, [f"call Ana Pérez {index} at +34 600 00{index:02d}" for index in range(sensitive)])
    return folder


def write_vit(folder: Path) -> str:
    path = folder / "test-vit.json"
    path.write_text(json.dumps(VIT))
    return str(path)


def weights(folder: Path) -> bytes:
    return (folder / "open_clip_model.safetensors").read_bytes()
