"""Realised quality: what answers turned out to be worth once their labels are ripe."""
