"""Real clients and a real server: what they get is what the engine of `generate` writes."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import selfmoe
from selfmoe.contracts.lines import plain_lines
from selfmoe.models.asking import prompt_of, task_in
from selfmoe.models.generation import generate

openai = pytest.importorskip("openai")
httpx = pytest.importorskip("httpx")
SYSTEMS = ["base", "expert-anything", "mixse", "seq", "ties"]
ASKED = "Say where the herons are."


@pytest.fixture(scope="module")
def client(served):
    return openai.OpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def prompt() -> str:
    return prompt_of(task_in(ASKED), None, "alpaca")


@pytest.fixture(scope="module")
def expected(run, prompt):
    """Return what `generate` writes after the prompt, by system."""
    found = {}
    for system in SYSTEMS:
        model, tokenizer = selfmoe.load(run, system)
        found[system] = generate(model, tokenizer, [prompt], max_new_tokens=16)[0]
    return found


def said(client, system="mixse", **how):
    how = {"max_tokens": 16, "temperature": 0, **how}
    messages = [{"role": "user", "content": ASKED}]
    return client.chat.completions.create(model=f"demo/{system}", messages=messages, **how)


def test_every_system_is_a_model_and_the_default_is_marked(client):
    models = {model.id: model for model in client.models.list().data}
    assert set(models) == {f"demo/{name}" for name in [*SYSTEMS, "expert-whatever", "oracle"]}
    assert [name for name, m in models.items() if m.default] == ["demo/mixse"]
    assert models["demo/mixse"].experts == ["anything", "whatever"]
    assert client.models.retrieve("demo/ties").kind == "merge"


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_answers_as_generate_does(client, prompt, expected, system):
    raw = client.completions.create(
        model=system, prompt=prompt, max_tokens=16, temperature=0, logprobs=1
    )
    assert raw.choices[0].text == expected[system].text
    assert raw.usage.completion_tokens == len(expected[system].tokens)
    chat = said(client, system)
    assert chat.choices[0].message.content == expected[system].text
    assert chat.choices[0].finish_reason == ("stop" if expected[system].finished else "length")


def test_the_systems_differ(expected):
    assert len({text.tokens for text in expected.values()}) > 2


@pytest.mark.parametrize("system", ["mixse", "seq"])
def test_a_stream_is_the_whole_answer_in_parts(client, expected, system):
    parts = list(said(client, system, stream=True, stream_options={"include_usage": True}))
    assert parts[0].choices[0].delta.role == "assistant"
    text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
    assert text == expected[system].text
    assert parts[-1].usage.completion_tokens == len(expected[system].tokens)
    assert len(parts) > 4


def test_curl_reads_a_stream(served):
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    body = {"messages": [{"role": "user", "content": ASKED}], "stream": True, "max_tokens": 4}
    done = subprocess.run(
        ["curl", "-sN", f"{served}/v1/chat/completions", "-H", "Content-Type: application/json",
         "-d", json.dumps(body)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


def test_the_same_seed_draws_the_same_whoever_else_asks(client):
    how = {"temperature": 1.5, "top_p": 0.9, "max_tokens": 12}

    def ask(seed):
        return said(client, seed=seed, n=2, **how)

    alone = [ask(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, range(6)))
    texts = [[c.message.content for c in one.choices] for one in alone]
    assert texts == [[c.message.content for c in one.choices] for one in together]
    assert len({text for pair in texts for text in pair}) > 6
    assert said(client, seed=3, **how).choices[0].message.content == texts[3][0]


def test_stop_strings_are_cut_and_never_streamed(client, expected):
    stop = expected["mixse"].text[4:6]
    cut = expected["mixse"].text.partition(stop)[0]
    assert said(client, stop=stop).choices[0].message.content == cut
    streamed = said(client, stop=[stop, "never"], stream=True)
    assert "".join(p.choices[0].delta.content or "" for p in streamed) == cut


def test_several_prompts_as_texts_and_as_tokens(client, run, prompt):
    _, tokenizer = selfmoe.load(run, "base")
    texts = [prompt, "Once upon a time"]
    how = {"model": "demo/mixse", "max_tokens": 6, "temperature": 0}
    one = client.completions.create(prompt=texts, **how)
    other = client.completions.create(prompt=[tokenizer(text).input_ids for text in texts], **how)
    assert [c.text for c in one.choices] == [c.text for c in other.choices]
    assert one.usage == other.usage
    assert [c.index for c in one.choices] == [0, 1]


def test_log_probabilities_are_those_of_the_model(client, run, prompt):
    import torch

    model, tokenizer = selfmoe.load(run, "mixse")
    made = client.completions.create(
        model="mixse", prompt=prompt, max_tokens=5, temperature=0, logprobs=2, echo=True
    ).choices[0]
    assert made.text.startswith(prompt)
    ids = tokenizer(prompt).input_ids
    new = generate(model, tokenizer, [prompt], max_new_tokens=5)[0].tokens
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*ids, *new]])).logits[0, :-1].log_softmax(-1)
    own = logits.gather(-1, torch.tensor([*ids, *new])[1:, None])[:, 0]
    assert made.logprobs.token_logprobs[0] is None
    assert made.logprobs.token_logprobs[1:] == pytest.approx(own.tolist(), abs=1e-3)
    assert plain_lines("".join(made.logprobs.tokens)) == made.text
    chat = said(client, logprobs=True, top_logprobs=2).choices[0]
    tokens = "".join(entry.token for entry in chat.logprobs.content)
    assert plain_lines(tokens) == chat.message.content
    assert all(len(entry.top_logprobs) == 2 for entry in chat.logprobs.content)


def test_the_prompt_alone_can_be_scored(client):
    made = client.completions.create(
        model="base", prompt="Once upon", max_tokens=0, echo=True, logprobs=0
    )
    assert made.choices[0].text == "Once upon"
    assert len(made.choices[0].logprobs.token_logprobs) == made.usage.prompt_tokens
    with pytest.raises(openai.BadRequestError, match="decides from the prompt"):
        client.completions.create(model="seq", prompt="Once", max_tokens=1, echo=True, logprobs=1)


# --- experts --------------------------------------------------------------------------------------


def test_experts_are_switched_for_one_request_alone(client, expected):
    off = {"experts": {"anything": 0, "whatever": False}}
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(said, client, extra_body=body) for body in (off, {}, off, {"experts": {}})
        ]
    texts = [one.result().choices[0].message.content for one in asked]
    assert texts == [expected[name].text for name in ("base", "mixse", "base", "mixse")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("system", ["mixse", "seq"])
def test_a_trace_has_every_token_that_was_read_and_every_block(client, run, system, stream):
    import torch

    made = said(client, system, extra_body={"trace": True}, stream=stream)
    parts = list(made) if stream else [made]
    routes = [r for p in parts for c in p.choices for r in getattr(c, "routed_experts", None) or []]
    assert parts[0].experts == ["anything", "whatever"]
    prompt = prompt_of(task_in(ASKED), None, "alpaca")
    model, tokenizer = selfmoe.load(run, system)
    [new] = generate(model, tokenizer, [prompt], max_new_tokens=16)
    ids = [*tokenizer(prompt).input_ids, *new.tokens][:-1]
    assert len(routes) == len(ids)
    assert all(len(token) == 2 for token in routes)  # blocks
    if system == "mixse":
        heard = []
        with torch.inference_mode(), model.mixture.listen(lambda _, w: heard.append(w)):
            model(input_ids=torch.tensor([ids]))
        assert routes == heard[0][0].argmax(-1, keepdim=True).tolist()


def test_a_system_that_must_be_told_the_domain(client):
    made = said(client, "oracle", extra_body={"domain": "whatever", "trace": True})
    assert {e for token in made.choices[0].routed_experts for b in token for e in b} == {1}
    with pytest.raises(openai.BadRequestError, match="must be told the domain"):
        said(client, "oracle")
    with pytest.raises(openai.BadRequestError, match="does not use the domain"):
        said(client, extra_body={"domain": "whatever"})


@pytest.mark.parametrize(
    ("system", "extra", "words"),
    [
        ("ties", {"experts": {"anything": 0}}, "'ties' has no experts to switch"),
        ("base", {"trace": True}, "'base' has no routing to trace"),
        ("mixse", {"experts": {"anythin": 0}}, "did you mean 'anything'"),
    ],
)
def test_what_a_system_cannot_do_is_refused_by_name(client, system, extra, words):
    with pytest.raises(openai.BadRequestError, match=words):
        said(client, system, extra_body=extra)
    with pytest.raises(openai.BadRequestError, match=words):
        list(said(client, system, extra_body=extra, stream=True))
