"""Packs: many finished runs in one immutable, compressed file (docs/store-format.md)."""
