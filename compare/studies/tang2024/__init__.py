"""The study of Tang, Liu, Zhang and Zhang (Nat. Commun. 15, 1117 (2024)): figures and tables from its suites."""
