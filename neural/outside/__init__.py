"""Networks of other people: plain modules, densities, trained parameters, as networks of ours."""
