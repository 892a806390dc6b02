"""A trainer: LoRA on the linear layers, by PEFT, on a copy of the base."""

from selfmoe.contracts import FitConfig, Trainer, hookimpl

SELFMOE_API = 1


class Plain(Trainer):
    """LoRA of rank 8 on all linear layers."""

    name = "plain"
    Config = FitConfig

    def train(self, ctx):
        import copy

        import torch
        from peft import LoraConfig, get_peft_model

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            lora = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
            model = get_peft_model(copy.deepcopy(ctx.base.model), lora)
        learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
        fitted = ctx.fit(
            model, learned, ctx.data, ctx.base, self.options,
            seed=ctx.seed, work=ctx.work, label="training",
        )  # fmt: skip
        model.save_pretrained(ctx.out)
        size = sum(p.numel() for p in learned.values())
        return {"losses": fitted.losses, "tokens": fitted.tokens, "trained_parameters": size}


@hookimpl
def register_trainers():
    return [Plain]
