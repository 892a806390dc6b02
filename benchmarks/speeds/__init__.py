"""Parts of `benchmarks/speed.py`.

systems    the base, an identical twin, PEFT's LoRA, several adapters, Arrow, X-LoRA, and selfmoe
clock      interleaved rounds of CPU time, ratios, the noise floor
builds     code of one build where another is installed
machine    what the processor is called
runs       a whole run by the build that an interpreter has
work       what is timed: prefill, decode, router training; and the memory of a forward
"""
