"""Makes a Gemma 3 of the published class (Gemma3ForConditionalGeneration) with random weights, 300 kB: its answers are
noise, everything else about it is real."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
IMAGE = ["<start_of_image>", "<end_of_image>", "<image_soft_token>"]
TEMPLATE = (  # a turn's content may be a text or a list of parts
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] | trim }}"
    "{% else %}{% for part in m['content'] %}{{ part['text'] | trim }}{% endfor %}{% endif %}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def make_gemma(folder: Path, text: str) -> Path:
    """Write the checkpoint. `text`: what its byte-pair tokenizer learns from."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIAL + IMAGE, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(text.splitlines(), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    wrapped.add_special_tokens({"additional_special_tokens": [*SPECIAL[4:], *IMAGE]})
    number = {name: wrapped.convert_tokens_to_ids(name) for name in (*SPECIAL, *IMAGE)}
    for kind, name in zip(("boi", "eoi", "image"), IMAGE, strict=True):
        setattr(wrapped, f"{kind}_token", name)
        setattr(wrapped, f"{kind}_token_id", number[name])
    wrapped.chat_template = TEMPLATE
    attention = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "query_pre_attn_scalar": 32}
    layers = {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 256}
    sizes = {"vocab_size": len(wrapped), "hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 4096}
    config = Gemma3Config(
        text_config={**sizes, **attention, **layers},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
            "vision_use_head": False,
        },
        mm_tokens_per_image=4,
        boi_token_index=number["<start_of_image>"],
        eoi_token_index=number["<end_of_image>"],
        image_token_index=number["<image_soft_token>"],
        eos_token_id=[number["<eos>"], number["<end_of_turn>"]],
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Gemma3ForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    pictures = Gemma3ImageProcessor(size={"height": 56, "width": 56}, image_seq_length=4)
    Gemma3Processor(pictures, wrapped, chat_template=TEMPLATE, image_seq_length=4).save_pretrained(folder)
    return folder
