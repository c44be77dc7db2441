"""Published studies, each a folder: its suites, its code, its pages. The general harness imports none of them."""
