"""The study of Baiesi and Rosso (2025): latent cycles of two-kernel generative chains."""
