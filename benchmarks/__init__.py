"""Benchmarks: `./dev bench NAME`. What they measured and how is in docs/benchmarks.md."""
