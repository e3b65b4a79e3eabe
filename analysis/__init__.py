"""The paper's tables, figures and claims beside the tiny world's, from `results/` alone.

``python -m analysis --out DIR`` makes all of them. Each table and figure is a module with
``make(results, out) -> Section``; the scripts beside them measure something of their own.
"""
