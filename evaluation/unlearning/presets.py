"""Settings that were judged together, under one name (docs/precision.md, benchmarks/protocol.md)."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "precise": {  # the twelfth note of the protocol; for a budget of 20
        "optimiser": "muon",
        "epsilon": 1e-3,
        "learning_rate": 4e-3,
        "image_rate": 0.4,
        "forgetting": 1.5,
        "rewording": 2.6,
        "hold": 10,
        "hold_retain": 1.5,
        "move_faces": 6,
        "hold_pictures": 42,
        "faces": 0.31,
        "ties": 0.65,
        "factor": 1,
        "level": 0.541,
        "overshoot": 0.13,
        "typical": True,
        "own_name": 1,
        "pull_back": 0,
        "drawn_altered": 5,
        "drawn_paraphrases": 3,
        "neighbours": 18,
        "turned_round": True,
        "same_sentence": True,
        "partly": True,
        "more_portraits": 2,
        "drawn_pictures": 2,
        "each": "person",
        "strangers": 2000,
        "others": 8000,
        "altered": 30,
        "paraphrases": 20,
        "scenes": 4000,
        "made_portraits": 2000,
    }
}
