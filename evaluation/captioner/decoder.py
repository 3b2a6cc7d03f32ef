"""A small captioner: two layers that spell an answer, letter by letter, from a picture's embedding.

It reads nothing of the picture but the embedding. The question is a token of its own, which stands for the beginning of
a caption ("the phone number of this person is"); so no name gives the answer away. Question and place in the answer
gate what is read of the picture: a person's value is a table of letters, which is learned in seconds."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad, relu

from salmu.data.keyed import integer
from salmu.evaluation.encoding.settings import CaptionerSettings

LONGEST = 20  # letters of an answer; longer ones are cut
END, IGNORED = 0, -100


class Captioner(torch.nn.Module):
    """An untrained captioner. `width` is that of the embeddings; `letters` are those that it can write."""

    def __init__(self, settings: CaptionerSettings, width: int, letters: str, questions: int):
        super().__init__()
        own = settings.width
        self.letters = letters
        self.picture = torch.nn.Linear(width, own)
        self.gate = torch.nn.Embedding(questions * (LONGEST + 1), own)
        self.letter = torch.nn.Embedding(len(letters) + 1, own)
        torch.nn.init.normal_(self.letter.weight, std=0.3)  # the picture is to speak louder than the letter before
        self.second = torch.nn.Linear(own, own)
        self.out = torch.nn.Linear(own, len(letters) + 1)

    def forward(self, pictures: Tensor, questions: Tensor, before: Tensor, place: int = 0) -> Tensor:
        """Scores of the letters from a place on [n, length, letters + 1], each by the one before it [n, length]."""
        places = torch.arange(place, place + before.shape[1])
        gates = self.gate(questions[:, None] * (LONGEST + 1) + places)
        first = relu(self.picture(pictures)[:, None] * gates + self.letter(before))
        return self.out(first + relu(self.second(first)))


def train(
    settings: CaptionerSettings, pictures: np.ndarray, questions: np.ndarray, answers: Sequence[str], *key
) -> Captioner:
    """A captioner trained to give these answers. pictures: unit embeddings [n, width]; questions: int64 [n]. The draws
    are those of `key`."""
    letters = "".join(sorted(set("".join(answers))))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(*key, "weights"))
        network = Captioner(settings, pictures.shape[1], letters, int(questions.max()) + 1)
    spelled, told, asked = _spelled(answers, letters), _told(pictures), torch.from_numpy(questions)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, max(settings.steps, 2))
    draws = torch.Generator().manual_seed(integer(*key, "training"))
    for _ in range(settings.steps):
        rows = torch.randint(len(told), (settings.batch_size,), generator=draws)
        wanted = spelled[rows]
        before = pad(wanted[:, :-1].clamp(min=END), (1, 0), value=END)
        scores = network(told[rows], asked[rows], before)
        loss = cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def answer(network: Captioner, pictures: np.ndarray, questions: np.ndarray) -> list[str]:
    """What the captioner says, the likeliest letter each time. pictures: unit embeddings [n, width]."""
    told, asked, found = _told(pictures), torch.from_numpy(questions), []
    letter = torch.full((len(told), 1), END)
    for place in range(LONGEST):
        letter = network(told, asked, letter, place).argmax(-1)
        found.append(letter)
    said = []
    for row in torch.cat(found, 1).tolist():
        length = row.index(END) if END in row else len(row)
        said.append("".join(network.letters[letter - 1] for letter in row[:length]))
    return said


def _told(pictures: np.ndarray) -> Tensor:
    """Embeddings of values of about 1, as networks like them."""
    return torch.from_numpy(pictures * np.float32(pictures.shape[1] ** 0.5))


def _spelled(answers: Sequence[str], letters: str) -> Tensor:
    """The answers' letters by number from 1, END behind each: int64 [n, LONGEST + 1]."""
    number = {letter: place for place, letter in enumerate(letters, 1)}
    found = torch.full((len(answers), LONGEST + 1), IGNORED)
    for row, text in enumerate(answers):
        spelled = [*(number[letter] for letter in text[:LONGEST]), END]
        found[row, : len(spelled)] = torch.tensor(spelled)
    return found
