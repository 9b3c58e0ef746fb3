"""The suite that asv runs: see benchmarks/README.md."""
