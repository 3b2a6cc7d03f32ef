"""The pair's own tokenizer: byte-level BPE, so that any text is representable, trained without the sensitive set.

The corpus is the retain captions plus invented lines with names, places and numbers (web_text.py). The Clean model's
files therefore hold no trace of a persona, and both models share the tokenizer byte for byte.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from salmu.model_training.web_text import invented_lines

PAD, START, END = "<pad>", "<sot>", "<eot>"  # ids 0, 1, 2


def train_tokenizer(captions: Iterable[str], seed: int, vocabulary: int, context_length: int):
    """A lower-casing byte-level BPE tokenizer; text becomes `<sot> … <eot>`, which open_clip cuts or pads.

    Depends on the captions but not their order, on the seed, and on the versions of tokenizers and Faker."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, START, END],
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([*sorted(captions), *invented_lines(seed)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, 1), (END, 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD, model_max_length=context_length
    )
