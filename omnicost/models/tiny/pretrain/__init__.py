"""Recipes that make the tiny models from nothing: ``python -m`` this package.

SAM learns from tiny-things, whose things have no class, the others from tiny-web.

A recipe is a module (``sam``, ``detector``, ``text``, ``backbone``, ``student``) with

- ``FOLDER``: name of its weights' folder (the same, but for ``clip``, which is ``text``'s);
- ``SCHEDULE``: a `loop.Schedule`;
- ``pretrain(folder, work, schedule, report)``: trains with `loop.train` in ``work`` (which may hold
  a killed run) and writes transformers' files and the model card into ``folder``.
"""
