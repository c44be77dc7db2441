"""Maximum-likelihood learning from configurations, and sampling at other temperatures."""
