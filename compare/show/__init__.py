"""What a reader sees: tables, figures, LaTeX, the HTML report."""
