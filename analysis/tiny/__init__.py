"""Looks at the tiny world: its pictures, what its shipped models do, teachers before and after."""
