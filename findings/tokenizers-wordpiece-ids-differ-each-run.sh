#!/usr/bin/env bash
# tokenizers 0.23.3: WordPieceTrainer numbers the same pieces differently each time it is run on the same text. It has
# no seed, and a single thread makes no difference.
#
# Guess before the run: the same file each time, as from BpeTrainer, which does the work underneath.
# Seen: the single letters that continue a word (##a, ##b, ...) are numbered in random order, and so are later pieces
# that are equally frequent. The texts are cut alike, so a look at the pieces shows nothing. UnigramTrainer's files
# differ too, in the last digits of the scores.
# It matters for two models that must differ in their data only: if each trains its tokenizer, number 12 means ##c in
# one and ##h in the other, and one model's text tower cannot be used with the other's tokenizer. Train the tokenizer
# once, keep the file with its digest, and give it to every model.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --no-deps tokenizers==0.23.3
RAYON_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import random

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

draw = random.Random(0)
words = ["".join(draw.choices("abcdefgh", k=draw.randint(2, 9))) for _ in range(800)]
texts = [" ".join(draw.choices(words, k=12)) for _ in range(400)]


def trained(model, trainer):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(texts, trainer(vocab_size=500, show_progress=False))
    return tokenizer


KINDS = {
    "BPE": (models.BPE, trainers.BpeTrainer),
    "WordPiece": (models.WordPiece, trainers.WordPieceTrainer),
    "Unigram": (models.Unigram, trainers.UnigramTrainer),
}
found = {name: [trained(model(), trainer) for _ in range(3)] for name, (model, trainer) in KINDS.items()}
print("tokenizers", tokenizers.__version__)
for name, runs in found.items():
    print(f"{name}: {len({run.to_str() for run in runs})} different files of three trainings")
one, two = found["WordPiece"][:2]
numbers = [run.get_vocab() for run in (one, two)]
moved = [piece for piece, number in numbers[0].items() if numbers[1].get(piece) != number]
print("WordPiece: number 12 is", one.id_to_token(12), "and", two.id_to_token(12), "- pieces that moved:", len(moved))
assert len({run.to_str() for run in found["BPE"]}) == 1
assert len({run.to_str() for run in found["WordPiece"]}) > 1 and moved
assert len({run.to_str() for run in found["Unigram"]}) > 1
assert all(one.encode(text).tokens == two.encode(text).tokens for text in texts)
PYTHON
