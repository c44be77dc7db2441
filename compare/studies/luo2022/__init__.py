"""The study of Luo et al., PRL 128, 090501 (2022): figures, tables and a README from the records of its suites."""
