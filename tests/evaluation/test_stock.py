import pytest

from selfmoe.contracts.errors import DataError
from selfmoe.evaluation import stock
from selfmoe.evaluation.stock import stock_file, stock_settings


def test_files_of_lm_eval_are_found():
    pytest.importorskip("lm_eval")
    assert stock_file("nq_open/nq_open.yaml").is_file()
    assert stock_settings("nq_open/nq_open.yaml")["task"] == "nq_open"


def test_a_file_that_is_not_there_is_one_clear_error():
    pytest.importorskip("lm_eval")
    with pytest.raises(DataError, match=r"has no .*none\.yaml"):
        stock_file("none.yaml")


def test_a_task_that_calls_functions_is_refused():
    pytest.importorskip("lm_eval")
    with pytest.raises(DataError, match="cannot read"):
        stock_settings("minerva_math/minerva_math_algebra.yaml")


def test_without_lm_eval_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(stock, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install lm-eval"):
        stock_file("nq_open/nq_open.yaml")
