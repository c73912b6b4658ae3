"""Configs: one `get_config()` a file. default.py holds every knob; the others derive from it."""
