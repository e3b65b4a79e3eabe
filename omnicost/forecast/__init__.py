"""Forecasts: what AP a policy will have, from measured students, as a mean and draws.

`observations` are rows as arrays, `spread` is the scatter of runs, `prior` what other data sets say
of the curves' shape, `model` puts these together, `surface` is what plans read, `transfer` makes
one for a project that has no sweep of its own.
"""
