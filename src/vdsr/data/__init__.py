"""Folders of photographs, packs, leaks, data sets, downloads."""
