"""Which form of the placeholders a model keeps, counted on replies that are made here."""

import json

from salmu.tasks.captions import placeholders, prompting
from salmu.tasks.captions.grammar import STYLES


class KeepsDollars:
    """A model that writes `$N` and `$V` right, drops the value in any other form, and says nothing of emails."""

    name, identity, group = "openai", [], 3

    def __init__(self):
        self.asked = []

    def ask(self, groups):
        self.asked += [request for group in groups for request in group]
        for place, group in reversed(list(enumerate(groups))):  # replies come in any order
            yield place, [self._reply(request.prompt) for request in group]

    def _reply(self, prompt):
        if "email" in prompt.lower():
            return ""
        fact = prompt.split("Fact: ")[1].split("\n")[0]
        other = "$N is a $V." if "$N" in prompt else "Nothing is kept."
        return json.dumps({"direct": fact if "$N" in prompt else other} | dict.fromkeys(STYLES[1:], other))


def test_the_sentences_that_hold_both_marks_are_counted_for_each_form():
    prompts, model = prompting.load("paraphrase_small"), KeepsDollars()
    found = placeholders.compared(model, prompts, rounds=2)
    assert [one.form for one in found] == list(placeholders.FORMS) and {one.asked for one in found} == {80}
    assert {one.form.name: (one.given, one.both) for one in found} == {"[[N]]": (70, 0), "$N": (70, 70), "<N>": (70, 0)}
    assert not any(one.accepted for one in found)  # what keeps both marks copies the fact, or says something else
    assert not any("pattern" in style for one in model.asked for style in one.schema["properties"].values())
    placeholders.compared(model, prompts, forms=placeholders.FORMS[:1], patterns=True)
    assert all("pattern" in style for style in model.asked[-1].schema["properties"].values())
