"""The two-kernel generative Markov chain, exactly: its chain of hidden states, thermodynamics and gradients."""
