"""The study of latent cycles: models, statistics, figures, tables."""
