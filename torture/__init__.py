"""Proofs that nothing breaks it, by tens of thousands of tries; docs/reliability.md has the figures."""
