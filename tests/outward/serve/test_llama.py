"""A llama-server writes the answers: a stand-in that speaks its protocol, as one was recorded."""

from __future__ import annotations

import json
import socket

import pytest
import torch

import selfmoe
from selfmoe.outward.llama.client import adapter_name, request

httpx = pytest.importorskip("httpx")
TEXT = "/v1/completions"

ADAPTERS = [
    {"id": 0, "path": "there/expert-whatever/adapter.gguf", "scale": 0.0, "task_name": ""},
    {"id": 1, "path": "there/anything.gguf", "scale": 0.0, "task_name": ""},
]
"""What llama.cpp's server tells of its adapters (version 11549 of the package xllamacpp)."""


def event(number: int, token: int) -> dict:
    """Return an event of a stream, as llama.cpp's server sends it."""
    head = {"index": 0, "content": "x", "tokens": [token], "stop": False, "id_slot": -1}
    return {**head, "tokens_predicted": number, "tokens_evaluated": 4}


def last(kind: str) -> dict:
    return {"index": 0, "content": "", "tokens": [], "id_slot": 0, "stop": True, "stop_type": kind}


class StandIn:
    """Answers every prompt with the same tokens, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.tokens, self.adapters, self.refusal = [65, 66, 67], ADAPTERS, None

    async def lora(self, asking):
        from starlette.responses import JSONResponse

        return JSONResponse(self.adapters)

    async def completion(self, asking):
        from starlette.responses import JSONResponse, StreamingResponse

        asked = json.loads(await asking.body())
        self.asked.append(asked)
        if self.refusal:
            told = {"code": 400, "message": self.refusal, "type": "invalid_request_error"}
            return JSONResponse({"error": told}, status_code=400)
        told = [event(n + 1, token) for n, token in enumerate(self.tokens[: asked["n_predict"]])]
        told.append(last("limit" if len(self.tokens) >= asked["n_predict"] else "eos"))
        lines = (f"data: {json.dumps(one)}\n\n" for one in told)
        return StreamingResponse(iter(lines), media_type="text/event-stream")

    def web(self):
        """Return a server that answers."""
        import uvicorn
        from starlette.applications import Starlette
        from starlette.routing import Route

        routes = [
            Route("/lora-adapters", self.lora),
            Route("/completion", self.completion, methods=["POST"]),
        ]
        return uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))


@pytest.fixture(scope="module")
def llama(in_thread):
    pytest.importorskip("uvicorn")
    stand_in = StandIn()
    with in_thread(stand_in.web(), socket.create_server(("127.0.0.1", 0))) as address:
        stand_in.address = address
        yield stand_in


@pytest.fixture
def stand_in(llama):
    llama.asked.clear()
    llama.tokens, llama.adapters, llama.refusal = [65, 66, 67], ADAPTERS, None
    return llama


@pytest.fixture(scope="module")
def front(serve, llama):
    with serve(system="seq", llama=llama.address) as address:
        yield address


def post(address, **body):
    return httpx.post(address + TEXT, json={"temperature": 0, **body}, timeout=60)


def weights(run, prompt):
    model, _ = selfmoe.load(run, "seq")
    heard = []
    with torch.no_grad(), model.mixture.listen(lambda real, alpha: heard.append(alpha)):
        model(input_ids=torch.tensor([prompt]))
    return dict(zip(model.mixture.experts, heard[0][0, 0, 0].tolist(), strict=True))


def test_each_request_brings_the_weights_of_its_prompt(run, front, stand_in):
    for prompt in ([70, 71, 72], [80, 81, 82, 83, 84]):
        answer = post(front, prompt=prompt, max_tokens=3)
        assert answer.status_code == 200, answer.text
        scales = {row["id"]: row["scale"] for row in stand_in.asked[-1]["lora"]}
        wanted = weights(run, prompt)
        assert scales == pytest.approx({0: wanted["whatever"], 1: wanted["anything"]}, abs=1e-6)
        assert stand_in.asked[-1]["prompt"] == prompt
        assert stand_in.asked[-1]["temperature"] == 0


def test_the_answer_is_what_the_server_wrote(run, front, stand_in):
    _, tokenizer = selfmoe.load(run, "seq")
    told = post(front, prompt=[70, 71], max_tokens=2).json()
    assert told["choices"][0]["text"] == tokenizer.decode([65, 66])
    assert told["choices"][0]["finish_reason"] == "length"
    told = post(front, prompt=[70, 71], max_tokens=9).json()
    assert told["choices"][0]["text"] == tokenizer.decode([65, 66, 67])
    assert told["choices"][0]["finish_reason"] == "stop"


def test_streams_stops_and_experts_that_are_switched(front, stand_in):
    with httpx.stream(
        "POST",
        front + TEXT,
        json={"prompt": [70], "max_tokens": 3, "stream": True, "experts": {"anything": 0}},
        timeout=60,
    ) as answer:
        parts = [line for line in answer.iter_lines() if line.startswith("data: {")]
    assert len(parts) >= 3
    assert {row["id"]: row["scale"] for row in stand_in.asked[-1]["lora"]}[1] == 0
    told = post(front, prompt=[70], max_tokens=3, stop="c").json()
    assert told["choices"][0]["text"] == "b"


def test_base_and_expert_are_weights_of_0_and_1(front, stand_in):
    post(front, prompt=[70], max_tokens=1, model="demo/base")
    assert [row["scale"] for row in stand_in.asked[-1]["lora"]] == [0, 0]
    post(front, prompt=[70], max_tokens=1, model="demo/expert-whatever")
    assert [row["scale"] for row in stand_in.asked[-1]["lora"]] == [1, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "demo/mixse"}, "weighs its experts anew for tokens"),
        ({"model": "demo/oracle"}, "weighs its experts anew for tokens"),
        ({"model": "demo/ties"}, "is a merge"),
        ({"logprobs": 1}, "logprobs: not with --engine llama.cpp"),
        ({"trace": True}, "trace: not with --engine llama.cpp"),
        ({"experts": {"absent": 1}}, "no expert named 'absent'"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(front, stand_in, more, said):
    answer = post(front, prompt=[70], max_tokens=1, **more)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_what_the_server_says_is_told(serve, front, stand_in):
    stand_in.refusal = "the request exceeds the available context size"
    assert "exceeds the available context" in post(front, prompt=[70], max_tokens=1).text
    with serve(system="seq", llama="http://127.0.0.1:9") as address:
        assert "no llama-server answers" in post(address, prompt=[70], max_tokens=1).text
    stand_in.refusal, stand_in.adapters = None, ADAPTERS[:1]
    with serve(system="seq", llama=stand_in.address) as address:
        assert "has no adapter 'anything'" in post(address, prompt=[70], max_tokens=1).text


def test_a_router_of_tokens_is_refused_before_anything_listens(run):
    from selfmoe.contracts.errors import NotSupportedError
    from selfmoe.outward.opening import open_run
    from selfmoe.outward.serve.start import Wanted, serving

    with pytest.raises(NotSupportedError, match="Use a router there that decides once a prompt"):
        serving(open_run(run), Wanted("mixse", llama="http://127.0.0.1:9"))


def test_names_of_adapters_and_what_is_drawn():
    assert adapter_name("a/expert-math/adapter.gguf") == "math"
    assert adapter_name("math.gguf") == "math"
    asked = request([1], 2, {0: 0.5}, {"temperature": 0.7, "top_p": 0.9, "seed": 3})
    assert (asked["top_k"], asked["min_p"], asked["seed"]) == (0, 0.0, 3)
    assert asked["lora"] == [{"id": 0, "scale": 0.5}]
