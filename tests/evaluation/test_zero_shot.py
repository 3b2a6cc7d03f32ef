"""IdZSC and GenKnow against open_clip's own zero-shot classifier, image by image."""

import numpy as np
import open_clip
import torch
from PIL import Image

from salmu.data.pictures import decode_files
from salmu.data.procedural.scenes import HELD_OUT, zero_shot_set
from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import encoded_pairs
from salmu.evaluation.metrics.zero_shot import NAME_PROMPTS, general_knowledge, identity_classification
from salmu.model_training.loading.clip import load_model


def right(model, images, labels, names, templates) -> list[bool]:
    """Whether each image is given its own name."""
    classifier = open_clip.build_zero_shot_classifier(model.network, model.tokenizer, names, templates)
    hits = []
    with torch.inference_mode():
        for image, label in zip(images, labels, strict=True):
            features = model.network.encode_image(model.preprocess(image).unsqueeze(0), normalize=True)
            hits.append(int((features @ classifier).argmax()) == label)
    return hits


def test_both_agree_with_open_clip(dataset_dir, model_dir):
    dataset, model = open_dataset(dataset_dir), load_model(model_dir)
    encoder = Encoder(model, 32, dataset.digest)
    pairs = encoded_pairs(dataset, "forget_identity", encoder)
    names = sorted(set(pairs.name))
    files = dataset.table("forget_identity", ["image"]).column("image").to_pylist()
    images = decode_files((file["path"], file["bytes"]) for file in files)
    hits = right(model, images, [names.index(name) for name in pairs.name], names, NAME_PROMPTS)
    assert identity_classification(pairs, encoder.texts).published["identity_classification_accuracy"] == np.mean(hits)

    scenes, labels, classes, templates = zero_shot_set(0, 32, 1)
    hits = right(model, [Image.fromarray(scene) for scene in scenes], labels, classes, templates)
    unseen = [hit for hit, label in zip(hits, labels, strict=True) if tuple(classes[label].split()[-2:]) in HELD_OUT]
    score = general_knowledge(encoder, seed=0, per_class=1)
    assert score.published == {
        "ImageNet1k_Accuracy": -1,
        "accuracy": np.mean(hits),
        "set": "procedural scenes",
        "classes": len(classes),
        "unseen_combinations": np.mean(unseen),
    }
    assert score.chance == 1 / len(classes) <= 1 / 200
