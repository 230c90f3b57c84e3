"""``instrument lineage``: what came from what."""
