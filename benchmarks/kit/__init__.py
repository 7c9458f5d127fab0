"""What the benchmarks share; `./dev bench` lists only the modules beside this folder."""
