"""The work of one machine on many, by Ray."""
