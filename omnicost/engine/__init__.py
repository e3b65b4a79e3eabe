"""Stages to artefacts: keys, graph, store, leases, passes; no data sets, no models."""
