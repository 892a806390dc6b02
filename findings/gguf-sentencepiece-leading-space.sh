#!/usr/bin/env bash
# transformers 5.24.0, gguf 0.19.0, sentencepiece 0.2.1: GGUF tokenizers lose a text's first space.
# Expected: the tokenizer that AutoTokenizer builds from a GGUF file with a SentencePiece vocabulary
# (tokenizer.ggml.model "llama") gives the tokens of the SentencePiece model the file was made from,
# as llama.cpp does on the same file: a space is put before every text (add_space_prefix).
# Seen: none is put before a text that begins with a space already, so the two spaces that the model
# was trained to see there become one. Continuations, indented code and answers that begin with a
# space get other tokens than everywhere else. Texts that begin otherwise are the same.
#   text        sentencepiece          transformers
#   'a dog'     ▁a ▁dog                ▁a ▁dog                same
#   ' a dog'    ▁ ▁a ▁dog              ▁a ▁dog                other
#   '  a dog'   ▁ ▁ ▁a ▁dog            ▁ ▁a ▁dog              other
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==5.24.0 gguf==0.19.0 sentencepiece==0.2.1
cat > show.py <<'END'
import sys

import sentencepiece
from gguf import GGUFWriter
from transformers import AutoTokenizer

with open("corpus.txt", "w") as file:
    file.writelines(f"{a} {b} sees {a} {c}\n" for a in ("a", "the") for b in ("dog", "cat") for c in "xyz")
sentencepiece.SentencePieceTrainer.train(
    input="corpus.txt", model_prefix="m", model_type="bpe", vocab_size=60, minloglevel=2,
    hard_vocab_limit=False, normalization_rule_name="identity", remove_extra_whitespaces=False,
)  # fmt: skip
pieces = sentencepiece.SentencePieceProcessor(model_file="m.model")
rows = range(pieces.vocab_size())
kinds = [2 if pieces.is_unknown(row) else 3 if pieces.is_control(row) else 1 for row in rows]

writer = GGUFWriter("m.gguf", "llama")
for name, value in {"context_length": 64, "embedding_length": 16, "block_count": 1}.items():
    writer.add_uint32(f"llama.{name}", value)
writer.add_uint32("llama.attention.head_count", 2)
writer.add_tokenizer_model("llama")
writer.add_token_list([pieces.id_to_piece(row) for row in rows])
writer.add_token_scores([pieces.get_score(row) for row in rows])
writer.add_token_types(kinds)
writer.add_bos_token_id(pieces.bos_id())
writer.add_eos_token_id(pieces.eos_id())
writer.add_unk_token_id(pieces.unk_id())
writer.add_add_bos_token(False)
writer.add_add_space_prefix(True)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

tokenizer = AutoTokenizer.from_pretrained(".", gguf_file="m.gguf")
same = []
print(f"{'text':11} {'sentencepiece':22} transformers")
for text in ("a dog", " a dog", "  a dog"):
    theirs = pieces.encode(text, out_type=str)
    found = tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False).input_ids)
    same.append(theirs == found)
    told = "same" if same[-1] else "other"
    print(f"{text!r:11} {' '.join(theirs):22} {' '.join(found):22} {told}")
sys.exit(same != [True, False, False])
END
venv/bin/python -W ignore show.py 2>/dev/null
