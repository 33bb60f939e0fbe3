"""Components, configs, evaluation and queues of tools/benchmarks/methods.py."""
