"""Compiling for devices, several hosts, stopping."""
