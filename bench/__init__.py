"""What Sluice costs and how fast it acts: `python -m bench`, see docs/benchmarks/controller.md."""
