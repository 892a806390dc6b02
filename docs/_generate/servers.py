"""Tables of runs whose data real servers wrote: what kills cost, and how fast it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code, table

Json = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "results"
"""A file that is not there is not made yet."""
OPTIONS = "; `results/README.md` has all options"


def killed(file: Path = RESULTS / "served.json") -> str:
    """Return what was lost and asked for again where runs and servers were killed."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    head = ("server", "base", "the run killed", "the server killed", "answers", "made twice")
    more = ("unread at a kill", "tasks", "responses")
    rows = (
        [
            *(row["engine"], code(row["base"])),
            *(str(sum(fall["of"] == of for fall in row["falls"])) for of in ("run", "server")),
            *(str(row[name]) for name in ("answers", "made_twice", "unread")),
            *(str(row[name]) for name in ("instructions", "responses")),
        ]
        for row in found["engines"]
    )
    return (
        f"{table((*head, *more), rows)}\n"
        f"{found['concurrency']} texts at once. Unread are answers that were handed over within a "
        f"second of a kill. `{found['command']}` makes `results/served.json`{OPTIONS}.\n"
    )


def speed(file: Path = RESULTS / "servers.json") -> str:
    """Return a run's tokens a second beside those of the servers' own client."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    rows = (
        [
            *(row["engine"], code(row["base"]), str(row["texts"]), str(row["concurrency"])),
            f"{row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
        ]
        for row in found["engines"]
    )
    head = ("server", "base", "texts", "at once", "tokens a second, run to client")
    return (
        f"{table(head, rows)}\n"
        f"The client is `{found['client']}`; both and the server on {found['cores']} cores, in "
        "turns, with prompts that the server has read before. Where the client lost texts, as "
        "connections that it used again were closed meanwhile, it asked for all again"
        f"{_tries(found)}. `{found['command']}` makes `results/servers.json`{OPTIONS}.\n"
    )


def _tries(found: Json) -> str:
    """Return how often, of all rounds of all servers; nothing if never."""
    rounds = [one for row in found["engines"] for one in row["rounds"]]
    again = sum(one.get("tries", 1) - 1 for one in rounds)
    return f": {again} times in {len(rounds)} rounds" if again else ""


def borne(file: Path = RESULTS / "serving.json") -> str:
    """Return what our own server bears: clients at once, tracing, and broken requests."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    speed, load = found["speed"], found["load"]
    rates = speed["tokens_per_second"]
    head = ("clients", "tokens a second")
    rows = [(name.replace(" traced", ", traced"), f"{rate:.0f}") for name, rate in rates.items()]
    broken = sum(load["broken_by_status"].values())
    otherwise = len(load["otherwise"]) + len(found["warming_up"]["otherwise"])
    near = f" (margins {', '.join(map(str, found['margins'].values()))})" if otherwise else ""
    return (
        f"{table(head, rows)}\n"
        f"128 tokens an answer. In the median of {len(speed['rounds']['1'])} rounds 8 clients get "
        f"{speed['gain_of_8_clients']:.1f} times as much as one, and tracing costs "
        f"{100 * speed['cost_of_tracing']:.1f} %. Of {load['requests']} requests, 16 at once, "
        f"{broken} were broken; {load['good_lost']} good ones were lost, {otherwise} answered in "
        f"another way than before{near}, and the server's memory was "
        f"{100 * found['rss_growth']:+.1f} % beside that after "
        f"{found['warming_up']['requests']} requests. `benchmarks/serving.py RUN "
        "--system mixse --out results/serving.json` makes `results/serving.json`, on "
        f"{found['processors']} cores.\n"
    )
