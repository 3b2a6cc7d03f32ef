#!/usr/bin/env bash
# peft 0.21.2: LoRA on the out_proj of torch.nn.MultiheadAttention has no effect and gets no gradient. target_modules=
# "all-linear" picks only that layer of such an attention. merge_and_unload() does apply the adapter.
#
# Guess before the run: an error, or an adapter that works, as it does for target_modules=["attn"].
# Seen: the attention reads out_proj.weight and never calls the layer, so the adapter around it is never used. Neither
# get_peft_model nor the forward pass warns. open_clip's CLIP models use this attention: with "all-linear" or
# "out_proj" an unlearning method adapts only the MLP, yet counts the attention's parameters as trainable. An adapter
# with weights other than zero changes the model only once it is merged. Name the attention module itself, and check
# the gradients after one step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile peft==0.21.2 torch==2.13.0 transformers==5.24.0 numpy==2.4.6
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import peft
import torch


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = torch.nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = torch.nn.Linear(16, 16)

    def forward(self, x):
        return self.mlp(self.attn(x, x, x)[0])


def adapted(targets):
    """The modules that get an adapter, those whose adapter gets a gradient, and the effects of adapting and merging."""
    torch.manual_seed(0)
    block, x = Block(), torch.randn(2, 3, 16)
    plain = block(x)
    configuration = peft.LoraConfig(target_modules=targets, r=4, init_lora_weights=False)
    model = peft.get_peft_model(block, configuration)
    before = model(x)
    if before.requires_grad:
        before.sum().backward()
    adapters = {name: each for name, each in model.named_parameters() if ".lora_A." in name}
    names = {name: name.removeprefix("base_model.model.").partition(".lora_A.")[0] for name in adapters}
    trained = {names[name] for name, each in adapters.items() if each.grad is not None}
    merged = model.merge_and_unload()(x)
    changed, differs = (not torch.allclose(before, other, atol=1e-5) for other in (plain, merged))
    return set(names.values()), trained, changed, differs


print("peft", peft.__version__, "torch", torch.__version__)
found = {str(targets): adapted(targets) for targets in ("all-linear", ["out_proj"], ["attn"], ["mlp"])}
for targets, (names, trained, changed, differs) in found.items():
    print(f"{targets}: adapters on {sorted(names)}, gradient for {sorted(trained)};", end=" ")
    print(f"adapting changes the output: {changed}, merging changes it again: {differs}")
assert found["all-linear"] == ({"attn.out_proj", "mlp"}, {"mlp"}, True, True)
assert found["['out_proj']"] == ({"attn.out_proj"}, set(), False, True)
assert found["['mlp']"] == ({"mlp"}, {"mlp"}, True, False)
names, trained, changed, differs = found["['attn']"]
assert names == trained and changed and not differs
PYTHON
