import pytest

from selfmoe.contracts.errors import ConfigError, DataError
from selfmoe.contracts.prompts import alpaca, plain, turn
from selfmoe.contracts.records import Seed
from selfmoe.evaluation.leaks import refuse_leaks
from selfmoe.evaluation.prompting import Prompter, choose_shots, render
from selfmoe.models.chat import chat_of
from selfmoe.testing.models import tiny_tokenizer
from selfmoe.testing.tokenizers import CHATS


def test_alpaca_without_examples_is_the_training_prompt(sums):
    doc = sums.items[3]
    assert render(sums, doc, [], "alpaca") == alpaca(sums.ask(doc))


def test_alpaca_examples_are_finished_blocks(sums):
    text = render(sums, sums.items[3], sums.pool[1:2], "alpaca")
    assert text == alpaca(sums.ask(sums.pool[1])) + "102\n\n" + alpaca(sums.ask(sums.items[3]))


def test_examples_use_the_layout_of_the_respond_stage(sums):
    text = render(sums, sums.items[3], sums.pool[1:2], "examples")
    assert text == (
        "Instruction: Add.\nInput: 101 + 1\nResponse: 102\n\n"
        "Instruction: Add.\nInput: 3 + 3\nResponse:"
    )


def test_plain_answers_follow_after_one_space_unless_the_question_ends_a_line(sums):
    text = render(sums, sums.items[3], sums.pool[1:2], "plain")
    assert text == "Add.\n101 + 1\n102\n\nAdd.\n3 + 3\n"
    sums.plain = lambda doc: "Q:"
    assert render(sums, sums.items[3], sums.pool[1:2], "plain") == "Q: 102\n\nQ:"


def test_an_unknown_template_is_a_clear_error(sums):
    with pytest.raises(ConfigError, match="alpaca, bare, chat, examples, plain"):
        render(sums, sums.items[0], [], "poem")
    with pytest.raises(ConfigError, match="has no chat template"):
        render(sums, sums.items[0], [], "chat")


def test_a_bare_task_is_what_experts_are_trained_on(sums):
    text = render(sums, sums.items[3], sums.pool[1:2], "bare")
    assert text == "Add.\n101 + 1\n102\n\nAdd.\n3 + 3\n"
    sums.plain = lambda doc: "Q:"
    assert render(sums, sums.items[3], [], "bare") == plain(sums.ask(sums.items[3]))


def test_examples_in_a_chat_are_earlier_turns(sums):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHATS["marked"]
    shots = sums.pool[1:3]
    text = render(sums, sums.items[3], shots, "chat", chat_of(tokenizer))
    said = [(turn(sums.ask(shot)), sums.gold(shot)) for shot in shots]
    messages = [
        {"role": role, "content": text}
        for pair in said
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    messages.append({"role": "user", "content": "Add.\n\n3 + 3"})
    asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == asked
    assert text.endswith("<|user|>\nAdd.\n\n3 + 3<eos>\n<|assistant|>\n")


def test_examples_are_the_first_ones_or_seeded(sums):
    assert choose_shots(sums, 3, None) == sums.pool[:3]
    assert choose_shots(sums, None, None) == []
    drawn = [choose_shots(sums, 5, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("n", [-1, 9])
def test_more_examples_than_there_are_is_a_clear_error(sums, n):
    with pytest.raises(ConfigError, match="only 8"):
        choose_shots(sums, n, None)


def test_the_last_examples_are_dropped_until_prompt_and_answer_fit(sums):
    doc, shots = sums.items[0], sums.pool[:4]
    for kept in range(5):
        length = len(render(sums, doc, shots[:kept], "alpaca"))
        exact = Prompter(sums, "alpaca", shots, len, length + sums.max_new_tokens)
        assert (exact.fit(doc).used, exact.fit(doc).fits) == (kept, True)
    short = Prompter(sums, "alpaca", shots, len, 20)
    assert (short.fit(doc).used, short.fit(doc).fits) == (0, False)


def test_a_seed_that_is_an_item_is_refused(sums):
    seed = Seed("x", "ADD.", " 3  + 3", "6")
    with pytest.raises(DataError, match="seed 'x' of domain 'd' is item 's3'"):
        refuse_leaks("d", [seed], [sums])
    refuse_leaks("d", [Seed("x", "Add.", "3 + 4", "7")], [sums])
