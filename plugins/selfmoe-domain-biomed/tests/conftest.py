"""A small file in PubMedQA's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ANSWERS = ("yes", "no", "maybe")
TEST = ("7482275", "12377809", "19100463", "21645374", "24577079", "26134053")
DEV = [f"9{n}0" for n in range(6)]
OTHERS = [f"8{n}1" for n in range(30)]


@pytest.fixture
def rows() -> dict[str, dict[str, Any]]:
    """Return six test questions, six for tuning and thirty others, by PubMed id."""
    return {
        number: {
            "QUESTION": f"Does treatment {number} help?",
            "CONTEXTS": [f"We gave {number} to mice.", "They were watched\n\nfor a week."],
            "final_decision": ANSWERS[place % 3],
        }
        for place, number in enumerate([*TEST, *DEV, *OTHERS])
    }


@pytest.fixture
def files(tmp_path: Path, rows: dict[str, dict[str, Any]]) -> Path:
    """Return a folder that holds them as upstream's file."""
    (tmp_path / "pubmedqa").mkdir()
    (tmp_path / "pubmedqa" / "ori_pqal.json").write_text(json.dumps(rows), "utf-8")
    return tmp_path
