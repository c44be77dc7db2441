"""Judgement: errors, distances, statistics, goals and the gate."""
